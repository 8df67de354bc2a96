//! Decides whether a row fits its target table, as far as that needs no server: names, key, and the kind of each
//! value. What is refused here is refused before anything is stored, with the table and column named. Pure.

mod keys;
mod refusal;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use self::refusal::RowError;
use super::json_text;
use super::value_kind::check_kind;
use crate::apply::matching::Matching;
use crate::model::expression::Input;
use crate::model::{Behaviours, Change, ColumnSchema, HlcTimestamp, Mutation, Shape, TableSchema};

/// Most shapes of one table that are remembered; more are legal but are looked up each time.
const MAX_REMEMBERED_SHAPES: usize = 64;

/// A row of a changefeed before it is matched with a table. Texts are valid JSON of any kind.
#[derive(Debug, Clone, Copy)]
pub struct IncomingRow<'a> {
    /// Commit time.
    pub time: HlcTimestamp,
    /// The primary key, in the form in which the feed sends it.
    pub key: IncomingKey<'a>,
    /// The row, an object; `None` for a deletion.
    pub after: Option<&'a str>,
    /// The row before the change, an object, where the feed sends it.
    pub before: Option<&'a str>,
}

/// A primary key as feeds send it. Texts are valid JSON of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncomingKey<'a> {
    /// An array in the order of the source's key.
    Array(&'a str),
    /// An object by column name.
    Object(&'a str),
    /// Not at all: the columns of the target's key are taken from the row by name.
    OfRow,
}

/// A table and the shapes of rows it has seen.
#[derive(Debug)]
pub struct TableAdmission {
    table: Arc<TableSchema>,
    shapes: RwLock<HashMap<Vec<String>, Arc<KnownShape>>>,
    /// The shape of the row before: the next one hardly ever differs.
    last_shape: RwLock<Option<Arc<KnownShape>>>,
    /// Length of the keys whose alignment was confirmed, or one of the two values below.
    alignment: AtomicUsize,
    /// The alignment that is known to be stored.
    stored_alignment: AtomicUsize,
}

const UNKNOWN: usize = 0;
const CONTRADICTED: usize = usize::MAX;

#[derive(Debug)]
struct KnownShape {
    /// The members in the order in which the row lists them.
    names: Vec<String>,
    shape: Arc<Shape>,
    /// Which member feeds which column with its own value, in order of members.
    fed: Vec<(usize, usize)>,
    /// For each key column, which member feeds it; none if its expression takes no input.
    key_members: Vec<Option<usize>>,
}

impl TableAdmission {
    /// Starts with nothing seen.
    #[must_use]
    pub fn new(table: Arc<TableSchema>) -> Self {
        let (alignment, stored_alignment) = (AtomicUsize::new(UNKNOWN), AtomicUsize::new(UNKNOWN));
        Self { table, shapes: RwLock::default(), last_shape: RwLock::default(), alignment, stored_alignment }
    }

    /// Takes over what an earlier process learned of the source's keys; see [`Self::unstored_alignment`].
    pub fn restore_alignment(&self, stored: i64) {
        let alignment = usize::try_from(stored).unwrap_or(CONTRADICTED);
        self.alignment.store(alignment, Ordering::Relaxed);
        self.stored_alignment.store(alignment, Ordering::Relaxed);
    }

    /// What was learned of the source's keys and is not stored yet: their length if the last elements are the target's
    /// key, -1 if they are not. It must outlive the process, because a deletion may come before the next upsert.
    #[must_use]
    pub fn unstored_alignment(&self) -> Option<i64> {
        let alignment = self.alignment.load(Ordering::Relaxed);
        let news = alignment != self.stored_alignment.load(Ordering::Relaxed);
        news.then(|| if alignment == CONTRADICTED { -1 } else { i64::try_from(alignment).unwrap_or(-1) })
    }

    /// What [`Self::unstored_alignment`] answered is stored now.
    pub fn note_stored(&self, stored: i64) {
        self.stored_alignment.store(usize::try_from(stored).unwrap_or(CONTRADICTED), Ordering::Relaxed);
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    /// Checks one row.
    ///
    /// # Errors
    /// See [`RowError`]; nothing is changed.
    pub fn admit<'a>(&self, row: IncomingRow<'a>) -> Result<Mutation<'a>, RowError> {
        if let Behaviours::Rejected(why) = &self.table.behaviours {
            return Err(RowError::Rejected { table: self.name(), why: Arc::clone(why) });
        }
        if self.table.primary_key.is_empty() {
            return Err(RowError::NoPrimaryKey(self.name()));
        }
        let elements = self.elements(row.key)?;
        let (key, change) = match row.after {
            Some(after) => {
                self.check_text(after)?;
                let members = self.members(after, "after")?;
                let known = self.known_shape(&members)?;
                self.check_kinds(&members, &known.fed)?;
                let values = known.key_members.iter().map(|at| at.map(|at| members[at].1));
                let values: Vec<Option<&RawValue>> = values.collect();
                let key = self.canonical_key(&values)?;
                if let Some(elements) = elements {
                    self.learn_alignment(&elements, &values);
                }
                (key, Change::Upsert { row: after, shape: Arc::clone(&known.shape) })
            }
            None => (self.key_of_deletion(row.key, elements.as_deref(), row.before)?, Change::Delete),
        };
        if let Some(before) = row.before {
            self.check_text(before)?;
        }
        Ok(Mutation { time: row.time, key, change, before: row.before })
    }

    fn name(&self) -> String {
        self.table.id.to_string()
    }

    fn malformed(&self, what: impl Into<String>) -> RowError {
        RowError::Malformed { table: self.name(), what: what.into() }
    }

    /// The elements of a key in the source's order, where the feed sends it so.
    fn elements<'a>(&self, key: IncomingKey<'a>) -> Result<Option<Vec<&'a RawValue>>, RowError> {
        let IncomingKey::Array(text) = key else { return Ok(None) };
        self.check_text(text)?;
        let elements =
            serde_json::from_str(text).map_err(|_| self.malformed("the key is not a JSON array"))?;
        Ok(Some(elements))
    }

    fn check_text(&self, text: &str) -> Result<(), RowError> {
        json_text::check(text).map_err(|error| RowError::Text { table: self.name(), error })
    }

    fn members<'a>(&self, text: &'a str, which: &str) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, RowError> {
        let mut parser = serde_json::Deserializer::from_str(text);
        // Almost always as many as before.
        let expected = self.last_shape().map_or(0, |last| last.names.len());
        parser.deserialize_map(Members { expected }).map_err(|error| match error.classify() {
            // Our own messages name members, which are column names; the parser's may quote values.
            serde_json::error::Category::Data if error.to_string().contains(TWICE) => {
                self.malformed(format!("`{which}` has a {TWICE}"))
            }
            _ => self.malformed(format!("`{which}` is not a JSON object")),
        })
    }

    fn last_shape(&self) -> Option<Arc<KnownShape>> {
        self.last_shape.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn known_shape(&self, members: &[(Cow<'_, str>, &RawValue)]) -> Result<Arc<KnownShape>, RowError> {
        if let Some(last) =
            self.last_shape().filter(|last| last.names.iter().eq(members.iter().map(|(name, _)| name)))
        {
            return Ok(last);
        }
        let known = self.remembered_shape(members)?;
        *self.last_shape.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        Ok(known)
    }

    fn remembered_shape(&self, members: &[(Cow<'_, str>, &RawValue)]) -> Result<Arc<KnownShape>, RowError> {
        let names: Vec<String> = members.iter().map(|(name, _)| name.clone().into_owned()).collect();
        if let Some(known) = self.shapes.read().unwrap_or_else(PoisonError::into_inner).get(&names) {
            return Ok(Arc::clone(known));
        }
        let given: Vec<&str> = names.iter().map(String::as_str).collect();
        // Refuses what does not fit.
        let matching = Matching::new(&self.table, &given)?;
        // Members for the extras column may differ in every row, so they are not part of the shape.
        let listed = names.iter().enumerate().filter(|(at, _)| !matching.extra().contains(at));
        let listed: Vec<String> = listed.map(|(_, name)| name.clone()).collect();
        // So are rows with nothing left over, for the same key may have something at another time.
        let open = self.table.rules().is_some_and(|rules| rules.extras.is_some());
        let shape = if open { Shape::open(listed) } else { Shape::new(listed) };
        let columns = 0..self.table.columns.len();
        let mut fed: Vec<(usize, usize)> =
            columns.filter_map(|column| Some((matching.member_of(column)?, column))).collect();
        fed.sort_unstable();
        let key_members = self.table.primary_key.iter().map(|key| matching.member_of(*key)).collect();
        let known = Arc::new(KnownShape { names: names.clone(), shape: Arc::new(shape), fed, key_members });
        let mut shapes = self.shapes.write().unwrap_or_else(PoisonError::into_inner);
        if shapes.len() < MAX_REMEMBERED_SHAPES {
            shapes.insert(names, Arc::clone(&known));
        }
        Ok(known)
    }

    fn check_kinds(
        &self,
        members: &[(Cow<'_, str>, &RawValue)],
        fed: &[(usize, usize)],
    ) -> Result<(), RowError> {
        fed.iter().try_for_each(|(member, column)| self.check_kind(*column, members[*member].1))
    }

    /// What an expression takes as text may be of any kind.
    fn check_kind(&self, at: usize, value: &RawValue) -> Result<(), RowError> {
        let rule = self.table.rule(at).and_then(|rule| rule.expression.as_ref());
        if rule.is_some_and(|expression| expression.input() == Input::Text) {
            return Ok(());
        }
        let column = &self.table.columns[at];
        check_kind(column, value.get()).map_err(|found| self.wrong_kind(column, found))
    }

    fn wrong_kind(&self, column: &ColumnSchema, found: &'static str) -> RowError {
        RowError::Kind {
            table: self.name(),
            column: column.name.to_string(),
            sql_type: column.sql_type.clone(),
            found,
        }
    }
}

/// Marks our own message among the parser's.
const TWICE: &str = "member that occurs twice";

/// Reads an object into its members, in order, refusing a name that occurs twice.
struct Members {
    /// How many there will be, if all is as usual.
    expected: usize,
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::with_capacity(self.expected);
        let mut sorted = true;
        while let Some((name, value)) = map.next_entry::<MemberName<'de>, &'de RawValue>()? {
            sorted &= members.last().is_none_or(|(last, _)| *last < name.0);
            members.push((name.0, value));
        }
        // Changefeeds sort members, so the expensive check is hardly ever needed.
        if !sorted {
            let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
            names.sort_unstable();
            if names.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(members)
    }
}

/// A name that borrows where it can; `Cow` alone would always copy.
#[derive(serde::Deserialize)]
struct MemberName<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ValueClass;
    use crate::model::schema::examples::{column, table};
    use proptest::prelude::*;

    fn people() -> TableAdmission {
        let columns = vec![
            column("id", "bigint", ValueClass::Integer(64)),
            column("region", "text", ValueClass::Text),
            column("small", "smallint", ValueClass::Integer(16)),
            column("price", "numeric", ValueClass::Numeric),
            column("data", "bytea", ValueClass::Bytes),
        ];
        TableAdmission::new(Arc::new(table("people", 2, columns)))
    }

    fn admit<'a>(
        table: &TableAdmission,
        key: &'a str,
        after: Option<&'a str>,
    ) -> Result<Mutation<'a>, RowError> {
        let key = IncomingKey::Array(key);
        table.admit(IncomingRow { time: HlcTimestamp::ZERO, key, after, before: None })
    }

    #[test]
    fn the_key_has_the_targets_order_and_one_spelling() {
        let people = people();
        let row = admit(&people, r#"[9, 1, "a<b"]"#, Some(r#"{"id": 1, "region": "a\u003cb"}"#)).unwrap();
        assert_eq!(row.key.as_json(), r#"[1,"a<b"]"#);
        // The longer key of the source is understood once an upsert has confirmed its alignment.
        let gone = admit(&people, r#"[9, 1, "a<b"]"#, None).unwrap();
        assert_eq!(gone.key, row.key);
    }

    #[test]
    fn a_deletion_whose_key_cannot_be_matched_is_refused() {
        let people = people();
        assert!(matches!(
            admit(&people, "[1]", None),
            Err(RowError::KeyLength { received: 1, expected: 2, .. })
        ));
        assert!(matches!(admit(&people, r#"[0, 1, "a"]"#, None), Err(RowError::KeyLength { .. })));
        admit(&people, r#"["a", 1]"#, Some(r#"{"id": 1, "region": "a"}"#)).unwrap();
        assert!(matches!(
            admit(&people, r#"["a", 1]"#, None),
            Err(RowError::Kind { .. } | RowError::KeyOrder(_))
        ));
        let before = Some(r#"{"id": 1, "region": "a"}"#);
        let key = IncomingKey::Array(r#"["a", 1]"#);
        let row = IncomingRow { time: HlcTimestamp::ZERO, key, after: None, before };
        assert_eq!(people.admit(row).unwrap().key.as_json(), r#"[1,"a"]"#);
    }

    #[test]
    fn keys_are_found_by_name_where_the_feed_names_them() {
        let people = people();
        let admit = |key, after, before| {
            people.admit(IncomingRow { time: HlcTimestamp::ZERO, key, after, before }).map(|row| row.key)
        };
        let row = Some(r#"{"small": 2, "REGION": "a\u003cb", "id": 1}"#);
        let object = IncomingKey::Object(r#"{"crdb_internal_id_shard_16": 3, "id": 1, "region": "a<b"}"#);
        for key in [IncomingKey::OfRow, object] {
            assert_eq!(admit(key, row, None).unwrap().as_json(), r#"[1,"a<b"]"#);
            assert_eq!(admit(key, None, row).unwrap().as_json(), r#"[1,"a<b"]"#);
        }
        assert_eq!(admit(object, None, None).unwrap().as_json(), r#"[1,"a<b"]"#);
        assert_eq!(admit(object, None, Some(r#"{"small": 2}"#)).unwrap().as_json(), r#"[1,"a<b"]"#);
        assert_eq!(people.unstored_alignment(), None, "names say nothing about an order");
        for (key, before, column) in [
            (IncomingKey::OfRow, Some(r#"{"id": 1}"#), "region"),
            (IncomingKey::OfRow, None, "id"),
            (IncomingKey::Object(r#"{"region": "a"}"#), None, "id"),
            (IncomingKey::Object("{}"), Some("{}"), "id"),
        ] {
            match admit(key, None, before) {
                Err(RowError::KeyMember { column: found, .. }) => assert_eq!(found, column),
                other => panic!("{key:?}: {other:?}"),
            }
        }
        for bad in ["[]", "7", r#"{"id": 1, "id": 2}"#] {
            assert!(
                matches!(admit(IncomingKey::Object(bad), None, None), Err(RowError::Malformed { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn values_of_the_wrong_kind_name_table_and_column_but_never_the_value() {
        let people = people();
        for (member, value) in [
            ("small", "32768"),
            ("small", "1.5"),
            ("small", "\"7\""),
            ("price", "\"expensive\""),
            ("data", "\"zz\""),
            ("data", "[1]"),
        ] {
            let after = format!(r#"{{"id": 1, "region": "a", "{member}": {value}}}"#);
            let error = admit(&people, r#"[1, "a"]"#, Some(&after)).unwrap_err().to_string();
            assert!(error.contains("db.public.people") && error.contains(member), "{error}");
            assert!(!error.contains("expensive") && !error.contains("32768"), "{error}");
        }
        for (member, value) in
            [("small", "-32768"), ("price", "1E+2"), ("price", "\"NaN\""), ("data", r#""\\x00ff""#)]
        {
            let after = format!(r#"{{"id": 1, "region": "a", "{member}": {value}}}"#);
            admit(&people, r#"[1, "a"]"#, Some(&after)).unwrap();
        }
    }

    #[test]
    fn malformed_rows_are_refused() {
        let people = people();
        for after in [
            r#"{"id": 1, "id": 2, "region": "a"}"#,
            "[]",
            "7",
            r#"{"id": 1, "region": null}"#,
            r#"{"id": 1}"#,
        ] {
            assert!(admit(&people, r#"[1, "a"]"#, Some(after)).is_err(), "{after}");
        }
        assert!(admit(&people, "{}", Some(r#"{"id": 1, "region": "a"}"#)).is_err());
        let unknown =
            admit(&people, r#"[1, "a"]"#, Some(r#"{"id": 1, "region": "a", "age": 3}"#)).unwrap_err();
        assert!(unknown.may_be_stale_schema());
        assert!(unknown.to_string().contains("age"));
    }

    proptest! {
        #[test]
        fn never_panics(key in "\\PC*|[\\[\\]0-9\",]*", after in proptest::option::of("\\PC*|[{}\":a-z0-9,]*")) {
            let _ = admit(&people(), &key, after.as_deref());
        }
    }
}
