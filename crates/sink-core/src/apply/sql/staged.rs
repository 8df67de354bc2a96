//! Applies a span of staged time. The order of attempts is the order of their cost: the plain statement; folding
//! keys by value; removing rows whose unique values move; moving refused rows aside.

use std::collections::HashSet;
use std::sync::Arc;

use super::execute::{self, APPLY, Counts, Values};
use super::{SqlApplier, locate, quarantine};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::apply::order::parents_first;
use crate::apply::plan::{Fold, TablePlan};
use crate::apply::{Applied, Durability, OnRowError, Unit};
use crate::checkpoint::Advance;
use crate::failure::{Disposition, Failure, Place};
use crate::model::{DatabaseSchema, Shape, TableSchema};
use crate::staging::Window;
use crate::staging::sql::registry::StagedTable;
use crate::target::Product;
use crate::target::dialect::{Rows, SliceOptions, Statement, Writes};
use crate::target::pool::{Database, failure};

/// SQLSTATE: one statement would write a row twice.
const CARDINALITY_VIOLATION: &str = "21000";
/// SQLSTATE: a unique value exists already.
pub(super) const UNIQUE_VIOLATION: &str = "23505";

/// The span of staged time to apply; see [`crate::apply::Changes::Staged`].
#[derive(Debug, Clone, Copy)]
pub(super) struct StagedSpan {
    pub(super) window: Window,
    pub(super) guard: bool,
    pub(super) indivisible: bool,
}

/// Everything the attempts at one slice share.
pub(super) struct Attempt<'a> {
    pub(super) database: &'a Database,
    pub(super) unit: &'a Unit<'a>,
    pub(super) window: Window,
    pub(super) advance: Advance,
    pub(super) guard: bool,
    pub(super) plans: Vec<TablePlan>,
}

impl SqlApplier {
    pub(super) async fn apply_staged(
        &self,
        database: &Database,
        unit: &Unit<'_>,
        staged: StagedSpan,
    ) -> Result<Applied, Failure> {
        let StagedSpan { window, guard, indivisible } = staged;
        let advance = unit.advance.ok_or_else(|| {
            Failure::new(
                Disposition::Halt,
                APPLY,
                "staged rows cannot be applied without moving the frontier",
            )
        })?;
        let plans = self.plans(database, unit, window).await?;
        let mut attempt = Attempt { database, unit, window, advance, guard, plans };
        if indivisible && let Some(counts) = self.apply_in_pieces(&attempt).await? {
            return Ok(applied(&attempt, &counts));
        }
        attempt.refuse_mixed_shapes(indivisible).await?;
        let mut result = attempt.plain().await;
        if result.as_ref().is_err_and(|e| e.sqlstate() == Some(CARDINALITY_VIOLATION)) {
            self.fold_by_value(attempt.plans.iter().map(|plan| plan.table.id.clone()));
            for plan in &mut attempt.plans {
                plan.fold = Fold::Value;
            }
            attempt.refuse_mixed_shapes(indivisible).await?;
            result = attempt.plain().await;
        }
        if result.as_ref().is_err_and(|e| e.sqlstate() == Some(UNIQUE_VIOLATION)) {
            match attempt.clear_then_upsert().await {
                // That the target refuses this as well says no more than its first answer.
                Err(error) if matches!(error.disposition(), Disposition::Halt | Disposition::Defer) => {}
                other => result = other,
            }
        }
        let refused = result.as_ref().is_err_and(|e| e.disposition() == Disposition::Halt);
        if result.as_ref().is_err_and(Failure::is_about_rows) && unit.on_row_error == OnRowError::Quarantine {
            return quarantine::apply(&attempt).await;
        }
        match result {
            Ok(counts) => Ok(applied(&attempt, &counts)),
            Err(error) if refused && indivisible => Err(locate::name_row(&attempt, error).await),
            Err(error) => Err(error),
        }
    }

