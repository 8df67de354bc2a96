//! Tables cut into ranges of their keys.

use std::sync::Arc;
use std::time::Duration;

use sink_core::failure::Failure;
use sink_core::flow::copy::store::target_table;
use sink_core::flow::copy::{Fence, RangePlan, RangeRecord, SourceName};

use super::Snapshot;
use super::key::Key;
use super::layout::Layout;
use super::part::{Bounds, Part};
use super::prepare::{PREPARE, halt};
use crate::catalog::{TableDetails, TableFacts, quoted};
use crate::transport::Session;

/// Rows that are worth a range of their own.
const RANGE_ROWS: u64 = 50_000;
/// Ranges per worker: those who are done early take over from those who are not.
const SHARES: u64 = 4;
/// The ends of an index are found at once, unless something holds the table.
const LIMIT: Duration = Duration::from_secs(300);
/// What a row takes where nobody knows, in bytes.
const ROW_BYTES: u64 = 128;

impl Snapshot {
    /// A table with what is left of it: the ranges that are known, or new ones.
    pub(super) async fn plan_table(
        &self,
        session: &mut Session,
        fence: &Fence,
        (name, table): (&SourceName, &TableFacts),
        details: &TableDetails,
        known: Option<&[&RangeRecord]>,
    ) -> Result<RangePlan<Arc<Part>>, Failure> {
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let target = target_table(self.store.database(), name, &columns).await?;
        let key = Arc::new(key_of(table, details)?);
        let layout = Layout::new(table, &target, self.settings.policies);
        let layout = Arc::new(layout.map_err(|e| halt(e.to_string()))?);
        let ranges: Vec<(i32, Bounds, Option<String>)> = match known {
            Some(known) => left(known)?,
            None => {
                let bounds = self.cut(session, table, &key).await?;
                let written: Vec<String> = bounds.iter().map(|bounds| bounds.written()).collect();
                self.store.begin_ranges(fence, name, &target.schema.id, &written).await?;
                (1..).zip(bounds).map(|(number, bounds)| (number, bounds, None)).collect()
            }
        };
        let row_bytes = table.bytes.checked_div(table.rows).unwrap_or(ROW_BYTES).max(1);
        self.expect(name, table, known.unwrap_or_default(), row_bytes);
        let part = |bounds: Bounds| {
            Arc::new(Part {
                table: table.name.clone(),
                layout: Arc::clone(&layout),
                key: Arc::clone(&key),
                bounds,
                row_bytes,
                chunk_bytes: self.settings.chunk_bytes,
            })
        };
        let ranges = ranges.into_iter().map(|(number, bounds, reached)| (number, part(bounds), reached));
        let ranges = ranges.collect();
        Ok(RangePlan { source: name.clone(), target, ranges, row_weight: row_bytes })
    }

    /// Tells the board what there is, and what of it is there already.
    fn expect(&self, name: &SourceName, table: &TableFacts, known: &[&RangeRecord], row_bytes: u64) {
        let rows: u64 = known.iter().map(|range| range.rows).sum();
        let bytes: u64 = known.iter().map(|range| range.bytes).sum();
        let all = table.rows.max(rows);
        self.board.expect(name, all, all.saturating_mul(row_bytes));
        if rows > 0 {
            self.board.begin(name);
            self.board.seen(name, rows, bytes);
            self.board.piece(name, rows.saturating_mul(row_bytes), bytes);
        }
    }

    /// Large tables are cut by the first part of their key, if it is an integer; others are one range.
    async fn cut(
        &self,
        session: &mut Session,
        table: &TableFacts,
        key: &Key,
    ) -> Result<Vec<Bounds>, Failure> {
        let workers = u64::try_from(self.settings.workers).unwrap_or(1);
        let ranges = (table.rows / RANGE_ROWS).min(workers.saturating_mul(SHARES));
        let (Some(first), 2..) = (key.cut_by(), ranges) else { return Ok(vec![Bounds::default()]) };
        let sql = format!(
            "SELECT CAST(MIN({first}) AS CHAR), CAST(MAX({first}) AS CHAR) FROM {}.{}",
            quoted(&table.name.database),
            quoted(&table.name.table)
        );
        let rows: Vec<(Option<String>, Option<String>)> =
            session.rows(&sql, (), LIMIT).await.map_err(|e| e.failed(PREPARE))?;
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i128>().ok());
        let ends = rows.first().and_then(|(least, most)| Some((number(least)?, number(most)?)));
        Ok(ends.map_or_else(|| vec![Bounds::default()], |(least, most)| Bounds::cut(least, most, ranges)))
    }
}

/// The ranges that are not done.
fn left(known: &[&RangeRecord]) -> Result<Vec<(i32, Bounds, Option<String>)>, Failure> {
    let unknown = || halt("how far tables are copied was noted by a version that this one does not know");
    let ranges = known.iter().filter(|range| !range.done).map(|range| {
        let bounds = Bounds::read(&range.bounds).ok_or_else(unknown)?;
        Ok((range.number, bounds, range.reached.clone()))
    });
    ranges.collect()
}

fn key_of(table: &TableFacts, details: &TableDetails) -> Result<Key, Failure> {
    super::prepare::check_key(table)?;
    let gone = || halt(format!("table {} lost its key", table.name.table));
    let index = table.key().ok_or_else(gone)?;
    let column = |name: Option<&str>| table.columns.iter().find(|column| Some(column.name.as_str()) == name);
    let columns: Option<Vec<_>> = index
        .parts
        .iter()
        .map(|part| {
            let column = column(part.column.as_deref())?;
            Some((column, details.collation(&table.name, &column.name)))
        })
        .collect();
    Ok(Key::new(&index.name, &columns.ok_or_else(gone)?))
}
