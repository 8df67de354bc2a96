//! Publications and sequences.

use super::CatalogError;
use super::fields::Fields;
use super::tables::TableName;
use crate::transport::Row;

/// Which computed columns a publication sends of tables without a column list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeneratedColumns {
    /// None; before 18 there is nothing else.
    None,
    /// Those that are stored.
    Stored,
}

/// A publication of the session's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its number: made anew, it has another.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Every table of the database, those to come included.
    pub all_tables: bool,
    /// Publishes inserts.
    pub inserts: bool,
    /// Publishes updates.
    pub updates: bool,
    /// Publishes deletes.
    pub deletes: bool,
    /// Publishes TRUNCATE.
    pub truncates: bool,
    /// Changes of partitions are published as those of the partitioned table.
    pub via_root: bool,
    /// Computed columns.
    pub generated: GeneratedColumns,
    /// Its row in the catalogue is certainly older than anything the slot has still to decode. If not, it may be older
    /// or newer; none without a slot.
    pub older_than_slot: Option<bool>,
    /// How many schemas it publishes as a whole.
    pub schemas: u32,
}

impl Publication {
    pub(super) fn parse(row: &Row) -> Result<Self, CatalogError> {
        let mut fields = Fields::new("the publications", row);
        Ok(Self {
            oid: fields.parsed()?,
            name: fields.string()?,
            all_tables: fields.flag()?,
            inserts: fields.flag()?,
            updates: fields.flag()?,
            deletes: fields.flag()?,
            truncates: fields.flag()?,
            via_root: fields.flag()?,
            generated: match fields.text()? {
                "n" => GeneratedColumns::None,
                "s" => GeneratedColumns::Stored,
                _ => return Err(fields.malformed("a kind of computed columns that is known")),
            },
            older_than_slot: fields.maybe_text()?.map(|text| text == "t"),
            schemas: fields.parsed()?,
        })
    }
}

/// A sequence. Its values are not part of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Its name.
    pub name: TableName,
    /// The table and column that it belongs to (`serial`, identity).
    pub owner: Option<(TableName, String)>,
    /// Whether it is an identity column's.
    pub identity: bool,
    /// Whether its value may be read by us, as copying it at cut-over needs.
    pub readable: bool,
}

impl Sequence {
    pub(super) fn parse(row: &Row) -> Result<Self, CatalogError> {
        let mut fields = Fields::new("the sequences", row);
        let name = TableName { schema: fields.string()?, name: fields.string()? };
        let owner = (fields.maybe_string()?, fields.maybe_string()?, fields.maybe_string()?);
        let owner = match owner {
            (Some(schema), Some(table), Some(column)) => Some((TableName { schema, name: table }, column)),
            (Some(_) | None, Some(_) | None, Some(_) | None) => None,
        };
        Ok(Self { name, owner, identity: fields.flag()?, readable: fields.flag()? })
    }
}
