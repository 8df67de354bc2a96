//! What the log does not tell of a column: the source's catalogue does, and the target's.

use std::collections::HashMap;

use sink_core::model::{ColumnSchema, ValueClass};

/// Types that the log writes as others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    /// MariaDB's UUID: in the log 16 bytes.
    Uuid,
    /// MariaDB's INET4: in the log 4 bytes.
    Inet4,
    /// MariaDB's INET6: in the log 16 bytes.
    Inet6,
    /// MariaDB's JSON: in the log a text.
    Json,
    /// MariaDB's VECTOR: in the log bytes.
    Vector,
}

/// What a column of the target takes, as far as it matters for the text of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TargetKind {
    /// Text of any kind.
    Text,
    /// `boolean`.
    Bool,
    /// An integer.
    Integer,
    /// `time`, a time of day.
    Time,
    /// `uuid`.
    Uuid,
    /// `bytea`.
    Bytes,
    /// An array.
    Array,
    /// `jsonb`, or `json` if not binary.
    Json {
        /// `jsonb`.
        binary: bool,
    },
    /// Anything else.
    #[default]
    Other,
}

/// A column of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TargetColumn {
    /// What it takes.
    pub kind: TargetKind,
    /// Can hold NULL.
    pub nullable: bool,
}

impl From<&ColumnSchema> for TargetColumn {
    fn from(column: &ColumnSchema) -> Self {
        let kind = match column.class {
            ValueClass::Text => TargetKind::Text,
            ValueClass::Bool => TargetKind::Bool,
            ValueClass::Integer(_) => TargetKind::Integer,
            ValueClass::Bytes => TargetKind::Bytes,
            ValueClass::Array => TargetKind::Array,
            ValueClass::Json { binary } => TargetKind::Json { binary },
            ValueClass::Scalar => scalar(&column.sql_type),
            ValueClass::Float
            | ValueClass::Numeric
            | ValueClass::Timestamp
            | ValueClass::Composite
            | ValueClass::Geo { .. } => TargetKind::Other,
        };
        Self { kind, nullable: column.nullable }
    }
}

fn scalar(sql_type: &str) -> TargetKind {
    let name = sql_type.split(['(', ' ']).next().unwrap_or_default();
    if name.eq_ignore_ascii_case("uuid") {
        TargetKind::Uuid
    } else if name.eq_ignore_ascii_case("time") || name.eq_ignore_ascii_case("timetz") {
        TargetKind::Time
    } else {
        TargetKind::Other
    }
}

/// What is known of a column from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ColumnHints {
    /// The source's catalogue: a type that the log writes as another.
    pub special: Option<Special>,
    /// The source's catalogue: computed there.
    pub generated: bool,
    /// The column of the target that takes it.
    pub target: Option<TargetColumn>,
}

/// What is known of a table's columns from elsewhere, by the source's names. Empty: the log alone is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hints {
    /// By name.
    pub columns: HashMap<String, ColumnHints>,
}

impl Hints {
    /// What is known of a column.
    #[must_use]
    pub fn of(&self, column: &str) -> ColumnHints {
        self.columns.get(column).copied().unwrap_or_default()
    }
}
