//! What is read of a table, and what the log would say of it. Pure.
//!
//! The catalogue's columns become a table map like those of the log, so that the log's decoder decides what text a value is
//! and which columns cannot be read.

use sink_core::flow::copy::TargetTable;

use super::encode::Encoder;
use crate::binlog::table_map::log_type as t;
use crate::binlog::{MapColumn, MapKey, TableMap, TableMapId};
use crate::catalog::{ColumnFacts, TableFacts, quoted};
use crate::charset::Charsets;
use crate::policy::Policies;
use crate::table::{Hints, Plan, PlanError, Special, TargetColumn};

/// `utf8mb4_general_ci`: the session has texts sent in this character set, whatever theirs is.
const UTF8: u32 = 45;
/// Bytes.
const BINARY: u32 = 63;

/// How the rows of a table are read.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// What to select, in the order of the target's columns.
    pub(super) select: Vec<String>,
    /// How each is written for the decoder.
    pub(super) encoders: Vec<Encoder>,
    /// The decoder's plan.
    pub(super) plan: Plan,
}

/// A column as the log has it.
struct Logged {
    log_type: u8,
    meta: u16,
    collation: Option<u32>,
    labels: Option<Vec<Vec<u8>>>,
    encoder: Encoder,
    select: String,
    special: Option<Special>,
}

impl Layout {
    /// Reads the columns that the target takes. `columns` are the names that `target` was matched with.
    pub(super) fn new(
        facts: &TableFacts,
        target: &TargetTable,
        policies: Policies,
    ) -> Result<Self, PlanError> {
        let mut hints = facts.hints();
        let (mut select, mut encoders, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for (to, from) in &target.columns {
            let Some(column) = facts.columns.get(*from) else { continue };
            let logged = logged(column);
            let hint = hints.columns.entry(column.name.clone()).or_default();
            hint.target = target.schema.columns.get(*to).map(TargetColumn::from);
            hint.special = logged.special.or(hint.special);
            columns.push(MapColumn {
                log_type: logged.log_type,
                meta: logged.meta,
                nullable: column.nullable,
                name: Some(column.name.clone()),
                unsigned: Some(column.column_type.to_ascii_lowercase().contains("unsigned")),
                collation: logged.collation,
                labels: logged.labels,
                visible: Some(true),
            });
            select.push(logged.select);
            encoders.push(logged.encoder);
        }
        let map = TableMap {
            id: TableMapId(0),
            database: facts.name.database.clone(),
            table: facts.name.table.clone(),
            columns,
            key: MapKey::None,
        };
        let plan = plan(&map, &hints, policies)?;
        Ok(Self { select, encoders, plan })
    }
}

fn plan(map: &TableMap, hints: &Hints, policies: Policies) -> Result<Plan, PlanError> {
    Plan::new(map, hints, &Charsets::default(), policies)
}

fn logged(column: &ColumnFacts) -> Logged {
    let name = quoted(&column.name);
    let numbers = crate::definitions::numbers(&column.column_type);
    let number = |at: usize, other: usize| {
        numbers.get(at).and_then(|number| usize::try_from(*number).ok()).unwrap_or(other)
    };
    let meta = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    let plain = |log_type: u8, of: usize, encoder: Encoder| Logged {
        log_type,
        meta: meta(of),
        collation: None,
        labels: None,
        encoder,
        select: name.clone(),
        special: None,
    };
    let bytes = |log_type: u8, length: usize, prefix: usize| Logged {
        collation: Some(BINARY),
        ..plain(log_type, length, Encoder::Bytes(prefix))
    };
    let (text, digits) =
        (Logged { collation: Some(UTF8), ..plain(t::BLOB, 4, Encoder::Bytes(4)) }, number(0, 0));
    match column.data_type.as_str() {
        "tinyint" => plain(t::TINY, 0, Encoder::Integer(1)),
        "smallint" => plain(t::SHORT, 0, Encoder::Integer(2)),
        "mediumint" => plain(t::INT24, 0, Encoder::Integer(3)),
        "int" | "integer" => plain(t::LONG, 0, Encoder::Integer(4)),
        "bigint" => plain(t::LONGLONG, 0, Encoder::Integer(8)),
        "float" => plain(t::FLOAT, 4, Encoder::Float),
        "double" | "real" => plain(t::DOUBLE, 8, Encoder::Double),
        "decimal" | "numeric" => {
            let (precision, scale) = (number(0, 10), number(1, 0));
            plain(t::DECIMAL, precision << 8 | scale, Encoder::Decimal { precision, scale })
        }
        "year" => plain(t::YEAR, 0, Encoder::Year),
        "date" => plain(t::DATE, 0, Encoder::Date),
        "time" => plain(t::TIME, digits, Encoder::Time(digits)),
        "datetime" => plain(t::DATETIME, digits, Encoder::DateTime(digits)),
        "timestamp" => plain(t::TIMESTAMP, digits, Encoder::Timestamp(digits)),
        "bit" => {
            let bits = number(0, 1);
            plain(t::BIT, bits, Encoder::Bits(bits.div_ceil(8)))
        }
        "enum" | "set" => labelled(column, plain(t::ENUM, 0, Encoder::Integer(1))),
        "binary" => bytes(t::STRING, number(0, 1), 1),
        "varbinary" => {
            let length = number(0, 0);
            bytes(t::VARCHAR, length, if length > 255 { 2 } else { 1 })
        }
        "uuid" | "inet6" | "inet4" => {
            let length = if column.data_type == "inet4" { 4 } else { 16 };
            // As bytes, which is what the log has.
            Logged { select: format!("CAST({name} AS BINARY({length}))"), ..bytes(t::STRING, length, 1) }
        }
        "vector" => plain(t::VECTOR, 4, Encoder::Bytes(4)),
        "json" => Logged { special: Some(Special::Json), ..text },
        _ if column.charset.as_deref().is_some_and(|charset| charset != "binary") => text,
        other if other.ends_with("blob") || column.charset.is_some() => bytes(t::BLOB, 4, 4),
        // Geometries.
        _ => plain(t::GEOMETRY, 4, Encoder::Bytes(4)),
    }
}

/// ENUM and SET are asked for by their numbers: the error value has no label.
fn labelled(column: &ColumnFacts, plain: Logged) -> Logged {
    let labels = crate::definitions::labels(&column.column_type);
    let (log_type, bytes) = match column.data_type.as_str() {
        "enum" => (t::ENUM, if labels.len() > 255 { 2 } else { 1 }),
        _ => (
            t::SET,
            match labels.len().div_ceil(8) {
                bytes @ 0..=4 => bytes.max(1),
                _ => 8,
            },
        ),
    };
    Logged {
        log_type,
        meta: u16::try_from(bytes).unwrap_or(8),
        collation: Some(UTF8),
        labels: Some(labels.into_iter().map(String::into_bytes).collect()),
        encoder: Encoder::Integer(bytes),
        select: format!("CAST({} AS UNSIGNED)", quoted(&column.name)),
        ..plain
    }
}
