//! Decides whether a row fits its target table, as far as that needs no server: names, key, and the kind of each
//! value. What is refused here is refused before anything is stored, with the table and column named. Pure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json_text::{self, JsonTextError};
use super::key_text::{canonical, canonical_number};
use super::value_kind::check_kind;
use crate::apply::matching::{Matching, ShapeError};
use crate::model::expression::Input;
use crate::model::{
    Behaviours, Change, ColumnSchema, HlcTimestamp, Mutation, RowKey, Shape, TableSchema, ValueClass,
};

/// Most shapes of one table that are remembered; more are legal but are looked up each time.
const MAX_REMEMBERED_SHAPES: usize = 64;

/// A row of a changefeed before it is matched with a table. Texts are valid JSON of any kind.
#[derive(Debug, Clone, Copy)]
pub struct IncomingRow<'a> {
    /// Commit time.
    pub time: HlcTimestamp,
    /// The primary key as the source orders it: a JSON array.
    pub key: &'a str,
    /// The row, an object; `None` for a deletion.
    pub after: Option<&'a str>,
    /// The row before the change, an object, where the feed sends it.
    pub before: Option<&'a str>,
}

/// Why a row is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Members and columns do not match.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The table cannot take upserts at all.
    #[error("table {0} has no primary key at the target; add one (such as the source's hidden rowid column)")]
    NoPrimaryKey(String),
    /// The configuration of the table cannot be used.
    #[error("the configuration of table {table} in apply_config cannot be used: {why}")]
    Rejected {
        /// The table.
        table: String,
        /// Why.
        why: Arc<str>,
    },
    /// The key of a deletion does not fit.
    #[error(
        "table {table}: the key has {received} elements, the target's primary key has {expected}, and nothing tells \
         which belong together; create the changefeed with the option diff"
    )]
    KeyLength {
        /// The table.
        table: String,
        /// Elements in the key.
        received: usize,
        /// Columns of the target's key.
        expected: usize,
    },
    /// The key's order is not the target's.
    #[error(
        "table {0}: the key of the source is not ordered like the primary key of the target, so a deletion cannot be \
         matched; create the changefeed with the option diff"
    )]
    KeyOrder(String),
    /// A value is of the wrong kind.
    #[error("table {table}: column {column:?} is of type {sql_type} and cannot take {found}")]
    Kind {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The column's type.
        sql_type: String,
        /// What came instead, never the value itself.
        found: &'static str,
    },
    /// A key column of a type whose values we cannot compare.
    #[error("table {table}: primary keys of type {sql_type} (column {column:?}) are not supported")]
    KeyType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        sql_type: String,
    },
    /// A text the target cannot store.
    #[error("table {table}: {error}")]
    Text {
        /// The table.
        table: String,
        /// What is wrong.
        error: JsonTextError,
    },
    /// `after`, `before` or `key` is no object or array, or has a member twice.
    #[error("table {table}: {what}")]
    Malformed {
        /// The table.
        table: String,
        /// What is wrong.
        what: String,
    },
}

