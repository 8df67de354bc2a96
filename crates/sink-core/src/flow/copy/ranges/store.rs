//! Ranges as rows of the staging area of the database that is written.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::super::sql::Amount;
use super::super::store::{Fence, SnapshotStore, bind_table, hold, not_empty};
use super::super::table::{SourceName, TableState};
use super::{RangeRecord, RangeStep, Reached};
use crate::failure::{Disposition, Failure};
use crate::flow::FeedName;
use crate::model::TableId;
use crate::target::Database;
use crate::target::dialect::snapshots;
use crate::target::pool::failure;

const BEGIN: &str = "begin to copy a table";
const READ: &str = "read how far the tables are copied";
const ADVANCE: &str = "note how far a table is copied";

/// A unique index of a target table besides its key, with the statements that drop it and make it anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueIndex {
    /// Its name.
    pub name: String,
    /// Drops it.
    pub drop: String,
    /// Makes it anew.
    pub add: String,
}

impl SnapshotStore {
    /// From here on the table may hold rows of ours, and `bounds` are what is to be copied of it.
    ///
    /// # Errors
    /// `Fenced`; if the table holds rows, which are not ours; or if a statement fails.
    pub async fn begin_ranges(
        &self,
        fence: &Fence,
        source: &SourceName,
        target: &TableId,
        bounds: &[String],
    ) -> Result<(), Failure> {
        let fail = |e| failure(BEGIN, e);
        let facts = self.facts(target).await?;
        let mut connection = self.database().connection().await?;
        let mut tx = connection.begin().await.map_err(fail)?;
        hold(&mut tx, self.database(), fence).await?;
        if self.holds_rows(&mut tx, target, facts.partitioned).await? {
            return Err(not_empty(target));
        }
        self.change(&mut tx, fence, source, (&TableState::Pending, &TableState::Copying), (0, 0)).await?;
        for (sql, bound) in [
            (snapshots::forget_ranges(self.database().area()), None),
            (snapshots::add_ranges(self.database().area()), Some(bounds)),
        ] {
            let query = bind_table(sqlx::query(AssertSqlSafe(sql)).bind(&fence.feed.feed), source);
            let query = match bound {
                Some(bounds) => query.bind(bounds),
                None => query,
            };
            query.execute(&mut *tx).await.map_err(fail)?;
        }
        tx.commit().await.map_err(fail)
    }

    /// All ranges of a feed's tables, in order.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn ranges(&self, feed: &FeedName) -> Result<Vec<RangeRecord>, Failure> {
        let sql = snapshots::read_ranges(self.database().area());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&feed.feed);
        let rows = query.fetch_all(self.database().control()).await.map_err(|e| failure(READ, e))?;
        let amount = |number: i64| u64::try_from(number).unwrap_or(0);
        let record = |row: &sqlx::postgres::PgRow| RangeRecord {
            table: SourceName { schema: row.get(0), name: row.get(1) },
            number: row.get(2),
            bounds: row.get(3),
            reached: row.get(4),
            done: row.get(5),
            rows: amount(row.get(6)),
            bytes: amount(row.get(7)),
        };
        Ok(rows.iter().map(record).collect())
    }

    /// The unique indexes of a target table besides its primary key.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn unique_indexes(&self, table: &TableId) -> Result<Vec<UniqueIndex>, Failure> {
        let query = sqlx::query(snapshots::UNIQUE_INDEXES);
        let query = query.bind(table.schema.schema.as_str()).bind(table.table.as_str());
        let rows = query.fetch_all(self.database().control()).await;
        let rows = rows.map_err(|e| failure("look at the indexes of a target table", e))?;
        let index =
            |row: &sqlx::postgres::PgRow| UniqueIndex { name: row.get(0), drop: row.get(1), add: row.get(2) };
        Ok(rows.iter().map(index).collect())
    }
}

/// Moves a range on, in the transaction that holds the chunk.
///
/// # Errors
/// `Retry` if it does not stand where it should: an earlier try, whose answer was lost, was done after all.
pub(in super::super) async fn advance(
    connection: &mut PgConnection,
    database: &Database,
    fence: &Fence,
    step: &RangeStep,
    (reached, amount): (&Reached, Amount),
) -> Result<(), Failure> {
    let number = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    let sql = snapshots::advance_range(database.area());
    let query = bind_table(sqlx::query(AssertSqlSafe(sql)).bind(&fence.feed.feed), &step.table)
        .bind(step.number)
        .bind(&step.from)
        .bind(&reached.key)
        .bind(reached.last)
        .bind(number(amount.rows))
        .bind(number(amount.bytes));
    let done = query.execute(connection).await.map_err(|e| failure(ADVANCE, e))?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    let reason =
        format!("range {} of table {} moved meanwhile; read where it stands", step.number, step.table);
    Err(Failure::new(Disposition::Retry, ADVANCE, reason))
}
