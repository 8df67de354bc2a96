//! Refuses a staging area in which the original program left rows or marks that it has not applied: they would never
//! be looked at again. Its table layouts are those of August 2022 to October 2024.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::Product;
use super::dialect::{StagingArea, quote};
use super::pool::failure;
use crate::failure::{Disposition, Failure};

/// The operation that fails if the original left something unapplied.
pub const LOOK: &str = "look for unapplied rows of the original cdc-sink";

/// Tables of the area that look like the original's, with the columns that tell its versions apart.
const CANDIDATES: &str = "\
SELECT table_name::text, bool_or(column_name = 'mut') AND bool_or(column_name = 'nanos'), \
bool_or(column_name = 'shape'), bool_or(column_name = 'applied'), bool_or(column_name = 'target_applied_at'), \
bool_or(column_name = 'received_at') FROM information_schema.columns WHERE ";

/// Fails if something of the original's is not applied.
pub(super) async fn refuse_unapplied(
    connection: &mut PgConnection,
    area: &StagingArea,
) -> Result<(), Failure> {
    let name = area.name().as_str();
    let candidates = match area.product() {
        Product::PostgreSql => format!("{CANDIDATES} table_schema = $1 GROUP BY table_name ORDER BY 1"),
        Product::CockroachDb => format!(
            "{} table_catalog = $1 AND table_schema = 'public' GROUP BY table_name ORDER BY 1",
            CANDIDATES.replace("information_schema", &format!("{}.information_schema", quote(name)))
        ),
    };
    let rows = sqlx::query(AssertSqlSafe(candidates)).bind(name).fetch_all(&mut *connection).await;
    for row in rows.map_err(|e| failure(LOOK, e))? {
        let table: String = row.get(0);
        let [staging, ours, flagged, marks, our_marks]: [bool; 5] = std::array::from_fn(|at| row.get(at + 1));
        let condition = match (staging && !ours, marks && !our_marks) {
            (true, _) if flagged => " WHERE NOT applied",
            (true, _) => "",
            (false, true) => " WHERE target_applied_at IS NULL",
            (false, false) => continue,
        };
        let list = format!("SELECT * FROM {}{condition}", area.table(&table));
        let sql = format!("SELECT EXISTS ({list})");
        let found: bool = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut *connection)
            .await
            .map_err(|e| failure(LOOK, e))?;
        if found {
            let reason = format!(
                "the original cdc-sink left something that it has not applied; let it finish, or look at it with: {list}; \
                 and drop that table"
            );
            return Err(Failure::new(Disposition::Halt, LOOK, reason));
        }
    }
    Ok(())
}
