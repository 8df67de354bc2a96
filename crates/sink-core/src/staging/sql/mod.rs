//! The staging tables in the target.

mod cut;
pub mod guard;
pub mod registry;
mod retire;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use self::registry::{Registry, StagedTable};
use super::names::bucket_of;
use super::{Retired, Slice, StageCounts, Stager, Window};
use crate::failure::{Disposition, Failure};
use crate::metrics;
use crate::model::{Batch, HlcTimestamp, Mutation, SchemaId, TableId, TableSchema};
use crate::target::Target;
use crate::target::pool::{Database, failure};

const STAGE: &str = "stage rows";
const MARK: &str = "record a resolved mark";

/// How often dead rows are looked for everywhere: a late row may come just after its stretch of time was cleared.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Most rows of one statement.
const MAX_STATEMENT_ROWS: usize = 5_000;
/// Most bytes of one statement, unless a single row has more. Bounds what the driver buffers.
const MAX_STATEMENT_BYTES: usize = 4 << 20;

/// Stages into tables of the target.
pub struct SqlStager {
    target: Arc<Target>,
    registry: Arc<Registry>,
    /// Schemas whose frontier row is known to exist.
    frontiers: Mutex<HashSet<SchemaId>>,
    /// When each schema was last swept from its beginning.
    sweeps: Mutex<HashMap<SchemaId, Instant>>,
    /// Tables in which the plain insert met a duplicate lately: their feed is being replayed.
    replayed: Mutex<HashSet<TableId>>,
}

/// Rows of one table that fit one statement, sorted by time and key.
struct Chunk<'a> {
    staged: Arc<StagedTable>,
    rows: Vec<&'a Mutation<'a>>,
}

impl SqlStager {
    /// Stages into `target`; `registry` is shared with the applier.
    #[must_use]
    pub fn new(target: Arc<Target>, registry: Arc<Registry>) -> Self {
        Self {
            target,
            registry,
            frontiers: Mutex::default(),
            sweeps: Mutex::default(),
            replayed: Mutex::default(),
        }
    }

    /// See [`Registry::alignment`].
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn alignment(&self, table: &TableSchema) -> Result<Option<i64>, Failure> {
        let database = self.target.database(&table.id.schema.database).await?;
        self.registry.alignment(&database, table).await
    }

    /// See [`Registry::store_alignment`].
    ///
    /// # Errors
    /// If it cannot be stored.
    pub async fn store_alignment(&self, table: &TableSchema, alignment: i64) -> Result<(), Failure> {
        let database = self.target.database(&table.id.schema.database).await?;
        self.registry.store_alignment(&database, table, alignment).await
    }

    /// Makes sure that the schema has a frontier, before anything refers to it.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn ensure_schema(&self, schema: &SchemaId) -> Result<(), Failure> {
        let database = self.target.database(&schema.database).await?;
        self.ensure_frontier(&database, schema).await
    }

    /// Makes sure that the schema has a frontier: the row exists before anything is stored for it.
    async fn ensure_frontier(&self, database: &Database, schema: &SchemaId) -> Result<(), Failure> {
        if lock(&self.frontiers).contains(schema) {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO {} (target_db, target_schema) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            database.area().table("frontiers")
        );
        let query =
            sqlx::query(AssertSqlSafe(sql)).bind(schema.database.as_str()).bind(schema.schema.as_str());
        query.execute(database.control()).await.map_err(|e| failure("create the frontier", e))?;
        lock(&self.frontiers).insert(schema.clone());
        metrics::begin_schema(schema);
        Ok(())
    }

    async fn chunks<'a>(
        &self,
        database: &Database,
        batches: &'a [Batch<'a>],
        deduplicated: &mut u64,
    ) -> Result<Vec<Chunk<'a>>, Failure> {
        let mut chunks = Vec::new();
        for batch in batches {
            let staged = self.registry.ensure_table(database, &batch.table).await?;
            self.registry.ensure_shapes(database, &staged, batch).await?;
            let mut rows: Vec<&Mutation<'_>> = batch.rows.iter().collect();
            // Stable, so that of two rows at one time and key the later one stays last. One order for everybody
            // keeps two deliveries of the same rows from waiting for each other in a circle.
            rows.sort_by(|a, b| (a.time, &a.key).cmp(&(b.time, &b.key)));
            let before = rows.len();
            rows.reverse();
            rows.dedup_by(|later, kept| (later.time, &later.key) == (kept.time, &kept.key));
            rows.reverse();
            *deduplicated += count(before - rows.len());
            chunks.extend(split(rows).into_iter().map(|rows| Chunk { staged: Arc::clone(&staged), rows }));
        }
        chunks.sort_by(|a, b| a.staged.staging_table.cmp(&b.staged.staging_table));
        Ok(chunks)
    }

    /// Sizes of what is remembered, for support.
    #[must_use]
    pub fn cache_sizes(&self) -> Vec<(&'static str, usize)> {
        let mut sizes = self.registry.cache_sizes().to_vec();
        sizes.push(("frontiers", lock(&self.frontiers).len()));
        sizes.push(("replayed_tables", lock(&self.replayed).len()));
        sizes
    }

    /// One statement needs no transaction of its own; several share one, so that there is one wait for the disk.
    async fn write(
        &self,
        database: &Database,
        schema: &SchemaId,
        chunks: &[Chunk<'_>],
        replace: bool,
    ) -> Result<StageCounts, Failure> {
        let mut connection = database.connection().await?;
        if let [chunk] = chunks {
            return insert(&mut connection, database, schema, chunk, replace).await;
        }
        let mut counts = StageCounts::default();
        let mut tx = connection.begin().await.map_err(|e| failure(STAGE, e))?;
        for chunk in chunks {
            let each = insert(&mut tx, database, schema, chunk, replace).await?;
            counts.inserted += each.inserted;
            counts.duplicates += each.duplicates;
            counts.replaced += each.replaced;
        }
        tx.commit().await.map_err(|e| failure(STAGE, e))?;
        Ok(counts)
    }
}