    /// Plans for the tables with rows in the window, parents first where the product needs it.
    async fn plans(
        &self,
        database: &Database,
        unit: &Unit<'_>,
        window: Window,
    ) -> Result<Vec<TablePlan>, Failure> {
        let pending = self.registry.pending(database, unit.schema, window, false).await?;
        let schema = database.schema().current(database).await?;
        let mut plans = Vec::with_capacity(pending.tables.len());
        for (mut staged, mut shapes) in pending.tables {
            let mut plan = plan_of(&schema, &staged, &shapes);
            if plan.is_err() {
                // The index is coarse: what does not fit may be of rows that were applied before the target changed.
                let there = shapes_within(database, &staged.staging_table, window).await?;
                if there.is_empty() {
                    continue;
                }
                shapes.retain(|shape| there.contains(&shape.id()));
                // And another process may have registered the new key.
                staged = self.registry.reread_table(database, &staged.staging_table).await?;
                plan = plan_of(&schema, &staged, &shapes);
            }
            let mut plan = plan?;
            if self.folds_by_value(&plan.table.id) {
                plan.fold = Fold::Value;
            }
            plans.push(plan);
        }
        in_order(database.dialect().product(), plans)
    }
}

/// How staged rows of these shapes reach their table.
fn plan_of(
    schema: &DatabaseSchema,
    staged: &StagedTable,
    shapes: &[Arc<Shape>],
) -> Result<TablePlan, Failure> {
    let table = schema.table(&staged.table.schema, staged.table.table.as_str()).ok_or_else(|| {
        let reason = "rows are staged for it, but the target has no such table any more; create it again";
        let place = Place { table: Some(staged.table.clone()), ..Place::default() };
        Failure::new(Disposition::Halt, APPLY, reason).at(place)
    })?;
    if StagedTable::key_columns_of(table) != staged.key_columns {
        let reason = format!(
            "the primary key of the target has changed; rows are staged under the key {}; restore it (or its expressions in \
             apply_config) until they are applied, or reset the schema",
            staged.key_columns
        );
        let place = Place { table: Some(staged.table.clone()), ..Place::default() };
        return Err(Failure::new(Disposition::Halt, APPLY, reason).at(place));
    }
    TablePlan::new(table.clone(), staged.staging_table.clone(), staged.guard_table.clone(), shapes)
}

/// The shapes that the staged rows of a window really have.
async fn shapes_within(
    database: &Database,
    staging_table: &str,
    window: Window,
) -> Result<HashSet<i64>, Failure> {
    let sql = format!(
        "SELECT DISTINCT shape FROM {} WHERE (nanos, logical) > ($1, $2) AND (nanos, logical) <= ($3, $4)",
        database.area().table(staging_table)
    );
    let query = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(window.after.nanos())
        .bind(i64::from(window.after.logical()))
        .bind(window.upto.nanos())
        .bind(i64::from(window.upto.logical()));
    let mut connection = database.connection().await?;
    let shapes: Vec<i64> = query.fetch_all(&mut *connection).await.map_err(|e| failure(APPLY, e))?;
    Ok(shapes.into_iter().collect())
}

/// Publishes what was done.
fn applied(attempt: &Attempt<'_>, counts: &Counts) -> Applied {
    counts.publish(&attempt.plans);
    let (upserts, deletes) = (counts.total_upserts(), counts.total_deletes());
    Applied { durability: Durability::Durable, upserts, deletes, quarantined: 0 }
}

/// Sorts plans so that parents come first; PostgreSQL checks foreign keys at the statement's end and takes any order.
pub(super) fn in_order(product: Product, plans: Vec<TablePlan>) -> Result<Vec<TablePlan>, Failure> {
    let tables: Vec<&TableSchema> = plans.iter().map(|plan| &*plan.table).collect();
    match (parents_first(&tables), product) {
        (Ok(order), _) => Ok(order.into_iter().map(|at| plans[at].clone()).collect()),
        (Err(_), Product::PostgreSql) => Ok(plans),
        (Err(circle), Product::CockroachDb) => Err(Failure::new(Disposition::Halt, APPLY, circle)),
    }
}

