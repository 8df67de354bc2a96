//! Immediate mode: writes rows as they arrive, unless the target already has something newer for their key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};

use super::SqlApplier;
use super::execute::{self, APPLY, Counts, Values};
use super::staged::{UNIQUE_VIOLATION, in_order};
use crate::apply::plan::{Fold, TablePlan};
use crate::apply::{Applied, Durability};
use crate::failure::{Disposition, Failure};
use crate::model::{Batch, Change, HlcTimestamp, Mutation, RowKey, SchemaId, Shape};
use crate::staging::Window;
use crate::target::dialect::{Rows, SliceOptions, Writes};
use crate::target::pool::{Database, failure};

/// Most rows of one statement.
const MAX_STATEMENT_ROWS: usize = 2_000;
/// Most bytes of one statement, unless a single row has more.
const MAX_STATEMENT_BYTES: usize = 4 << 20;

impl SqlApplier {
    /// Rounds of rows with one version per key; almost always a single round.
    pub(super) async fn apply_rows(
        &self,
        database: &Database,
        schema: &SchemaId,
        batches: &[Batch<'_>],
    ) -> Result<Applied, Failure> {
        let mut applied = Applied { durability: Durability::Durable, upserts: 0, deletes: 0, quarantined: 0 };
        let mut plans = Vec::with_capacity(batches.len());
        for batch in batches {
            plans.push(self.plan_rows(database, batch).await?);
        }
        let plans = in_order(database.dialect().product(), plans)?;
        let mut rounds: Vec<Vec<Vec<&Mutation<'_>>>> = Vec::new();
        for (at, plan) in plans.iter().enumerate() {
            let rows =
                batches.iter().filter(|batch| batch.table.id == plan.table.id).flat_map(|batch| &batch.rows);
            for (round, rows) in rounds_of(rows, plan).into_iter().enumerate() {
                if rounds.len() == round {
                    rounds.push(vec![Vec::new(); plans.len()]);
                }
                rounds[round][at] = rows;
            }
        }
        for round in rounds {
            for input in statements_of(round) {
                let counts = self.write(database, schema, &plans, input).await?;
                counts.publish(&plans);
                applied.upserts += counts.total_upserts();
                applied.deletes += counts.total_deletes();
            }
        }
        Ok(applied)
    }

    async fn plan_rows(&self, database: &Database, batch: &Batch<'_>) -> Result<TablePlan, Failure> {
        let staged = self.registry.ensure_table(database, &batch.table).await?;
        let mut shapes: BTreeMap<i64, Arc<Shape>> = BTreeMap::new();
        for row in &batch.rows {
            if let Change::Upsert { shape, .. } = &row.change {
                shapes.entry(shape.id()).or_insert_with(|| Arc::clone(shape));
            }
        }
        let shapes: Vec<Arc<Shape>> = shapes.into_values().collect();
        let (staging_table, guard_table) = (staged.staging_table.clone(), staged.guard_table.clone());
        let mut plan = TablePlan::new(Arc::clone(&batch.table), staging_table, guard_table, &shapes)?;
        if self.folds_by_value(&plan.table.id) {
            plan.fold = Fold::Value;
        }
        Ok(plan)
    }

    async fn write(
        &self,
        database: &Database,
        schema: &SchemaId,
        plans: &[TablePlan],
        input: Vec<Vec<&Mutation<'_>>>,
    ) -> Result<Counts, Failure> {
        // Only tables with rows, so that the statement's text is that of the tables at hand.
        let used: Vec<usize> = (0..plans.len()).filter(|at| !input[*at].is_empty()).collect();
        let some: Vec<TablePlan> = used.iter().map(|at| plans[*at].clone()).collect();
        let input: Vec<Vec<&Mutation<'_>>> = used.iter().map(|at| input[*at].clone()).collect();
        let large = input.iter().flatten().map(|row| row.size_bytes()).sum::<usize>() > MAX_STATEMENT_BYTES;
        let mut connection = database.connection().await?;
        let deletes = input.iter().flatten().any(|row| row.change == Change::Delete);
        let mut result = if deletes {
            self.write_news(&mut connection, database, schema, &some, input.clone(), &[Writes::All]).await
        } else {
            self.write_plainly(&mut connection, database, schema, &some, input.clone()).await
        };
        if result.as_ref().is_err_and(|e| e.sqlstate() == Some(UNIQUE_VIOLATION)) {
            let forms = [Writes::Clear, Writes::Upserts];
            match self.write_news(&mut connection, database, schema, &some, input, &forms).await {
                // That the target refuses this as well says no more than its first answer.
                Err(error) if matches!(error.disposition(), Disposition::Halt | Disposition::Defer) => {}
                other => result = other,
            }
        }
        if large {
            sqlx::Connection::shrink_buffers(&mut *connection);
        }
        let counts = result?;
        let mut all = Counts::new(plans.len());
        for (from, to) in used.into_iter().enumerate() {
            all.upserts[to] = counts.upserts[from];
            all.deletes[to] = counts.deletes[from];
            all.beaten[to] = counts.beaten[from];
            all.late[to] = counts.late[from];
        }
        Ok(all)
    }
}

impl SqlApplier {
    /// Guard and rows in one statement (PostgreSQL) or transaction. The rows hold no deletion.
    async fn write_plainly(
        &self,
        connection: &mut PgConnection,
        database: &Database,
        schema: &SchemaId,
        plans: &[TablePlan],
        input: Vec<Vec<&Mutation<'_>>>,
    ) -> Result<Counts, Failure> {
        let guard = !self.config.assume_idempotent;
        let options = SliceOptions { fence: true, guard, writes: Writes::All, rows: Rows::Upserts };
        let statements = database.dialect().slice(database.area(), plans, options);
        let mut counts = Counts::new(plans.len());
        execute::transaction(connection, &statements, &mut values(schema, plans, input), &mut counts).await?;
        Ok(counts)
    }

