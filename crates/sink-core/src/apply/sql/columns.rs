//! Takes the values of handed-over rows out of their JSON, column by column. A value stays the text that came: only
//! integers and booleans become something else, and those the server would read the same way.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::apply::plan::{ShapePlan, Source};
use crate::failure::{Disposition, Failure};
use crate::model::{Change, Mutation};
use crate::target::dialect::ArrayForm;

/// The values of one column, a row each.
#[derive(Debug, PartialEq)]
pub(super) enum Column<'a> {
    Int2(Vec<Option<i16>>),
    Int4(Vec<Option<i32>>),
    Int8(Vec<Option<i64>>),
    Bool(Vec<Option<bool>>),
    Text(Vec<Option<Cow<'a, str>>>),
    Json(Vec<Option<Cow<'a, str>>>),
}

/// The columns of these rows, which are all of this shape or deletions. `wanted` are positions of feeds.
///
/// # Errors
/// If a row is not what it was admitted as.
pub(super) fn columns<'a>(
    shape: &ShapePlan,
    wanted: &[(usize, ArrayForm)],
    rows: &[&'a Mutation<'a>],
) -> Result<Vec<Column<'a>>, Failure> {
    const READ: &str = "take values out of rows";
    let broken = |_| Failure::new(Disposition::Halt, READ, "a row is not as it was admitted");
    let member = |(feed, _): &(usize, ArrayForm)| match &shape.feeds[*feed].source {
        Source::Member(member) => Some(member.as_str()),
        Source::Constant | Source::Extras => None,
    };
    let mut reader = Reader {
        members: wanted.iter().map(member).collect(),
        layout: Vec::new(),
        columns: wanted.iter().map(|(_, form)| Column::new(*form, rows.len())).collect(),
        rows: 0,
    };
    for row in rows {
        reader.rows += 1;
        match &row.change {
            Change::Upsert { row, .. } => {
                let mut parser = serde_json::Deserializer::from_str(row);
                parser.deserialize_map(&mut reader).map_err(broken)?;
            }
            Change::Delete => reader.columns.iter_mut().for_each(Column::push_null),
        }
    }
    Ok(reader.columns)
}

struct Reader<'a, 's> {
    /// Per column: its member.
    members: Vec<Option<&'s str>>,
    /// The members of the row before and their columns: the next row hardly ever differs.
    layout: Vec<(Cow<'a, str>, Option<usize>)>,
    columns: Vec<Column<'a>>,
    /// Rows so far, this one included.
    rows: usize,
}

impl<'a> Visitor<'a> for &mut Reader<'a, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let mut place = 0;
        while let Some(name) = map.next_key_seed(Name)? {
            let value: &'a RawValue = map.next_value()?;
            let known = self.layout.get(place).filter(|(known, _)| *known == name).map(|(_, column)| *column);
            let column = known.unwrap_or_else(|| {
                let column = self.members.iter().position(|member| *member == Some(&*name));
                self.layout.truncate(place);
                self.layout.push((name, column));
                column
            });
            if let Some(column) = column {
                self.columns[column].push(value.get()).map_err(A::Error::custom)?;
            }
            place += 1;
        }
        if self.columns.iter().any(|column| column.len() != self.rows) {
            return Err(A::Error::custom("a member is missing"));
        }
        Ok(())
    }
}

/// Reads a name without copying it where it has no escapes.
struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, str>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Cow<'a, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// What the server would not read as a value of the column, or a string that is none.
const UNREADABLE: &str = "a value is of another kind";

