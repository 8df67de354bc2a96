//! Applies a slice without the rows that the target refuses, and moves those aside in the same transaction.
//!
//! A row is refused if it fails alone *and* together with all rows that do not fail alone: a child whose parent
//! comes in the same slice, or a unique value that moves between rows, fails alone without being at fault.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use super::execute::{self, APPLY, Counts};
use super::staged::Attempt;
use crate::apply::plan::TablePlan;
use crate::apply::{Applied, Durability};
use crate::failure::{Disposition, Failure, chain};
use crate::metrics;
use crate::target::dialect::{Rows, SliceOptions, Statement, Writes};
use crate::target::pool::failure;

/// Most rows of a slice that are tried one by one; beyond, an operator has to look.
const MAX_ROWS: usize = 10_000;
/// Most refused rows in one slice; more look like a wrong target schema, not like bad rows.
const MAX_REFUSED: usize = 1_000;

/// A row of the slice: table number and index key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) table: usize,
    pub(super) key: String,
    why: Option<(String, String)>,
}

/// Applies what can be applied. The caller has made sure that the slice holds a single timestamp.
pub(super) async fn apply(attempt: &Attempt<'_>) -> Result<Applied, Failure> {
    let fail = |e| failure(APPLY, e);
    let mut connection = attempt.database.connection().await?;
    let mut tx = connection.begin().await.map_err(fail)?;
    let mut counts = Counts::new(attempt.plans.len());
    let fence = attempt.statements(attempt.options(true, Writes::FrontierOnly));
    execute::all(&mut tx, &fence, &mut attempt.values(), &mut counts).await?;
    let rows = rows_of(&mut tx, attempt).await?;
    let (good, refused) = tell_apart(&mut tx, attempt, rows).await?;
    let mut counts = Counts::new(attempt.plans.len());
    write(&mut tx, attempt, &good, &mut counts).await?;
    for suspect in &refused {
        move_aside(&mut tx, attempt, suspect).await?;
    }
    tx.commit().await.map_err(fail)?;
    counts.publish(&attempt.plans);
    for suspect in &refused {
        let table = &attempt.plans[suspect.table].table.id;
        metrics::count_table("apply_quarantined_total", table, 1);
        let sqlstate = suspect.why.as_ref().map_or("", |(code, _)| code);
        tracing::warn!(%table, sqlstate, "a row was moved to the quarantine table");
    }
    Ok(Applied {
        durability: Durability::Durable,
        upserts: counts.total_upserts(),
        deletes: counts.total_deletes(),
        quarantined: u64::try_from(refused.len()).unwrap_or(u64::MAX),
    })
}

/// Splits the rows into those that can be written together and those that are refused.
async fn tell_apart(
    tx: &mut PgConnection,
    attempt: &Attempt<'_>,
    rows: Vec<Suspect>,
) -> Result<(Vec<Suspect>, Vec<Suspect>), Failure> {
    let (mut good, mut suspects) = (Vec::new(), Vec::new());
    for mut row in rows {
        match try_rows(tx, attempt, std::slice::from_ref(&row)).await? {
            None => good.push(row),
            Some(why) => {
                row.why = Some(why);
                suspects.push(row);
            }
        }
        if suspects.len() > MAX_REFUSED {
            let reason = format!("more than {MAX_REFUSED} rows of one timestamp are refused");
            return Err(Failure::new(Disposition::Halt, APPLY, reason));
        }
    }
    let mut refused = Vec::new();
    for mut row in suspects {
        good.push(row.clone());
        if let Some(why) = try_rows(tx, attempt, &good).await? {
            good.pop();
            row.why = Some(why);
            refused.push(row);
        }
    }
    Ok((good, refused))
}

/// Writes rows and takes that back. Answers why they are refused, if they are; other failures are passed on.
pub(super) async fn try_rows(
    tx: &mut PgConnection,
    attempt: &Attempt<'_>,
    rows: &[Suspect],
) -> Result<Option<(String, String)>, Failure> {
    let mut savepoint = tx.begin().await.map_err(|e| failure(APPLY, e))?;
    let result = write(&mut savepoint, attempt, rows, &mut Counts::new(attempt.plans.len())).await;
    savepoint.rollback().await.map_err(|e| failure(APPLY, e))?;
    match result {
        Ok(()) => Ok(None),
        Err(error) if matches!(error.disposition(), Disposition::Halt | Disposition::Defer) => {
            Ok(Some((error.sqlstate().unwrap_or_default().to_owned(), chain(&error))))
        }
        Err(error) => Err(error),
    }
}

