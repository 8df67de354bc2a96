//! Tables as the catalogue describes them.

use crate::assemble::TableName;
use crate::table::{ColumnHints, Hints, Special};

/// What a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// A table with rows.
    Base,
    /// A view.
    View,
    /// MariaDB: a table that keeps the versions of its rows.
    Versioned,
    /// MariaDB: a counter.
    Sequence,
    /// Something else.
    Other,
}

/// Whether a column is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generated {
    /// No.
    No,
    /// When it is read.
    Virtual,
    /// When it is written.
    Stored,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFacts {
    /// Its name.
    pub name: String,
    /// Its type without lengths, in lower case: `varchar`.
    pub data_type: String,
    /// Its type as SQL of the source: `varchar(20)`, `tinyint(1) unsigned`.
    pub column_type: String,
    /// Can hold NULL.
    pub nullable: bool,
    /// Whether it is computed.
    pub generated: Generated,
    /// By what, as SQL of the source.
    pub expression: Option<String>,
    /// The catalogue's remarks: `auto_increment`, `INVISIBLE`, `on update current_timestamp()`.
    pub extra: String,
    /// The default: on MySQL the bare value or, if `extra` says `DEFAULT_GENERATED`, an expression; on MariaDB always an
    /// expression.
    pub default: Option<String>,
    /// The character set of texts.
    pub charset: Option<String>,
    /// A check demands that it is a JSON document: MariaDB's type JSON.
    pub json: bool,
}

/// A column of an index, or part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPart {
    /// The column; none if it is an expression.
    pub column: Option<String>,
    /// Only so many characters of it.
    pub prefix: Option<u64>,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFacts {
    /// Its name; `PRIMARY` is the primary key.
    pub name: String,
    /// No two rows are alike.
    pub unique: bool,
    /// `BTREE`, `HASH`, `FULLTEXT`, `SPATIAL`, …
    pub method: String,
    /// Its columns in order.
    pub parts: Vec<IndexPart>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKeyFacts {
    /// Its name.
    pub name: String,
    /// Its columns, and those that they refer to, in order.
    pub columns: Vec<(String, String)>,
    /// The table that is referred to.
    pub referenced: TableName,
    /// What follows a change of a key there: `CASCADE`, `SET NULL`, `RESTRICT`, …
    pub on_update: String,
    /// What follows when a row is gone there.
    pub on_delete: String,
}

impl ForeignKeyFacts {
    /// Rows of the referring table change by themselves.
    #[must_use]
    pub fn cascades(&self) -> bool {
        let changes = |rule: &str| matches!(rule, "CASCADE" | "SET NULL" | "SET DEFAULT");
        changes(&self.on_update) || changes(&self.on_delete)
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub kind: TableKind,
    /// The engine that keeps it.
    pub engine: String,
    /// Its changes can be rolled back.
    pub transactional: bool,
    /// About how many rows it has.
    pub rows: u64,
    /// About how many bytes.
    pub bytes: u64,
    /// Its columns in order.
    pub columns: Vec<ColumnFacts>,
    /// Its indexes.
    pub indexes: Vec<IndexFacts>,
    /// What it refers to.
    pub foreign_keys: Vec<ForeignKeyFacts>,
}

impl TableFacts {
    /// The primary key, if there is one.
    #[must_use]
    pub fn primary_key(&self) -> Option<&IndexFacts> {
        self.indexes.iter().find(|index| index.name == "PRIMARY")
    }

    /// What the log does not tell of the columns.
    #[must_use]
    pub fn hints(&self) -> Hints {
        let hints = |column: &ColumnFacts| {
            let special = match column.data_type.as_str() {
                "uuid" => Some(Special::Uuid),
                "inet4" => Some(Special::Inet4),
                "inet6" => Some(Special::Inet6),
                "vector" => Some(Special::Vector),
                _ if column.json => Some(Special::Json),
                _ => None,
            };
            ColumnHints { special, generated: column.generated != Generated::No, target: None }
        };
        Hints { columns: self.columns.iter().map(|column| (column.name.clone(), hints(column))).collect() }
    }
}
