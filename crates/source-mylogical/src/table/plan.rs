//! A table map, made ready for reading rows.

use super::error::{PlanError, PlanProblem};
use super::hints::{ColumnHints, Hints, Special, TargetColumn, TargetKind};
use super::kind::Kind;
use crate::binlog::table_map::log_type as t;
use crate::binlog::{MapColumn, MapKey, TableMap, TableMapId};
use crate::charset::{Charset, Charsets};
use crate::policy::Policies;

/// Digits of a fraction of a second, at most.
const MOST_FRACTION_DIGITS: u16 = 6;
/// Digits of a DECIMAL, and behind its point, at most (both manuals).
const MOST_DIGITS: usize = 65;
const MOST_SCALE: usize = 38;
/// The number of the collation of bytes.
const BINARY: u32 = 63;

/// How to read the rows of a table. Good as long as its table map is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    id: TableMapId,
    database: String,
    table: String,
    columns: Vec<PlannedColumn>,
    key: Vec<usize>,
    policies: Policies,
}

/// How to read the values of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedColumn {
    name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    pub(crate) target: Option<TargetColumn>,
    pub(crate) labels: Vec<String>,
    visible: bool,
    generated: bool,
}

impl PlannedColumn {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it appears in `SELECT *`.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        self.visible
    }

    /// Whether the source computes it.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.generated
    }
}

impl Plan {
    /// Decides for each column how it is read. `hints` are by the names of the map's columns.
    ///
    /// # Errors
    /// If the rows cannot be read, with what to do about it.
    pub fn new(
        map: &TableMap,
        hints: &Hints,
        charsets: &Charsets,
        policies: Policies,
    ) -> Result<Self, PlanError> {
        let error = |at: Option<usize>, problem| PlanError {
            database: map.database.clone(),
            table: map.table.clone(),
            column: at.map(|at| map.columns[at].name.clone().unwrap_or_else(|| format!("{}", at + 1))),
            problem,
        };
        let mut columns = Vec::with_capacity(map.columns.len());
        for (at, column) in map.columns.iter().enumerate() {
            let planned = plan(column, hints, charsets);
            columns.push(planned.map_err(|problem| error(Some(at), problem))?);
        }
        let key = match &map.key {
            MapKey::None => Vec::new(),
            MapKey::Columns(key) => key.clone(),
            MapKey::Prefixes(parts) => match parts.iter().find(|(_, length)| *length > 0) {
                Some((at, _)) => return Err(error(Some(*at), PlanProblem::KeyPrefix)),
                None => parts.iter().map(|(at, _)| *at).collect(),
            },
        };
        let (database, table) = (map.database.clone(), map.table.clone());
        Ok(Self { id: map.id, database, table, columns, key, policies })
    }

