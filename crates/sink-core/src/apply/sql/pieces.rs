//! Writes one large source timestamp in several target transactions, where one would be too large.
//!
//! A reader may see part of the timestamp meanwhile. That is harmless before the schema's first mark is applied: the
//! target shows nothing complete yet. Later it needs the operator's word. Every piece checks the epoch, the last step
//! moves the frontier; a crash in between repeats pieces, which ends in the same rows.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::SqlApplier;
use super::execute::{self, APPLY, Counts, Values};
use super::staged::Attempt;
use crate::apply::plan::{Fold, TablePlan};
use crate::checkpoint::Advance;
use crate::failure::{Disposition, Failure, Place};
use crate::model::{HlcTimestamp, Shape};
use crate::target::Product;
use crate::target::dialect::{Rows, SliceOptions, Writes};
use crate::target::pool::failure;

impl SqlApplier {
    /// `None` if the timestamp is small enough, or the target takes it whole.
    pub(super) async fn apply_in_pieces(&self, attempt: &Attempt<'_>) -> Result<Option<Counts>, Failure> {
        let needed = attempt.database.dialect().product() == Product::CockroachDb;
        if !needed && !self.config.split_large_timestamps {
            return Ok(None);
        }
        let mut connection = attempt.database.connection().await?;
        let limit = self.config.max_transaction_rows;
        if rows_up_to(&mut connection, attempt, u64::from(limit) + 1).await? <= u64::from(limit) {
            return Ok(None);
        }
        if attempt.advance.from > HlcTimestamp::ZERO && !self.config.split_large_timestamps {
            let reason = format!(
                "one source timestamp has more than {limit} rows, too many for one transaction; raise \
                 --maxTransactionRows, or start with --splitLargeTimestamps to let readers see part of it meanwhile"
            );
            return Err(Failure::new(Disposition::Halt, APPLY, reason));
        }
        if let Some(plan) = attempt.plans.iter().find(|plan| plan.fold == Fold::Value) {
            // A deletion and a row of one key may come under two spellings; only together is it known which counts.
            if !needed {
                return Ok(None);
            }
            let place = Place { table: Some(plan.table.id.clone()), ..Place::default() };
            let reason = format!(
                "one source timestamp has more than {limit} rows, and keys of this table may be equal in two spellings, so \
                 it cannot be written in pieces; raise --maxTransactionRows"
            );
            return Err(Failure::new(Disposition::Halt, APPLY, reason).at(place));
        }
        let mut counts = Counts::new(attempt.plans.len());
        for table in 0..attempt.plans.len() {
            write_table(&mut connection, attempt, table, Page::Upserts, limit, &mut counts).await?;
        }
        for table in (0..attempt.plans.len()).rev() {
            write_table(&mut connection, attempt, table, Page::Deletions, limit, &mut counts).await?;
        }
        let last = attempt.statements(attempt.options(true, Writes::FrontierOnly));
        let mut ignored = Counts::new(attempt.plans.len());
        execute::transaction(&mut connection, &last, &mut attempt.values(), &mut ignored).await?;
        Ok(Some(counts))
    }
}

/// Upserts come parents first, deletions children first, so they are paged through apart.
#[derive(Debug, Clone, Copy)]
enum Page {
    Upserts,
    Deletions,
}

/// Writes the upserts or the deletions of one table, page by page in order of the key.
async fn write_table(
    connection: &mut PgConnection,
    attempt: &Attempt<'_>,
    table: usize,
    which: Page,
    limit: u32,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let mut last = String::new();
    loop {
        let keys = page(connection, attempt, &attempt.plans[table], which, &last, limit).await?;
        let Some(end) = keys.last().cloned() else { return Ok(()) };
        // The frontier stays where it is: this only makes sure that it is still ours.
        let stay = Advance { to: attempt.advance.from, ..attempt.advance };
        let mut fence_values = attempt.values();
        fence_values.window.upto = stay.to;
        let mut values: Values<'_> = attempt.values();
        values.keys = vec![Vec::new(); attempt.plans.len()];
        values.keys[table] = keys;
        // The keys decide what is written: at one timestamp a key has either an upsert or a deletion.
        let writes = Writes::All;
        let form = SliceOptions { fence: false, guard: attempt.guard, writes, rows: Rows::StagedKeys };
        let mut tx = connection.begin().await.map_err(|e| failure(APPLY, e))?;
        let mut each = Counts::new(attempt.plans.len());
        let fence = attempt.statements(attempt.options(true, Writes::FrontierOnly));
        execute::all(&mut tx, &fence, &mut fence_values, &mut each).await?;
        let mut each = Counts::new(attempt.plans.len());
        execute::all(&mut tx, &attempt.statements(form), &mut values, &mut each).await?;
        tx.commit().await.map_err(|e| failure(APPLY, e))?;
        counts.deletes[table] += each.deletes[table];
        counts.upserts[table] += each.upserts[table];
        last = end;
    }
}

/// The next index keys of a table's upserts or deletions in the span.
async fn page(
    connection: &mut PgConnection,
    attempt: &Attempt<'_>,
    plan: &TablePlan,
    which: Page,
    after: &str,
    limit: u32,
) -> Result<Vec<String>, Failure> {
    let comparison = match which {
        Page::Upserts => "<>",
        Page::Deletions => "=",
    };
    let sql = format!(
        "SELECT DISTINCT key FROM {} WHERE (nanos, logical) > ($1, $2) AND (nanos, logical) <= ($3, $4) \
         AND shape {comparison} {} AND key > $5 ORDER BY key LIMIT $6",
        attempt.database.area().table(&plan.staging_table),
        Shape::DELETION
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(attempt.window.after.nanos())
        .bind(i64::from(attempt.window.after.logical()))
        .bind(attempt.window.upto.nanos())
        .bind(i64::from(attempt.window.upto.logical()))
        .bind(after)
        .bind(i64::from(limit));
    let rows = query.fetch_all(connection).await.map_err(|e| failure(APPLY, e))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How many rows the span has, counted no further than `most`.
async fn rows_up_to(connection: &mut PgConnection, attempt: &Attempt<'_>, most: u64) -> Result<u64, Failure> {
    let mut total = 0;
    for plan in &attempt.plans {
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} WHERE (nanos, logical) > ($1, $2) \
             AND (nanos, logical) <= ($3, $4) LIMIT $5) AS some",
            attempt.database.area().table(&plan.staging_table)
        );
        let query = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(attempt.window.after.nanos())
            .bind(i64::from(attempt.window.after.logical()))
            .bind(attempt.window.upto.nanos())
            .bind(i64::from(attempt.window.upto.logical()))
            .bind(i64::try_from(most).unwrap_or(i64::MAX));
        let rows: i64 = query.fetch_one(&mut *connection).await.map_err(|e| failure(APPLY, e))?;
        total += u64::try_from(rows).unwrap_or(0);
    }
    Ok(total)
}
