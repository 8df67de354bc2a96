//! Which staging tables and shapes exist. Entries are only ever added, so what was seen once may be remembered.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::super::Window;
use super::super::names::{self, bucket_end, bucket_of};
use crate::failure::{Disposition, Failure, Place};
use crate::metrics;
use crate::model::{Batch, Change, HlcTimestamp, Ident, SchemaId, Shape, TableId, TableSchema};
use crate::target::pool::{Database, failure, run_ddl};

const REGISTER: &str = "register a staging table";
const LOOK_UP: &str = "look up staging tables";

/// Most index entries read at once; a longer window is applied in several steps.
const MAX_WINDOW_ENTRIES: i64 = 4_000;

/// A target table and the tables that serve it in the staging area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedTable {
    /// The target table.
    pub table: TableId,
    /// Name of its staging table.
    pub staging_table: String,
    /// Name of its guard table.
    pub guard_table: String,
    /// Columns of the target's primary key, in the order in which staged keys list them; a JSON array.
    pub key_columns: String,
}

impl StagedTable {
    /// What [`Self::key_columns`] is for a table. Staged keys hold no value for a column whose expression takes none, so
    /// such a column is another one.
    #[must_use]
    pub fn key_columns_of(table: &TableSchema) -> String {
        let name = |column: &usize| {
            let name = &table.columns[*column].name;
            if table.writes_always(*column) { format!("{name} (constant)") } else { name.to_string() }
        };
        let names: Vec<String> = table.primary_key.iter().map(name).collect();
        serde_json::to_string(&names).expect("strings always serialise")
    }
}

/// The tables that may have rows in a window, with the shapes of those rows.
#[derive(Debug, Clone)]
pub struct Pending {
    /// How far the answer reaches; at most the end of the window asked for.
    pub upto: HlcTimestamp,
    /// Tables by name.
    pub tables: Vec<(Arc<StagedTable>, Vec<Arc<Shape>>)>,
}

/// Remembers staging tables and shapes of all databases.
#[derive(Debug, Default)]
pub struct Registry {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_table: HashMap<TableId, Arc<StagedTable>>,
    /// By database and staging table.
    by_name: HashMap<(Ident, String), Arc<StagedTable>>,
    /// By database, staging table and id.
    shapes: HashMap<(Ident, String, i64), Arc<Shape>>,
}