    /// The number under which its rows come.
    #[must_use]
    pub fn id(&self) -> TableMapId {
        self.id
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The columns, in the order in which rows hold them.
    #[must_use]
    pub fn columns(&self) -> &[PlannedColumn] {
        &self.columns
    }

    /// The primary key, or the first unique index over columns that are never NULL, in its own order; empty without one.
    #[must_use]
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// What is done with values that the target cannot hold.
    #[must_use]
    pub fn policies(&self) -> Policies {
        self.policies
    }
}

fn plan(column: &MapColumn, hints: &Hints, charsets: &Charsets) -> Result<PlannedColumn, PlanProblem> {
    let name = column.name.clone().ok_or(PlanProblem::NoMetadata { missing: "the names of columns" })?;
    let hints = hints.of(&name);

    let target = hints.target;
    let target_kind = target.map_or(TargetKind::Other, |target| target.kind);
    let kind = kind(column, hints, target_kind, charsets)?;
    Ok(PlannedColumn {
        name,
        kind,
        nullable: column.nullable,
        target,
        labels: labels(column, charsets)?,
        visible: column.visible.unwrap_or(true),
        generated: hints.generated,
    })
}

fn kind(
    column: &MapColumn,
    hints: ColumnHints,
    target: TargetKind,
    charsets: &Charsets,
) -> Result<Kind, PlanProblem> {
    let meta = usize::from(column.meta);
    let bad = Err(PlanProblem::BadMeta(column.meta));
    Ok(match column.log_type {
        t::TINY | t::SHORT | t::LONG | t::LONGLONG | t::INT24 => integer(column, target)?,
        t::FLOAT => Kind::Float,
        t::DOUBLE => Kind::Double,
        t::DECIMAL => match (meta >> 8, meta & 0xff) {
            (precision @ 1..=MOST_DIGITS, scale) if scale <= precision.min(MOST_SCALE) => {
                Kind::Decimal { precision, scale }
            }
            _ => return bad,
        },
        t::YEAR => Kind::Year,
        t::DATE => Kind::Date,
        t::TIME | t::DATETIME | t::TIMESTAMP if column.meta > MOST_FRACTION_DIGITS => return bad,
        t::TIME => Kind::Time { digits: meta, clock: target == TargetKind::Time },
        t::DATETIME => Kind::DateTime(meta),
        t::TIMESTAMP => Kind::Timestamp(meta),
        t::BIT => match (meta, target) {
            (0 | 65.., _) => return bad,
            (bits, TargetKind::Integer) => Kind::BitsNumber(bits),
            (bits, TargetKind::Bool) => Kind::BitsBool(bits),
            (bits, _) => Kind::Bits(bits),
        },
        t::ENUM if matches!(meta, 1 | 2) => Kind::Enum(meta),
        t::SET if matches!(meta, 1..=8) => Kind::Set { bytes: meta, array: target == TargetKind::Array },
        t::ENUM | t::SET => return bad,
        t::STRING | t::VAR_STRING | t::VARCHAR => characters(column, hints, target, charsets)?,
        t::BLOB => blob(column, hints, target, charsets)?,
        t::JSON | t::GEOMETRY | t::VECTOR if !(1..=4).contains(&meta) => return bad,
        t::JSON => Kind::Json { prefix: meta },
        t::GEOMETRY => Kind::Geometry { prefix: meta, bytes: target == TargetKind::Bytes },
        t::VECTOR => Kind::Vector { prefix: meta, array: target == TargetKind::Array },
        t::TIMESTAMP_OLD | t::TIME_OLD | t::DATETIME_OLD => return Err(PlanProblem::OldTemporal),
        t::DECIMAL_OLD => return Err(PlanProblem::OldDecimal),
        t::BLOB_COMPRESSED | t::VARCHAR_COMPRESSED => return Err(PlanProblem::Compressed),
        unknown => return Err(PlanProblem::UnknownType(unknown)),
    })
}

fn integer(column: &MapColumn, target: TargetKind) -> Result<Kind, PlanProblem> {
    let unsigned =
        column.unsigned.ok_or(PlanProblem::NoMetadata { missing: "whether numbers have a sign" })?;
    let (bytes, kind) = match (column.log_type, unsigned) {
        (t::TINY, false) => (1, Kind::Tiny),
        (t::TINY, true) => (1, Kind::UnsignedTiny),
        (t::SHORT, false) => (2, Kind::Short),
        (t::SHORT, true) => (2, Kind::UnsignedShort),
        (t::INT24, false) => (3, Kind::Medium),
        (t::INT24, true) => (3, Kind::UnsignedMedium),
        (t::LONG, false) => (4, Kind::Long),
        (t::LONG, true) => (4, Kind::UnsignedLong),
        (_, false) => (8, Kind::LongLong),
        (_, true) => (8, Kind::UnsignedLongLong),
    };
    Ok(if target == TargetKind::Bool { Kind::Bool(bytes) } else { kind })
}

/// CHAR, VARCHAR, BINARY and VARBINARY, and what MariaDB writes as these.
fn characters(
    column: &MapColumn,
    hints: ColumnHints,
    target: TargetKind,
    charsets: &Charsets,
) -> Result<Kind, PlanProblem> {
    let length = usize::from(column.meta);
    let prefix = if length > 255 { 2 } else { 1 };
    let fixed =
        |of: usize, kind: Kind| if length == of { Ok(kind) } else { Err(PlanProblem::BadMeta(column.meta)) };
    match hints.special {
        Some(Special::Uuid) => return fixed(16, Kind::Uuid { prefix }),
        Some(Special::Inet6) => return fixed(16, Kind::Inet6 { prefix }),
        Some(Special::Inet4) => return fixed(4, Kind::Inet4 { prefix }),
        Some(Special::Vector) => return Ok(Kind::Vector { prefix, array: target == TargetKind::Array }),
        Some(Special::Json) | None => {}
    }
    let charset = charset(column, charsets)?;
    let uuid = target == TargetKind::Uuid && length == 16;
    Ok(match (charset, column.log_type) {
        (Charset::Binary, t::VARCHAR) => Kind::Bytes { prefix, uuid },
        (Charset::Binary, _) if uuid => Kind::Uuid { prefix },
        (Charset::Binary, _) => Kind::Padded { prefix, length },
        (charset, _) => text(prefix, charset, hints, target),
    })
}

fn text(prefix: usize, charset: Charset, hints: ColumnHints, target: TargetKind) -> Kind {
    match (hints.special, target) {
        (Some(Special::Json), _) | (_, TargetKind::Json { .. }) => Kind::JsonText { prefix, charset },
        _ => Kind::Text { prefix, charset },
    }
}

fn blob(
    column: &MapColumn,
    hints: ColumnHints,
    target: TargetKind,
    charsets: &Charsets,
) -> Result<Kind, PlanProblem> {
    let prefix = usize::from(column.meta);
    if !(1..=4).contains(&prefix) {
        return Err(PlanProblem::BadMeta(column.meta));
    }
    Ok(match charset(column, charsets)? {
        Charset::Binary => Kind::Bytes { prefix, uuid: target == TargetKind::Uuid },
        charset => text(prefix, charset, hints, target),
    })
}

fn charset(column: &MapColumn, charsets: &Charsets) -> Result<Charset, PlanProblem> {
    let missing = "the character sets of columns";
    match column.collation.ok_or(PlanProblem::NoMetadata { missing })? {
        BINARY => Ok(Charset::Binary),
        collation => charsets.of(collation),
    }
}

fn labels(column: &MapColumn, charsets: &Charsets) -> Result<Vec<String>, PlanProblem> {
    if !matches!(column.log_type, t::ENUM | t::SET) {
        return Ok(Vec::new());
    }
    let labels =
        column.labels.as_ref().ok_or(PlanProblem::NoMetadata { missing: "the labels of ENUM and SET" })?;
    let charset = charset(column, charsets)?;
    let label = |label: &Vec<u8>| {
        let mut text = String::with_capacity(label.len());
        charset.decode(label, &mut text).map_err(|_| PlanProblem::BadLabel)?;
        Ok(text)
    };
    labels.iter().map(label).collect()
}
