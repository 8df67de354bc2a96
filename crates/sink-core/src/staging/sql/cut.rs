//! Finds where a slice may end.

use sqlx::{AssertSqlSafe, Row as _};

use super::super::{Slice, Window};
use super::registry::{Registry, StagedTable};
use super::timestamp;
use crate::failure::Failure;
use crate::model::{HlcTimestamp, SchemaId};
use crate::target::pool::{Database, failure};

const CUT: &str = "cut a slice";

/// Most tables one query looks at.
const MAX_QUERY_TABLES: usize = 50;

/// See [`super::super::Stager::cut`].
pub(super) async fn cut(
    database: &Database,
    registry: &Registry,
    schema: &SchemaId,
    window: Window,
    max_rows: u32,
) -> Result<Slice, Failure> {
    let pending = registry.pending(database, schema, window, true).await?;
    let window = Window { upto: pending.upto, ..window };
    let tables: Vec<&StagedTable> = pending.tables.iter().map(|(staged, _)| &**staged).collect();
    let (mut first, mut over) = (None, None);
    for tables in tables.chunks(MAX_QUERY_TABLES) {
        let (group_first, group_over) = bounds(database, tables, window, max_rows).await?;
        first = earliest(first, group_first);
        over = earliest(over, group_over);
    }
    Ok(match (first, over) {
        (None, _) => Slice { upto: window.upto, indivisible: true },
        // One timestamp alone, because that is asked for or because it has more rows than the limit.
        (Some(first), over) if max_rows == 1 || over == Some(first) => {
            Slice { upto: first, indivisible: true }
        }
        (Some(first), Some(over)) => {
            Slice { upto: over.predecessor(), indivisible: over.predecessor() == first }
        }
        (Some(_), None) => Slice { upto: window.upto, indivisible: false },
    })
}

fn earliest(a: Option<HlcTimestamp>, b: Option<HlcTimestamp>) -> Option<HlcTimestamp> {
    a.into_iter().chain(b).min()
}

/// The time of the first row of the window, and that of the first row beyond `max_rows`.
async fn bounds(
    database: &Database,
    tables: &[&StagedTable],
    window: Window,
    max_rows: u32,
) -> Result<(Option<HlcTimestamp>, Option<HlcTimestamp>), Failure> {
    // Each branch is limited for itself: a few steps along its index, instead of sorting the whole window.
    let branches = |limit: &str| {
        let each = tables.iter().map(|staged| {
            format!(
                "(SELECT nanos, logical FROM {} WHERE (nanos, logical) > ($1, $2) AND (nanos, logical) <= ($3, $4) \
                 ORDER BY nanos, logical LIMIT {limit})",
                database.area().table(&staged.staging_table)
            )
        });
        each.collect::<Vec<_>>().join(" UNION ALL ")
    };
    let sql = format!(
        "(SELECT 0::int4, nanos, logical FROM ({}) AS a ORDER BY nanos, logical LIMIT 1) UNION ALL \
         (SELECT 1::int4, nanos, logical FROM ({}) AS a ORDER BY nanos, logical LIMIT 1 OFFSET $5)",
        branches("1"),
        branches("$5 + 1")
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(window.after.nanos())
        .bind(i64::from(window.after.logical()))
        .bind(window.upto.nanos())
        .bind(i64::from(window.upto.logical()))
        .bind(i64::from(max_rows));
    let mut connection = database.connection().await?;
    let rows = query.fetch_all(&mut *connection).await.map_err(|e| failure(CUT, e))?;
    let (mut first, mut over) = (None, None);
    for row in &rows {
        let at = Some(timestamp(row.get(1), row.get(2))?);
        match row.get::<i32, _>(0) {
            0 => first = at,
            _ => over = at,
        }
    }
    Ok((first, over))
}
