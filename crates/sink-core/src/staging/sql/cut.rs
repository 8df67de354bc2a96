//! Finds where a slice may end.

use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::super::{Slice, Window};
use super::registry::{Registry, StagedTable};
use super::timestamp;
use crate::failure::Failure;
use crate::model::{HlcTimestamp, SchemaId};
use crate::target::Product;
use crate::target::pool::{Database, failure};

const CUT: &str = "cut a slice";

/// Most tables one query looks at.
const MAX_QUERY_TABLES: usize = 50;
/// The least share of a slice's rows that one table may have, however many tables there are: one in this many.
const LEAST_SHARE: u32 = 10;

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
    // Counting along each table's index is cheap, merging the tables is not: so every table gets its share.
    let share = max_rows / u32::try_from(tables.len()).unwrap_or(u32::MAX).clamp(1, LEAST_SHARE);
    let (mut first, mut over) = (None, None);
    for tables in tables.chunks(MAX_QUERY_TABLES) {
        let (group_first, group_over) = bounds(database, tables, window, share.max(1)).await?;
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

/// The time of the first row of the window, and that of the first row beyond the `share` of its table.
async fn bounds(
    database: &Database,
    tables: &[&StagedTable],
    window: Window,
    share: u32,
) -> Result<(Option<HlcTimestamp>, Option<HlcTimestamp>), Failure> {
    let fail = |e| failure(CUT, e);
    let each = tables.iter().map(|staged| {
        let rows = format!(
            "SELECT nanos, logical FROM {} WHERE (nanos, logical) > ($1, $2) AND (nanos, logical) <= ($3, $4) \
             ORDER BY nanos, logical LIMIT 1",
            database.area().table(&staged.staging_table)
        );
        format!(
            "(SELECT 0::int4, nanos, logical FROM ({rows}) AS f) UNION ALL \
             (SELECT 1::int4, nanos, logical FROM ({rows} OFFSET $5) AS o)"
        )
    });
    let sql = each.collect::<Vec<_>>().join(" UNION ALL ");
    let mut connection = database.connection().await?;
    let mut tx = connection.begin().await.map_err(fail)?;
    if database.dialect().product() == Product::PostgreSql {
        // A staging table has no statistics to speak of; sorting the window would cost more than applying it.
        sqlx::query("SET LOCAL enable_sort = off").execute(&mut *tx).await.map_err(fail)?;
    }
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(window.after.nanos())
        .bind(i64::from(window.after.logical()))
        .bind(window.upto.nanos())
        .bind(i64::from(window.upto.logical()))
        .bind(i64::from(share));
    let rows = query.fetch_all(&mut *tx).await.map_err(fail)?;
    tx.commit().await.map_err(fail)?;
    let (mut first, mut over) = (None, None);
    for row in &rows {
        let at = Some(timestamp(row.get(1), row.get(2))?);
        match row.get::<i32, _>(0) {
            0 => first = earliest(first, at),
            _ => over = earliest(over, at),
        }
    }
    Ok((first, over))
}