    /// Finds out first what is news, then writes that in statements of their own. An upsert sees the newest version of
    /// its row whatever it waited for; a deletion sees only rows that were there when its statement began, so it must
    /// begin after the waits for the guard are over. And nothing but news may give up a unique value.
    async fn write_news(
        &self,
        connection: &mut PgConnection,
        database: &Database,
        schema: &SchemaId,
        plans: &[TablePlan],
        input: Vec<Vec<&Mutation<'_>>>,
        forms: &[Writes],
    ) -> Result<Counts, Failure> {
        let guard = !self.config.assume_idempotent;
        let first = SliceOptions { fence: true, guard, writes: Writes::FrontierOnly, rows: Rows::Input };
        let slice = |options| database.dialect().slice(database.area(), plans, options);
        let mut values = values(schema, plans, input);
        let mut counts = Counts::new(plans.len());
        let mut tx = connection.begin().await.map_err(|e| failure(APPLY, e))?;
        execute::all(&mut tx, &slice(first), &mut values, &mut counts).await?;
        for writes in forms {
            counts = Counts::new(plans.len());
            let form = SliceOptions { fence: false, guard: false, writes: *writes, rows: Rows::Input };
            execute::all(&mut tx, &slice(form), &mut values, &mut counts).await?;
        }
        tx.commit().await.map_err(|e| failure(APPLY, e))?;
        Ok(counts)
    }
}

fn values<'a>(schema: &'a SchemaId, plans: &'a [TablePlan], input: Vec<Vec<&'a Mutation<'a>>>) -> Values<'a> {
    let window = Window { after: HlcTimestamp::ZERO, upto: HlcTimestamp::ZERO };
    Values { schema, window, epoch: 0, keys: Vec::new(), plans, input }
}

/// Sorts rows into rounds with one version per key. The newest version alone is the net effect if every version
/// feeds every column; else all versions are written, one after the other. Rows without a time are the oldest; of
/// several the last one wins.
fn rounds_of<'a>(
    rows: impl Iterator<Item = &'a Mutation<'a>>,
    plan: &TablePlan,
) -> Vec<Vec<&'a Mutation<'a>>> {
    let mut rows: Vec<&Mutation<'_>> = rows.collect();
    // Stable: of two rows at one time the later one wins.
    rows.sort_by(|a, b| a.key.cmp(&b.key).then(a.time.cmp(&b.time)));
    let newest_suffices = plan.shapes.len() <= 1 && !plan.has_partial_shape() && !plan.table.is_conditional();
    if plan.fold == Fold::Value && !newest_suffices {
        return rounds_in_time(rows, plan.has_partial_shape());
    }
    let mut rounds: Vec<Vec<&Mutation<'_>>> = Vec::new();
    for versions in rows.chunk_by(|a, b| a.key == b.key) {
        // The newest may turn out to be late; a row without a time is not, so it must not give way to that.
        let mixed = versions.first().map(|row| row.time.is_untimed())
            != versions.last().map(|row| row.time.is_untimed());
        let from = if newest_suffices && !mixed { versions.len() - 1 } else { 0 };
        for (round, row) in versions[from..].iter().enumerate() {
            if rounds.len() == round {
                rounds.push(Vec::with_capacity(if round == 0 { rows.len() } else { 0 }));
            }
            rounds[round].push(row);
        }
    }
    rounds
}

/// Rounds none of which has a row that is older than one of the round before: keys of different text may be equal at
/// the target, which keeps the newest of them within a round. With `one_shape` all rows of a round have the same shape,
/// because the newest of several shapes would not be the net effect.
fn rounds_in_time<'a>(mut rows: Vec<&'a Mutation<'a>>, one_shape: bool) -> Vec<Vec<&'a Mutation<'a>>> {
    rows.sort_by_key(|row| row.time);
    let mut rounds: Vec<Vec<&Mutation<'_>>> = Vec::new();
    let mut keys: BTreeSet<&RowKey> = BTreeSet::new();
    for row in rows {
        let last = rounds.last().and_then(|round| round.last());
        let fits = last.is_some_and(|last| !one_shape || last.shape_id() == row.shape_id());
        if !keys.insert(&row.key) || !fits {
            keys = BTreeSet::from([&row.key]);
            rounds.push(Vec::new());
        }
        if let Some(last) = rounds.last_mut() {
            last.push(row);
        }
    }
    // The order in which all writers take their locks.
    rounds.iter_mut().for_each(|round| round.sort_by(|a, b| a.key.cmp(&b.key)));
    rounds
}

/// Cuts a round into statements. Parents are filled in first, so that a child never comes in an earlier statement.
fn statements_of<'a>(round: Vec<Vec<&'a Mutation<'a>>>) -> Vec<Vec<Vec<&'a Mutation<'a>>>> {
    let tables = round.len();
    let mut statements = vec![vec![Vec::new(); tables]];
    let (mut rows, mut bytes) = (0, 0);
    for (at, table) in round.into_iter().enumerate() {
        for row in table {
            let size = row.size_bytes();
            if rows > 0 && (rows == MAX_STATEMENT_ROWS || bytes + size > MAX_STATEMENT_BYTES) {
                statements.push(vec![Vec::new(); tables]);
                (rows, bytes) = (0, 0);
            }
            (rows, bytes) = (rows + 1, bytes + size);
            if let Some(last) = statements.last_mut() {
                last[at].push(row);
            }
        }
    }
    statements
}
