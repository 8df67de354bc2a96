//! One row's change, on its way from a changefeed to a target table.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{HlcTimestamp, TableSchema};

/// Longest key text that is stored in an index as it is, in bytes. PostgreSQL refuses index entries above
/// 2,704 bytes; longer keys are stored as their digest.
pub const MAX_INDEXED_KEY_BYTES: usize = 1024;

/// The primary key of a row: a JSON array of the key values in the order of the *target's* primary key,
/// written canonically (strings re-escaped, numbers as received, no spaces).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(Arc<str>);

impl RowKey {
    /// Takes a canonical JSON array.
    #[must_use]
    pub fn from_canonical(text: String) -> Self {
        Self(text.into())
    }

    /// The JSON array.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// What stands for this key in an index: the JSON array, or `#` and its SHA-256 in hexadecimal when the
    /// array is longer than [`MAX_INDEXED_KEY_BYTES`]. The two forms cannot collide: an array starts with `[`.
    #[must_use]
    pub fn indexed(&self) -> Arc<str> {
        if self.is_long() { self.index_text().into() } else { Arc::clone(&self.0) }
    }

    /// The same for those who do not keep it.
    #[must_use]
    pub fn index_text(&self) -> Cow<'_, str> {
        if self.is_long() { format!("#{}", self.digest()).into() } else { Cow::Borrowed(&self.0) }
    }

    /// Whether the key is too long for an index.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.0.len() > MAX_INDEXED_KEY_BYTES
    }

    /// SHA-256 of the JSON array in hexadecimal. Safe to log where the key itself is not.
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }
}

/// Which members a row's JSON object has. Rows of one table that share a shape are written by one statement;
/// a column that no member feeds is left alone (or takes its default in a new row).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    id: i64,
    members: Vec<String>,
    open: bool,
}

impl Shape {
    /// The id that deletions carry in place of a shape.
    pub const DELETION: i64 = 0;

    /// The shape of a row with these members, in any order.
    #[must_use]
    pub fn new(members: Vec<String>) -> Self {
        Self::with(members, false)
    }

    /// The shape of a row with these members and any others, which all go where the table collects what no column
    /// takes. Such rows may differ in every name, so the others are not listed.
    #[must_use]
    pub fn open(members: Vec<String>) -> Self {
        Self::with(members, true)
    }

    fn with(mut members: Vec<String>, open: bool) -> Self {
        members.sort_unstable();
        let mut shape = Self { id: 1, members, open };
        let digest = Sha256::digest(shape.to_json().as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        // Zero is taken; any other value will do for the one text in 2^64 that hashes to it.
        shape.id = match i64::from_be_bytes(first) {
            Self::DELETION => 1,
            id => id,
        };
        shape
    }

    /// The shape as a JSON array of its members; a null at the end says that there are others.
    #[must_use]
    pub fn to_json(&self) -> String {
        let others = self.open.then_some(None);
        let all: Vec<Option<&str>> =
            self.members.iter().map(|member| Some(member.as_str())).chain(others).collect();
        serde_json::to_string(&all).expect("strings always serialise")
    }

    /// Reads what [`Self::to_json`] wrote.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        let mut all: Vec<Option<String>> = serde_json::from_str(text).ok()?;
        let open = all.last().is_some_and(Option::is_none);
        if open {
            all.pop();
        }
        Some(Self::with(all.into_iter().collect::<Option<Vec<String>>>()?, open))
    }

    /// A number that stands for the set of members: the first eight bytes of a SHA-256, never zero.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Member names, sorted bytewise, as the source spells them.
    #[must_use]
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// Whether rows have members that are not listed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }
}

/// What happened to the row. Texts are JSON as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'a> {
    /// The row now looks like this; whether it existed before is unknown.
    Upsert {
        /// The JSON object of the row.
        row: &'a str,
        /// Which members `row` has.
        shape: Arc<Shape>,
    },
    /// The row is gone.
    Delete,
}

/// One row's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation<'a> {
    /// Commit time at the source; [`HlcTimestamp::ZERO`] where the feed sends none.
    pub time: HlcTimestamp,
    /// Which row.
    pub key: RowKey,
    /// What happened to it.
    pub change: Change<'a>,
    /// The row before the change as JSON, where the feed sends it (option `diff`).
    pub before: Option<&'a str>,
}

impl Mutation<'_> {
    /// The text stored for the row: its JSON object, or `null` for a deletion.
    #[must_use]
    pub fn row_text(&self) -> &str {
        match &self.change {
            Change::Upsert { row, .. } => row,
            Change::Delete => "null",
        }
    }

    /// The id of the row's shape, [`Shape::DELETION`] for a deletion.
    #[must_use]
    pub fn shape_id(&self) -> i64 {
        match &self.change {
            Change::Upsert { shape, .. } => shape.id(),
            Change::Delete => Shape::DELETION,
        }
    }

    /// Bytes this mutation adds to a statement, roughly.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.row_text().len() + self.key.as_json().len() + self.before.map_or(0, str::len) + 32
    }
}

/// Mutations of one table that travel together for efficiency; nothing about a batch is atomic.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    /// The target table, as its schema was when the rows were checked.
    pub table: Arc<TableSchema>,
    /// The rows, in any order.
    pub rows: Vec<Mutation<'a>>,
}

/// Lower-case hexadecimal digits of some bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_does_not_depend_on_the_order_of_members() {
        let ab = Shape::new(vec!["a".into(), "b".into()]);
        assert_eq!(ab, Shape::new(vec!["b".into(), "a".into()]));
        assert_ne!(ab.id(), Shape::new(vec!["a,b".into()]).id());
        assert_ne!(ab.id(), Shape::DELETION);
    }

    #[test]
    fn an_open_shape_is_another_one_and_survives_storage() {
        let names = || vec!["b".to_owned(), "a".to_owned()];
        let (open, closed) = (Shape::open(names()), Shape::new(names()));
        assert_ne!(open.id(), closed.id());
        assert_eq!(open.to_json(), r#"["a","b",null]"#);
        for shape in [open, closed, Shape::open(Vec::new())] {
            assert_eq!(Shape::from_json(&shape.to_json()), Some(shape));
        }
        assert_eq!(Shape::from_json(r#"["a",null,"b"]"#), None);
    }

    #[test]
    fn long_keys_are_indexed_by_digest() {
        let short = RowKey::from_canonical("[1]".into());
        assert_eq!(&*short.indexed(), "[1]");
        let long = RowKey::from_canonical(format!("[\"{}\"]", "x".repeat(MAX_INDEXED_KEY_BYTES)));
        assert_eq!(long.indexed().len(), 65);
        assert!(long.indexed().starts_with('#'));
    }
}