impl RowError {
    /// Whether a newer schema of the target might accept the row.
    #[must_use]
    pub fn may_be_stale_schema(&self) -> bool {
        match self {
            Self::Shape(_)
            | Self::Rejected { .. }
            | Self::NoPrimaryKey(_)
            | Self::KeyLength { .. }
            | Self::Kind { .. }
            | Self::KeyType { .. } => true,
            Self::KeyOrder(_) | Self::Text { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// How the source's key compares with the target's key values in the upserts seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alignment {
    Unknown,
    /// The last elements of a key with this many are the target's key, in order.
    Confirmed(usize),
    /// They are not, in some row at least.
    Contradicted,
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
        self.check_text(row.key)?;
        let elements: Vec<&RawValue> =
            serde_json::from_str(row.key).map_err(|_| self.malformed("the key is not a JSON array"))?;
        let (key, change) = match row.after {
            Some(after) => {
                self.check_text(after)?;
                let members = self.members(after, "after")?;
                let known = self.known_shape(&members)?;
                self.check_kinds(&members, &known.fed)?;
                let values = known.key_members.iter().map(|at| at.map(|at| members[at].1));
                let values: Vec<Option<&RawValue>> = values.collect();
                let key = self.canonical_key(&values)?;
                self.learn_alignment(&elements, &values);
                (key, Change::Upsert { row: after, shape: Arc::clone(&known.shape) })
            }
            None => (self.key_of_deletion(&elements, row.before)?, Change::Delete),
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

    fn check_text(&self, text: &str) -> Result<(), RowError> {
        json_text::check(text).map_err(|error| RowError::Text { table: self.name(), error })
    }

    fn members<'a>(&self, text: &'a str, which: &str) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, RowError> {
        let mut parser = serde_json::Deserializer::from_str(text);
        parser.deserialize_map(Members).map_err(|error| match error.classify() {
            // Our own messages name members, which are column names; the parser's may quote values.
            serde_json::error::Category::Data if error.to_string().contains(TWICE) => {
                self.malformed(format!("`{which}` has a {TWICE}"))
            }
            _ => self.malformed(format!("`{which}` is not a JSON object")),
        })
    }

    fn known_shape(&self, members: &[(Cow<'_, str>, &RawValue)]) -> Result<Arc<KnownShape>, RowError> {
        let last = self.last_shape.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(last) = last.filter(|last| last.names.iter().eq(members.iter().map(|(name, _)| name))) {
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
        let shape = if matching.extra().is_empty() { Shape::new(listed) } else { Shape::open(listed) };
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

    /// Writes the key values as a JSON array that is the same text whenever the values have the same text. Where an
    /// expression takes no input there is no value: null stands in its place.
    fn canonical_key(&self, values: &[Option<&RawValue>]) -> Result<RowKey, RowError> {
        let mut text = String::from("[");
        for (at, value) in self.table.primary_key.iter().zip(values) {
            let column = &self.table.columns[*at];
            if matches!(
                column.class,
                ValueClass::Json { .. } | ValueClass::Array | ValueClass::Composite | ValueClass::Geo { .. }
            ) {
                let (table, sql_type) = (self.name(), column.sql_type.clone());
                return Err(RowError::KeyType { table, column: column.name.to_string(), sql_type });
            }
            if text.len() > 1 {
                text.push(',');
            }
            let Some(value) = value else {
                text.push_str("null");
                continue;
            };
            self.check_kind(*at, value)?;
            if value.get() == "null" {
                return Err(self.wrong_kind(column, "null, being part of the primary key"));
            }
            match column.class {
                ValueClass::Numeric | ValueClass::Float => text.push_str(&canonical_number(value.get())),
                _ => text.push_str(&canonical(value.get())),
            }
        }
        text.push(']');
        Ok(RowKey::from_canonical(text))
    }

    /// Whether the value of a key column comes from the row.
    fn key_takes_value(&self, column: usize) -> bool {
        !self.table.writes_always(column)
    }

    fn key_of_deletion(&self, elements: &[&RawValue], before: Option<&str>) -> Result<RowKey, RowError> {
        let key = &self.table.primary_key;
        if let Some(before) = before
            && let Some(values) = self.key_in(&self.members(before, "before")?)
        {
            return self.canonical_key(&values);
        }
        // The source may or may not have a column that gets its value here.
        let taken = key.iter().filter(|column| self.key_takes_value(**column)).count();
        let has_all = taken < key.len() && elements.len() == key.len();
        let expected = if has_all { key.len() } else { taken };
        let alignment = self.alignment();
        let (length, known) = (elements.len(), alignment == Alignment::Confirmed(elements.len()));
        if length < expected || (length > expected && !known) {
            return Err(RowError::KeyLength { table: self.name(), received: length, expected });
        }
        if alignment == Alignment::Contradicted {
            return Err(RowError::KeyOrder(self.name()));
        }
        // A longer key starts with what only the source has: a hash bucket or a region.
        let mut rest = elements[length - expected..].iter().copied();
        let values = key.iter().map(|column| {
            let takes = self.key_takes_value(*column);
            if takes || has_all { rest.next().filter(|_| takes) } else { None }
        });
        self.canonical_key(&values.collect::<Vec<_>>())
    }

    /// The key values of a row before its deletion, if it has them all.
    fn key_in<'a>(&self, members: &[(Cow<'_, str>, &'a RawValue)]) -> Option<Vec<Option<&'a RawValue>>> {
        let value_of = |column: &usize| {
            if !self.key_takes_value(*column) {
                return Some(None);
            }
            let source = self.table.source_of(*column);
            let exact = members.iter().find(|(name, _)| name == source);
            let folded = source.to_lowercase();
            let hit = exact.or_else(|| members.iter().find(|(name, _)| name.to_lowercase() == folded));
            hit.map(|(_, value)| Some(*value))
        };
        self.table.primary_key.iter().map(value_of).collect()
    }

    fn alignment(&self) -> Alignment {
        match self.alignment.load(Ordering::Relaxed) {
            UNKNOWN => Alignment::Unknown,
            CONTRADICTED => Alignment::Contradicted,
            length => Alignment::Confirmed(length),
        }
    }

    /// A row whose key elements are all different shows which belongs to which column; others prove nothing. One row
    /// that contradicts outweighs any number that confirm.
    fn learn_alignment(&self, elements: &[&RawValue], values: &[Option<&RawValue>]) {
        if elements.len() == 1 && values.len() == 1 {
            return;
        }
        let elements: Vec<Cow<'_, str>> = elements.iter().map(|element| canonical(element.get())).collect();
        let values: Vec<Option<Cow<'_, str>>> =
            values.iter().map(|value| value.map(|value| canonical(value.get()))).collect();
        let same = if elements.len() == values.len() {
            elements.iter().zip(&values).all(|(element, value)| value.as_ref().is_none_or(|v| v == element))
        } else {
            let taken: Vec<&Cow<'_, str>> = values.iter().flatten().collect();
            elements.len() >= taken.len() && elements[elements.len() - taken.len()..].iter().eq(taken)
        };
        let distinct = elements.iter().enumerate().all(|(at, element)| !elements[..at].contains(element));
        let known = self.alignment.load(Ordering::Relaxed);
        if !same {
            self.alignment.store(CONTRADICTED, Ordering::Relaxed);
        } else if distinct && known != CONTRADICTED {
            self.alignment.store(elements.len(), Ordering::Relaxed);
        }
    }
}

/// Marks our own message among the parser's.
const TWICE: &str = "member that occurs twice";

/// Reads an object into its members, in order, refusing a name that occurs twice.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::new();
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
        let row = IncomingRow { time: HlcTimestamp::ZERO, key: r#"["a", 1]"#, after: None, before };
        assert_eq!(people.admit(row).unwrap().key.as_json(), r#"[1,"a"]"#);
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