impl<'a> Column<'a> {
    fn new(form: ArrayForm, rows: usize) -> Self {
        match form {
            ArrayForm::Integer(16) => Self::Int2(Vec::with_capacity(rows)),
            ArrayForm::Integer(32) => Self::Int4(Vec::with_capacity(rows)),
            ArrayForm::Integer(_) => Self::Int8(Vec::with_capacity(rows)),
            ArrayForm::Bool => Self::Bool(Vec::with_capacity(rows)),
            ArrayForm::Text => Self::Text(Vec::with_capacity(rows)),
            ArrayForm::Json => Self::Json(Vec::with_capacity(rows)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Int2(values) => values.len(),
            Self::Int4(values) => values.len(),
            Self::Int8(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) | Self::Json(values) => values.len(),
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Int2(values) => values.push(None),
            Self::Int4(values) => values.push(None),
            Self::Int8(values) => values.push(None),
            Self::Bool(values) => values.push(None),
            Self::Text(values) | Self::Json(values) => values.push(None),
        }
    }

    /// Binds the values. Binding encodes at once.
    pub(super) fn bind<'q>(self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>
    where
        'a: 'q,
    {
        match self {
            Self::Int2(values) => query.bind(values),
            Self::Int4(values) => query.bind(values),
            Self::Int8(values) => query.bind(values),
            Self::Bool(values) => query.bind(values),
            Self::Text(values) | Self::Json(values) => query.bind(values),
        }
    }

    /// Adds a value, given as JSON.
    fn push(&mut self, json: &'a str) -> Result<(), &'static str> {
        if json == "null" {
            self.push_null();
            return Ok(());
        }
        match self {
            Self::Int2(values) => values.push(Some(json.parse().map_err(|_| UNREADABLE)?)),
            Self::Int4(values) => values.push(Some(json.parse().map_err(|_| UNREADABLE)?)),
            Self::Int8(values) => values.push(Some(json.parse().map_err(|_| UNREADABLE)?)),
            Self::Bool(values) => values.push(Some(json.parse().map_err(|_| UNREADABLE)?)),
            Self::Text(values) => values.push(Some(plain(json)?)),
            Self::Json(values) => values.push(Some(Cow::Borrowed(json))),
        }
        Ok(())
    }
}

/// The text of a scalar: what a string says, and anything else as it is written.
fn plain(json: &str) -> Result<Cow<'_, str>, &'static str> {
    let Some(string) = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Ok(Cow::Borrowed(json));
    };
    if memchr::memchr(b'\\', string.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(string));
    }
    serde_json::from_str(json).map(Cow::Owned).map_err(|_| UNREADABLE)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::model::schema::examples::{column, table};
    use crate::model::{HlcTimestamp, RowKey, Shape, ValueClass};

    fn shape() -> ShapePlan {
        let columns = vec![
            column("id", "bigint", ValueClass::Integer(64)),
            column("t", "text", ValueClass::Text),
            column("j", "jsonb", ValueClass::Json { binary: true }),
            column("b", "boolean", ValueClass::Bool),
        ];
        let shape = Arc::new(Shape::new(["b", "id", "j", "t"].map(str::to_owned).to_vec()));
        ShapePlan::new(&table("t", 1, columns), &shape).unwrap()
    }

    const WANTED: [(usize, ArrayForm); 4] =
        [(0, ArrayForm::Integer(64)), (1, ArrayForm::Text), (2, ArrayForm::Json), (3, ArrayForm::Bool)];

    fn read<'a>(shape: &ShapePlan, rows: &'a [Mutation<'a>]) -> Result<Vec<Column<'a>>, Failure> {
        columns(shape, &WANTED, &rows.iter().collect::<Vec<_>>())
    }

    fn row<'a>(shape: &ShapePlan, text: Option<&'a str>) -> Mutation<'a> {
        let change =
            text.map_or(Change::Delete, |row| Change::Upsert { row, shape: Arc::clone(&shape.shape) });
        Mutation { time: HlcTimestamp::ZERO, key: RowKey::from_canonical("[1]".into()), change, before: None }
    }

    #[test]
    fn values_keep_their_text_whatever_the_order_of_members() {
        let shape = shape();
        let rows = [
            row(&shape, Some(r#"{"b": true, "id": -9223372036854775808, "j": "\u00e9", "t": "\u00e9\n"}"#)),
            row(&shape, None),
            row(&shape, Some(r#"{"t": 1.50E+2, "j": null, "id": 2, "b": null}"#)),
            row(&shape, Some(r#"{"b": false, "id": 3, "j": {"a": [1]}, "t": "null"}"#)),
        ];
        let text = |values: [Option<&'static str>; 4]| values.map(|value| value.map(Cow::Borrowed)).to_vec();
        let expected = [
            Column::Int8(vec![Some(i64::MIN), None, Some(2), Some(3)]),
            Column::Text(text([Some("é\n"), None, Some("1.50E+2"), Some("null")])),
            Column::Json(text([Some(r#""\u00e9""#), None, None, Some(r#"{"a": [1]}"#)])),
            Column::Bool(vec![Some(true), None, None, Some(false)]),
        ];
        assert_eq!(read(&shape, &rows).unwrap(), expected);
    }

    #[test]
    fn rows_that_were_never_admitted_are_an_error() {
        let shape = shape();
        for text in ["[]", "{", r#"{"id": 1}"#, r#"{"b": 1, "id": 1, "j": 1, "t": 1}"#] {
            assert!(read(&shape, &[row(&shape, Some(text))]).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_string_says_what_a_parser_reads(text in ".*") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(plain(&json), Ok(Cow::Owned(text)));
        }

        #[test]
        fn never_panics(text in "\\PC*|[{}\":a-z0-9,\\\\]*") {
            let shape = shape();
            let _ = read(&shape, &[row(&shape, Some(&text))]);
            let _ = plain(&text);
        }
    }
}