impl Stager for SqlStager {
    /// A plain insert is nearly twice as fast as one that resolves conflicts, so that comes second.
    async fn stage(&self, schema: &SchemaId, batches: &[Batch<'_>]) -> Result<StageCounts, Failure> {
        let database = self.target.database(&schema.database).await?;
        self.ensure_frontier(&database, schema).await?;
        let mut deduplicated = 0;
        let chunks = self.chunks(&database, batches, &mut deduplicated).await?;
        if chunks.is_empty() {
            return Ok(StageCounts::default());
        }
        let replayed = {
            let known = lock(&self.replayed);
            batches.iter().any(|batch| known.contains(&batch.table.id))
        };
        let mut result = self.write(&database, schema, &chunks, replayed).await;
        if !replayed && result.as_ref().is_err_and(|e| e.sqlstate() == Some("23505")) {
            lock(&self.replayed).extend(batches.iter().map(|batch| batch.table.id.clone()));
            result = self.write(&database, schema, &chunks, true).await;
        } else if result.as_ref().is_ok_and(|counts| counts.duplicates + counts.replaced == 0) {
            let mut known = lock(&self.replayed);
            for batch in batches {
                known.remove(&batch.table.id);
            }
        }
        if result.as_ref().is_err_and(|e| e.sqlstate() == Some("42P01")) {
            // Somebody dropped a staging table: make it again on the next attempt.
            self.registry.forget(schema);
            lock(&self.frontiers).remove(schema);
            return result.map_err(|e| e.with_disposition(Disposition::Retry));
        }
        let mut counts = result?;
        counts.duplicates += deduplicated;
        metrics::staged(schema, batches, counts);
        Ok(counts)
    }

    /// A promise at or below the applied time is kept already; storing it would only leave something to forget.
    async fn mark(&self, schema: &SchemaId, at: HlcTimestamp) -> Result<(), Failure> {
        let database = self.target.database(&schema.database).await?;
        self.ensure_frontier(&database, schema).await?;
        let sql = format!(
            "INSERT INTO {} (target_db, target_schema, source_nanos, source_logical) \
             SELECT $1::text, $2::text, $3::int8, $4::int8 WHERE NOT EXISTS (SELECT 1 FROM {} f \
             WHERE f.target_db = $1::text AND f.target_schema = $2::text \
             AND (f.applied_nanos, f.applied_logical) >= ($3::int8, $4::int8)) ON CONFLICT DO NOTHING",
            database.area().table("pending_timestamps"),
            database.area().table("frontiers")
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(schema.database.as_str())
            .bind(schema.schema.as_str())
            .bind(at.nanos())
            .bind(i64::from(at.logical()));
        let started = Instant::now();
        let done = query.execute(database.control()).await.map(drop).map_err(|e| failure(MARK, e));
        metrics::marked(schema, at, started.elapsed(), done.is_ok());
        done
    }

    async fn newest_mark(
        &self,
        schema: &SchemaId,
        after: HlcTimestamp,
    ) -> Result<Option<HlcTimestamp>, Failure> {
        let database = self.target.database(&schema.database).await?;
        let sql = format!(
            "SELECT source_nanos, source_logical FROM {} WHERE target_db = $1 AND target_schema = $2 \
             AND (source_nanos, source_logical) > ($3, $4) \
             ORDER BY source_nanos DESC, source_logical DESC LIMIT 1",
            database.area().table("pending_timestamps")
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(schema.database.as_str())
            .bind(schema.schema.as_str())
            .bind(after.nanos())
            .bind(i64::from(after.logical()));
        let row =
            query.fetch_optional(database.control()).await.map_err(|e| failure("read the newest mark", e))?;
        row.map(|row| timestamp(row.get(0), row.get(1))).transpose()
    }

    async fn cut(&self, schema: &SchemaId, window: Window, max_rows: u32) -> Result<Slice, Failure> {
        let database = self.target.database(&schema.database).await?;
        cut::cut(&database, &self.registry, schema, window, max_rows).await
    }

    async fn retire(&self, schema: &SchemaId, upto: HlcTimestamp) -> Result<Retired, Failure> {
        let database = self.target.database(&schema.database).await?;
        let sweep = {
            let mut sweeps = lock(&self.sweeps);
            let due = sweeps.get(schema).is_none_or(|at| at.elapsed() >= SWEEP_INTERVAL);
            if due {
                sweeps.insert(schema.clone(), Instant::now());
            }
            due
        };
        retire::retire(&database, schema, upto, sweep).await
    }
}

/// Cuts sorted rows into statements by rows and bytes; a row larger than the limit goes alone.
fn split<'a>(rows: Vec<&'a Mutation<'a>>) -> Vec<Vec<&'a Mutation<'a>>> {
    let mut chunks: Vec<Vec<&Mutation<'_>>> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let size = row.size_bytes();
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < MAX_STATEMENT_ROWS && bytes + size <= MAX_STATEMENT_BYTES => {
                chunk.push(row);
                bytes += size;
            }
            _ => {
                chunks.push(vec![row]);
                bytes = size;
            }
        }
    }
    chunks
}