impl Registry {
    /// The staging table of a target table, created on first use.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn ensure_table(
        &self,
        database: &Database,
        schema: &TableSchema,
    ) -> Result<Arc<StagedTable>, Failure> {
        let (table, key_columns) = (&schema.id, StagedTable::key_columns_of(schema));
        if let Some(known) = self.lock().by_table.get(table).filter(|known| known.key_columns == key_columns)
        {
            return Ok(Arc::clone(known));
        }
        let staged = StagedTable {
            table: table.clone(),
            staging_table: names::staging_table(table),
            guard_table: names::guard_table(table),
            key_columns,
        };
        let ddl = database.dialect().staging_ddl(database.area(), &staged.staging_table, &staged.guard_table);
        let mut connection = database.connection().await?;
        run_ddl(&mut connection, ddl, REGISTER).await?;
        let sql = format!(
            "INSERT INTO {} (staging_table, guard_table, target_db, target_schema, target_table, key_columns) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            database.area().table("staged_tables")
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(&staged.staging_table)
            .bind(&staged.guard_table)
            .bind(table.schema.database.as_str())
            .bind(table.schema.schema.as_str())
            .bind(table.table.as_str())
            .bind(&staged.key_columns);
        query.execute(&mut *connection).await.map_err(|e| failure(REGISTER, e))?;
        take_key_columns(&mut connection, database, &staged).await?;
        Ok(self.remember_table(staged))
    }

    /// Makes the shapes of a batch known to whoever will apply its rows.
    ///
    /// # Errors
    /// If they cannot be stored.
    pub async fn ensure_shapes(
        &self,
        database: &Database,
        staged: &StagedTable,
        batch: &Batch<'_>,
    ) -> Result<(), Failure> {
        let mut shapes: BTreeMap<i64, &Arc<Shape>> = BTreeMap::new();
        for row in &batch.rows {
            if let Change::Upsert { shape, .. } = &row.change {
                shapes.entry(shape.id()).or_insert(shape);
            }
        }
        let unknown: Vec<(i64, &Arc<Shape>)> = {
            let known = self.lock();
            let key = |id| (database.name().clone(), staged.staging_table.clone(), id);
            shapes.into_iter().filter(|(id, _)| !known.shapes.contains_key(&key(*id))).collect()
        };
        for (id, shape) in unknown {
            let sql = format!(
                "INSERT INTO {} (staging_table, shape, members) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                database.area().table("staged_shapes")
            );
            let query =
                sqlx::query(AssertSqlSafe(sql)).bind(&staged.staging_table).bind(id).bind(shape.to_json());
            query.execute(database.control()).await.map_err(|e| failure(REGISTER, e))?;
            self.remember_shape(database, &staged.staging_table, Arc::clone(shape));
        }
        Ok(())
    }

    /// Which tables may have rows in a window. Costs what there is in the window, however many tables are idle. With
    /// `bounded`, a long window is cut short.
    ///
    /// # Errors
    /// If the index cannot be read or names a table that is not registered.
    pub async fn pending(
        &self,
        database: &Database,
        schema: &SchemaId,
        window: Window,
        bounded: bool,
    ) -> Result<Pending, Failure> {
        // What ends with a stretch needs nothing more from it.
        let done = bucket_of(window.after);
        let first = if window.after == bucket_end(done) { done + 1 } else { done };
        let last = bucket_of(window.upto);
        let limit = if bounded { MAX_WINDOW_ENTRIES + 1 } else { i64::MAX };
        let mut entries = entries(database, schema, first, last, limit).await?;
        let mut upto = window.upto;
        if bounded && count(entries.len()) > MAX_WINDOW_ENTRIES {
            // The last stretch may be incomplete: stop before it, or take it alone if it is the first as well.
            let cut = entries.last().map_or(last, |(bucket, ..)| *bucket);
            let first = entries.first().map_or(first, |(bucket, ..)| *bucket);
            let keep = (cut - 1).max(first);
            upto = upto.min(bucket_end(keep));
            entries.retain(|(bucket, ..)| *bucket <= keep);
            if keep == cut {
                entries = self::entries(database, schema, cut, cut, i64::MAX).await?;
            }
        }
        let mut shapes_of: BTreeMap<String, HashSet<i64>> = BTreeMap::new();
        for (_, staging_table, shape) in entries {
            shapes_of.entry(staging_table).or_default().insert(shape);
        }
        let mut tables = Vec::with_capacity(shapes_of.len());
        for (staging_table, ids) in shapes_of {
            let staged = self.staged_table(database, &staging_table).await?;
            let mut ids: Vec<i64> = ids.into_iter().filter(|id| *id != Shape::DELETION).collect();
            ids.sort_unstable();
            let mut shapes = Vec::with_capacity(ids.len());
            for id in ids {
                shapes.push(self.shape(database, &staging_table, id).await?);
            }
            tables.push((staged, shapes));
        }
        Ok(Pending { upto, tables })
    }

    /// What earlier processes learned of the source's keys of a table.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn alignment(&self, database: &Database, table: &TableSchema) -> Result<Option<i64>, Failure> {
        let sql = format!(
            "SELECT source_key FROM {} WHERE staging_table = $1 AND key_columns = $2",
            database.area().table("staged_tables")
        );
        let query = sqlx::query_scalar::<_, Option<i64>>(AssertSqlSafe(sql))
            .bind(names::staging_table(&table.id))
            .bind(StagedTable::key_columns_of(table));
        let stored = query.fetch_optional(database.control()).await.map_err(|e| failure(LOOK_UP, e))?;
        Ok(stored.flatten())
    }

    /// Keeps what was learned of the source's keys of a table. That they contradict the target's is never unlearned.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn store_alignment(
        &self,
        database: &Database,
        table: &TableSchema,
        alignment: i64,
    ) -> Result<(), Failure> {
        let staged = self.ensure_table(database, table).await?;
        let sql = format!(
            "UPDATE {} SET source_key = $2 WHERE staging_table = $1 AND COALESCE(source_key, 0) >= 0",
            database.area().table("staged_tables")
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&staged.staging_table).bind(alignment);
        query.execute(database.control()).await.map(drop).map_err(|e| failure(REGISTER, e))
    }

    /// The registered staging table, read again because what we remember does not fit.
    ///
    /// # Errors
    /// If it is not registered.
    pub async fn reread_table(
        &self,
        database: &Database,
        staging_table: &str,
    ) -> Result<Arc<StagedTable>, Failure> {
        self.lock().by_name.remove(&(database.name().clone(), staging_table.to_owned()));
        self.staged_table(database, staging_table).await
    }

    /// Sizes of what is remembered, for support.
    #[must_use]
    pub fn cache_sizes(&self) -> [(&'static str, usize); 2] {
        let known = self.lock();
        [("staging_tables", known.by_name.len()), ("shapes", known.shapes.len())]
    }

    /// Forgets the tables of a schema, because somebody dropped one.
    pub fn forget(&self, schema: &SchemaId) {
        let mut known = self.lock();
        known.by_table.retain(|table, _| table.schema != *schema);
        known.by_name.retain(|_, staged| staged.table.schema != *schema);
        known.shapes.retain(|(database, ..), _| *database != schema.database);
    }

    async fn staged_table(
        &self,
        database: &Database,
        staging_table: &str,
    ) -> Result<Arc<StagedTable>, Failure> {
        let key = (database.name().clone(), staging_table.to_owned());
        if let Some(known) = self.lock().by_name.get(&key) {
            return Ok(Arc::clone(known));
        }
        let sql = format!(
            "SELECT guard_table, target_db, target_schema, target_table, key_columns FROM {} WHERE staging_table = $1",
            database.area().table("staged_tables")
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(staging_table);
        let row = query.fetch_optional(database.control()).await.map_err(|e| failure(LOOK_UP, e))?;
        let row =
            row.ok_or_else(|| inconsistent(format!("staging table {staging_table:?} is not registered")))?;
        let ident = |at: usize| Ident::new(row.get::<String, _>(at)).map_err(|e| inconsistent(e.to_string()));
        let schema = SchemaId { database: ident(1)?, schema: ident(2)? };
        let table = TableId { schema, table: ident(3)? };
        Ok(self.remember_table(StagedTable {
            table,
            staging_table: staging_table.to_owned(),
            guard_table: row.get(0),
            key_columns: row.get(4),
        }))
    }

    async fn shape(&self, database: &Database, staging_table: &str, id: i64) -> Result<Arc<Shape>, Failure> {
        let key = (database.name().clone(), staging_table.to_owned(), id);
        if let Some(known) = self.lock().shapes.get(&key) {
            return Ok(Arc::clone(known));
        }
        let sql = format!(
            "SELECT members FROM {} WHERE staging_table = $1 AND shape = $2",
            database.area().table("staged_shapes")
        );
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(staging_table).bind(id);
        let members: Option<String> =
            query.fetch_optional(database.control()).await.map_err(|e| failure(LOOK_UP, e))?;
        let shape = members.and_then(|text| Shape::from_json(&text));
        let shape = shape
            .ok_or_else(|| inconsistent(format!("shape {id} of {staging_table:?} is not registered")))?;
        Ok(self.remember_shape(database, staging_table, Arc::new(shape)))
    }

    fn remember_table(&self, staged: StagedTable) -> Arc<StagedTable> {
        metrics::begin_table(&staged.table);
        let staged = Arc::new(staged);
        let mut known = self.lock();
        known.by_table.insert(staged.table.clone(), Arc::clone(&staged));
        let name = (staged.table.schema.database.clone(), staged.staging_table.clone());
        known.by_name.insert(name, Arc::clone(&staged));
        staged
    }

    fn remember_shape(&self, database: &Database, staging_table: &str, shape: Arc<Shape>) -> Arc<Shape> {
        let key = (database.name().clone(), staging_table.to_owned(), shape.id());
        self.lock().shapes.insert(key, Arc::clone(&shape));
        shape
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the registered key columns those of the target. Staged keys list their values in the registered order, so
/// that is only possible while nothing waits to be applied.
async fn take_key_columns(
    connection: &mut PgConnection,
    database: &Database,
    staged: &StagedTable,
) -> Result<(), Failure> {
    let (area, schema) = (database.area(), &staged.table.schema);
    let sql = format!(
        "UPDATE {registry} t SET key_columns = $2, source_key = NULL WHERE t.staging_table = $1 AND t.key_columns <> $2 \
         AND NOT EXISTS (SELECT 1 FROM {staging} s WHERE (s.nanos, s.logical) > (SELECT f.applied_nanos, f.applied_logical \
         FROM {frontiers} f WHERE f.target_db = $3 AND f.target_schema = $4))",
        registry = area.table("staged_tables"),
        staging = area.table(&staged.staging_table),
        frontiers = area.table("frontiers")
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(&staged.staging_table)
        .bind(&staged.key_columns)
        .bind(schema.database.as_str())
        .bind(schema.schema.as_str());
    query.execute(&mut *connection).await.map_err(|e| failure(REGISTER, e))?;
    let sql = format!("SELECT key_columns FROM {} WHERE staging_table = $1", area.table("staged_tables"));
    let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).bind(&staged.staging_table);
    let registered = query.fetch_one(&mut *connection).await.map_err(|e| failure(REGISTER, e))?;
    if registered == staged.key_columns {
        return Ok(());
    }
    let place = Place { table: Some(staged.table.clone()), ..Place::default() };
    let reason = format!(
        "the primary key of the target is now {}, but rows are staged under the key {registered}; restore that key (or its \
         expressions in apply_config) until they are applied, or reset the schema",
        staged.key_columns
    );
    Err(Failure::new(Disposition::Defer, REGISTER, reason).at(place))
}

/// Index entries (bucket, staging table, shape) in order of time.
async fn entries(
    database: &Database,
    schema: &SchemaId,
    first: i64,
    last: i64,
    limit: i64,
) -> Result<Vec<(i64, String, i64)>, Failure> {
    let sql = format!(
        "SELECT bucket, staging_table, shape FROM {} WHERE target_db = $1 AND target_schema = $2 \
         AND bucket >= $3 AND bucket <= $4 ORDER BY bucket LIMIT $5",
        database.area().table("staged_windows")
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(schema.database.as_str())
        .bind(schema.schema.as_str())
        .bind(first)
        .bind(last)
        .bind(limit);
    let rows = query.fetch_all(database.control()).await.map_err(|e| failure(LOOK_UP, e))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

fn inconsistent(what: String) -> Failure {
    Failure::new(Disposition::Halt, LOOK_UP, what)
}

fn count(entries: usize) -> i64 {
    i64::try_from(entries).unwrap_or(i64::MAX)
}