/// Writes just these rows of the slice.
async fn write(
    tx: &mut PgConnection,
    attempt: &Attempt<'_>,
    rows: &[Suspect],
    counts: &mut Counts,
) -> Result<(), Failure> {
    let mut values = attempt.values();
    values.keys = vec![Vec::new(); attempt.plans.len()];
    for row in rows {
        values.keys[row.table].push(row.key.clone());
    }
    let options =
        |writes| SliceOptions { fence: false, guard: attempt.guard, writes, rows: Rows::StagedKeys };
    let forms: Vec<Statement> = [Writes::Clear, Writes::Upserts]
        .into_iter()
        .flat_map(|writes| attempt.statements(options(writes)))
        .collect();
    let plain = attempt.statements(options(Writes::All));
    // The plain form first, as ever; the other one for unique values that move.
    let mut savepoint = tx.begin().await.map_err(|e| failure(APPLY, e))?;
    match execute::all(&mut savepoint, &plain, &mut values, counts).await {
        Ok(()) => savepoint.commit().await.map_err(|e| failure(APPLY, e)),
        Err(error) => {
            savepoint.rollback().await.map_err(|e| failure(APPLY, e))?;
            if error.sqlstate() != Some("23505") {
                return Err(error);
            }
            let cleared = execute::all(tx, &forms, &mut values, &mut Counts::new(attempt.plans.len())).await;
            cleared.map_err(|other| match other.disposition() {
                Disposition::Halt | Disposition::Defer => error,
                Disposition::Retry | Disposition::Fenced => other,
            })
        }
    }
}

/// The rows of the slice.
pub(super) async fn rows_of(tx: &mut PgConnection, attempt: &Attempt<'_>) -> Result<Vec<Suspect>, Failure> {
    let mut suspects = Vec::new();
    for (table, plan) in attempt.plans.iter().enumerate() {
        let sql =
            format!("SELECT DISTINCT key FROM {} ORDER BY key LIMIT {}", staged(attempt, plan), MAX_ROWS + 1);
        let query = bind_window(sqlx::query(AssertSqlSafe(sql)), attempt);
        let rows = query.fetch_all(&mut *tx).await.map_err(|e| failure(APPLY, e))?;
        suspects.extend(rows.iter().map(|row| Suspect { table, key: row.get(0), why: None }));
    }
    if suspects.len() > MAX_ROWS {
        let reason = format!("some of more than {MAX_ROWS} rows of one timestamp are refused");
        return Err(Failure::new(Disposition::Halt, APPLY, reason));
    }
    Ok(suspects)
}

async fn move_aside(tx: &mut PgConnection, attempt: &Attempt<'_>, row: &Suspect) -> Result<(), Failure> {
    let plan = &attempt.plans[row.table];
    let sql = format!(
        "INSERT INTO {} (id, target_db, target_schema, target_table, source_nanos, source_logical, key, mut, before, \
         sqlstate, reason) SELECT $5::text::uuid, $6, $7, $8, nanos, logical, COALESCE(long_key, key), mut, before, \
         $9, $10 FROM {} AND key = $11",
        attempt.database.area().table("quarantine"),
        staged(attempt, plan)
    );
    let (sqlstate, reason) = row.why.clone().unwrap_or_default();
    let id = &plan.table.id;
    let query = bind_window(sqlx::query(AssertSqlSafe(sql)), attempt)
        .bind(Uuid::new_v4().to_string())
        .bind(id.schema.database.as_str())
        .bind(id.schema.schema.as_str())
        .bind(id.table.as_str())
        .bind(sqlstate)
        .bind(reason)
        .bind(&row.key);
    query.execute(&mut *tx).await.map(drop).map_err(|e| failure(APPLY, e))
}

/// `FROM` and `WHERE` for the rows of the slice in a staging table; parameters `$1` to `$4`.
fn staged(attempt: &Attempt<'_>, plan: &TablePlan) -> String {
    format!(
        "{} WHERE (nanos, logical) > ($1, $2) AND (nanos, logical) <= ($3, $4)",
        attempt.database.area().table(&plan.staging_table)
    )
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind_window<'q>(query: Query<'q>, attempt: &Attempt<'_>) -> Query<'q> {
    let window = attempt.window;
    query
        .bind(window.after.nanos())
        .bind(i64::from(window.after.logical()))
        .bind(window.upto.nanos())
        .bind(i64::from(window.upto.logical()))
}