async fn insert(
    connection: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
    chunk: &Chunk<'_>,
    replace: bool,
) -> Result<StageCounts, Failure> {
    let sql = database.dialect().stage(database.area(), &chunk.staged.staging_table, replace);
    let rows = &chunk.rows;
    let windows: BTreeSet<(i64, i64)> =
        rows.iter().map(|row| (bucket_of(row.time), row.shape_id())).collect();
    let keys: Vec<Arc<str>> = rows.iter().map(|row| row.key.indexed()).collect();
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(schema.database.as_str())
        .bind(schema.schema.as_str())
        .bind(&chunk.staged.staging_table)
        .bind(rows.iter().map(|row| row.time.nanos()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| i64::from(row.time.logical())).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| &**key).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.key.is_long().then(|| row.key.as_json())).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.row_text()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.before).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.shape_id()).collect::<Vec<_>>())
        .bind(windows.iter().map(|(bucket, _)| *bucket).collect::<Vec<_>>())
        .bind(windows.iter().map(|(_, shape)| *shape).collect::<Vec<_>>());
    let row = query.fetch_one(&mut *connection).await.map_err(|e| failure(STAGE, e))?;
    let bytes: usize = rows.iter().map(|row| row.size_bytes()).sum();
    if bytes > MAX_STATEMENT_BYTES {
        // The driver keeps its buffers for the next statement; one giant row must not stay in memory for ever.
        connection.shrink_buffers();
    }
    let (inserted, replaced): (i64, i64) = (row.get(0), row.get(1));
    let (inserted, replaced) = (u64::try_from(inserted).unwrap_or(0), u64::try_from(replaced).unwrap_or(0));
    Ok(StageCounts { inserted, replaced, duplicates: count(rows.len()).saturating_sub(inserted + replaced) })
}

/// A timestamp from two columns of our own tables.
pub(crate) fn timestamp(nanos: i64, logical: i64) -> Result<HlcTimestamp, Failure> {
    i32::try_from(logical).ok().and_then(|logical| HlcTimestamp::new(nanos, logical)).ok_or_else(|| {
        Failure::new(Disposition::Halt, "read a timestamp", "the staging area holds a negative timestamp")
    })
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