impl Attempt<'_> {
    pub(super) fn statements(&self, options: SliceOptions) -> Vec<Statement> {
        self.database.dialect().slice(self.database.area(), &self.plans, options)
    }

    pub(super) fn options(&self, fence: bool, writes: Writes) -> SliceOptions {
        SliceOptions { fence, guard: self.guard, writes, rows: Rows::Staged }
    }

    pub(super) fn values(&self) -> Values<'_> {
        Values::staged(
            self.unit.schema,
            Window { after: self.advance.from, upto: self.advance.to },
            self.advance.epoch,
        )
    }

    /// The frontier's step and the rows in one statement (PostgreSQL) or transaction.
    async fn plain(&self) -> Result<Counts, Failure> {
        if !self.guard {
            return self.run(&[self.options(true, Writes::All)]).await;
        }
        // The fence waits for immediate writes in flight; only a statement that starts after that sees them.
        self.run(&[self.options(true, Writes::FrontierOnly), self.options(false, Writes::All)]).await
    }

    /// Lets unique values move between rows: first every row that changes one gives it up, then all is written. The
    /// fence comes by itself, because only a statement that starts after it sees immediate writes that it waited for.
    async fn clear_then_upsert(&self) -> Result<Counts, Failure> {
        let fence = self.options(true, Writes::FrontierOnly);
        self.run(&[fence, self.options(false, Writes::Clear), self.options(false, Writes::Upserts)]).await
    }

    async fn run(&self, forms: &[SliceOptions]) -> Result<Counts, Failure> {
        let statements: Vec<Statement> = forms.iter().flat_map(|form| self.statements(*form)).collect();
        let mut counts = Counts::new(self.plans.len());
        let mut connection = self.database.connection().await?;
        // `Clear` and `Upserts` both report what they saw; the rows are the same.
        let mut seen = Vec::new();
        let mut values = self.values();
        if statements.len() == 1 {
            execute::transaction(&mut connection, &statements, &mut values, &mut counts).await?;
            return Ok(counts);
        }
        let mut tx = connection.begin().await.map_err(|e| failure(APPLY, e))?;
        for form in forms {
            let mut each = Counts::new(self.plans.len());
            execute::all(&mut tx, &self.statements(*form), &mut values, &mut each).await?;
            seen.push(each);
        }
        tx.commit().await.map_err(|e| failure(APPLY, e))?;
        Ok(seen.pop().unwrap_or(counts))
    }

    /// Folding keeps the newest version of a key, which is the net effect only if it feeds every column that the
    /// older ones feed. Otherwise the slice is refused, and cut smaller by the caller: at a single timestamp every
    /// key has one version, or several that the source takes for different keys.
    async fn refuse_mixed_shapes(&self, indivisible: bool) -> Result<(), Failure> {
        if indivisible {
            return Ok(());
        }
        let several: Vec<&TablePlan> = self.plans.iter().filter(|plan| plan.shapes.len() > 1).collect();
        if several.is_empty() {
            return Ok(());
        }
        let mut connection = self.database.connection().await?;
        for plan in several {
            if self.has_mixed_shapes(&mut connection, plan).await? {
                let place = Place { table: Some(plan.table.id.clone()), ..Place::default() };
                let reason = "versions of one row with different columns must be applied one after the other";
                return Err(Failure::new(Disposition::Halt, APPLY, reason).at(place));
            }
        }
        Ok(())
    }

    async fn has_mixed_shapes(
        &self,
        connection: &mut PgConnection,
        plan: &TablePlan,
    ) -> Result<bool, Failure> {
        let by_key = match plan.fold {
            Fold::Text => "GROUP BY key ",
            // Only the target knows which keys are equal, so all versions may be of one.
            Fold::Value if plan.has_partial_shape() => "",
            Fold::Value => return Ok(false),
        };
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM {} WHERE (nanos, logical) > ($1, $2) AND (nanos, logical) <= ($3, $4) \
             AND shape <> {} {by_key}HAVING count(DISTINCT shape) > 1)",
            self.database.area().table(&plan.staging_table),
            Shape::DELETION
        );
        sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(self.window.after.nanos())
            .bind(i64::from(self.window.after.logical()))
            .bind(self.window.upto.nanos())
            .bind(i64::from(self.window.upto.logical()))
            .fetch_one(connection)
            .await
            .map_err(|e| failure(APPLY, e))
    }
}
