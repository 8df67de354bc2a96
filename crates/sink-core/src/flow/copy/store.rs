//! How far the first copy of each table is, as rows of the staging area of the database that is written.

use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Row as _};

use super::table::{SourceName, TableRecord, TableState, TargetTable};
use crate::failure::{Disposition, Failure, Place};
use crate::flow::FeedName;
use crate::model::{Ident, SchemaId, TableId, TableSchema};
use crate::target::dialect::snapshots;
use crate::target::pool::{APPLICATION_NAME, failure};
use crate::target::{Database, Product};

/// In whose name something is written: it fails with `Fenced` once somebody else took over the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The feed.
    pub feed: FeedName,
    /// The epoch that [`PositionStore::take_over`](crate::flow::PositionStore::take_over) gave.
    pub epoch: i64,
}

/// What matters of a target table before it is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFacts {
    /// Its rows are in partitions.
    pub partitioned: bool,
    /// It holds rows.
    pub holds_rows: bool,
    /// Statements that drop its foreign keys. Rows come in the order of the source's pages, so no foreign key can be
    /// checked while they come.
    pub drop_foreign_keys: Vec<String>,
    /// Statements that make them anew.
    pub add_foreign_keys: Vec<String>,
    /// Triggers that fire for each copied row.
    pub triggers: Vec<String>,
}

/// States of the tables of feeds that fill one database.
#[derive(Clone)]
pub struct SnapshotStore {
    database: Arc<Database>,
}

impl SnapshotStore {
    /// States next to the tables of `database`.
    ///
    /// # Errors
    /// If tables of this product are not copied by us.
    pub fn new(database: Arc<Database>) -> Result<Self, Failure> {
        match database.dialect().product() {
            Product::PostgreSql => Ok(Self { database }),
            Product::CockroachDb => {
                let reason = "an initial snapshot is only written to PostgreSQL; copy the tables with IMPORT INTO or \
                              MOLT Fetch, and start with --snapshotMode never";
                Err(Failure::new(Disposition::Halt, "prepare the initial snapshot", reason))
            }
        }
    }

    /// The database that is filled.
    #[must_use]
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// All tables of a feed by name; empty if it never began a snapshot.
    ///
    /// # Errors
    /// If the query fails, or a row was written by a later version.
    pub async fn read(&self, feed: &FeedName) -> Result<Vec<TableRecord>, Failure> {
        const READ: &str = "read the state of the snapshot";
        let query = sqlx::query(AssertSqlSafe(snapshots::read(self.database.area()))).bind(&feed.feed);
        let rows = query.fetch_all(self.database.control()).await.map_err(|e| failure(READ, e))?;
        let unknown = || Failure::new(Disposition::Halt, READ, "a state that this version does not know");
        rows.iter().map(|row| record(row).ok_or_else(unknown)).collect()
    }

    /// Looks at a target table.
    ///
    /// # Errors
    /// If it is gone or a query fails.
    pub async fn facts(&self, table: &TableId) -> Result<TargetFacts, Failure> {
        const LOOK: &str = "look at a target table before it is filled";
        let fail = |e| failure(LOOK, e);
        let mut connection = self.database.control().acquire().await.map_err(fail)?;
        let query =
            sqlx::query(snapshots::FACTS).bind(table.schema.schema.as_str()).bind(table.table.as_str());
        let row = query.fetch_optional(&mut *connection).await.map_err(fail)?;
        let Some(row) = row else {
            let place = Place { table: Some(table.clone()), ..Place::default() };
            return Err(Failure::new(Disposition::Halt, LOOK, "the target has no such table").at(place));
        };
        let partitioned = row.get(0);
        let holds_rows = self.holds_rows(&mut connection, table, partitioned).await?;
        Ok(TargetFacts {
            partitioned,
            holds_rows,
            drop_foreign_keys: row.get(1),
            add_foreign_keys: row.get(2),
            triggers: row.get(3),
        })
    }

    pub(super) async fn holds_rows(
        &self,
        connection: &mut PgConnection,
        table: &TableId,
        partitioned: bool,
    ) -> Result<bool, Failure> {
        let sql = snapshots::holds_rows(&self.database.dialect().table(table), partitioned);
        let answer = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await;
        answer.map_err(|e| failure("look whether a target table is empty", e))
    }

    /// Notes what is to be copied; tables that are noted already stay as they are.
    ///
    /// # Errors
    /// `Fenced`, or if the statement fails.
    pub async fn register(&self, fence: &Fence, tables: &[SourceName]) -> Result<(), Failure> {
        const REGISTER: &str = "note the tables of the snapshot";
        let fail = |e| failure(REGISTER, e);
        let mut connection = self.database.connection().await?;
        let mut tx = connection.begin().await.map_err(fail)?;
        hold(&mut tx, &self.database, fence).await?;
        let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        let sql = snapshots::register(self.database.area());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&fence.feed.feed).bind(schemas).bind(names);
        query.execute(&mut *tx).await.map_err(fail)?;
        tx.commit().await.map_err(fail)
    }

    /// From here on the table may hold rows of ours: what a crash leaves of it may be emptied.
    ///
    /// # Errors
    /// `Fenced`; if the table holds rows, which are not ours; or if a statement fails.
    pub async fn begin(&self, fence: &Fence, source: &SourceName, target: &TableId) -> Result<(), Failure> {
        const BEGIN: &str = "begin to copy a table";
        let fail = |e| failure(BEGIN, e);
        let facts = self.facts(target).await?;
        let mut connection = self.database.connection().await?;
        let mut tx = connection.begin().await.map_err(fail)?;
        hold(&mut tx, &self.database, fence).await?;
        if self.holds_rows(&mut tx, target, facts.partitioned).await? {
            return Err(not_empty(target));
        }
        self.change(&mut tx, fence, source, (&TableState::Pending, &TableState::Copying), (0, 0)).await?;
        tx.commit().await.map_err(fail)
    }

    /// Empties a table whose copy was broken off, and puts it back to the beginning. A process that was replaced may still
    /// be at it, or frozen in the middle: it can commit nothing any more, but its locks would be waited for, so its copies
    /// are ended.
    ///
    /// # Errors
    /// `Fenced`, or if a statement fails.
    pub async fn restart(&self, fence: &Fence, source: &SourceName, target: &TableId) -> Result<(), Failure> {
        const EMPTY: &str = "empty a table whose copy was broken off";
        let fail = |e| failure(EMPTY, e);
        let facts = self.facts(target).await?;
        let table = self.database.dialect().table(target);
        let mut connection = self.database.connection().await?;
        look(&mut connection, &self.database, fence).await?;
        let end = sqlx::query(snapshots::END_COPIES).bind(&table).bind(APPLICATION_NAME);
        let ended = end.fetch_all(&mut *connection).await.map_err(fail)?.len();
        if ended > 0 {
            tracing::info!(table = %source, ended, "ended copies of a process that was replaced");
        }
        let mut tx = connection.begin().await.map_err(fail)?;
        hold(&mut tx, &self.database, fence).await?;
        let quickly: bool = sqlx::query_scalar(snapshots::MAY_TRUNCATE)
            .bind(&table)
            .fetch_one(&mut *tx)
            .await
            .map_err(fail)?;
        let sql = snapshots::empty(&table, facts.partitioned, quickly);
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await.map_err(fail)?;
        self.change(&mut tx, fence, source, (&TableState::Copying, &TableState::Pending), (0, 0)).await?;
        tx.commit().await.map_err(fail)
    }

    /// All rows of the table are there: `rows` of them, as so many `bytes` of text.
    ///
    /// # Errors
    /// `Fenced`, or if the statement fails.
    pub async fn finish(
        &self,
        fence: &Fence,
        source: &SourceName,
        consistent_point: &str,
        (rows, bytes): (u64, u64),
    ) -> Result<(), Failure> {
        let copied = TableState::Copied { consistent_point: consistent_point.to_owned() };
        self.settle(fence, source, (&TableState::Copying, &copied), (rows, bytes)).await
    }

    /// The source dropped the table before it was copied.
    ///
    /// # Errors
    /// `Fenced`, or if the statement fails.
    pub async fn gone(
        &self,
        fence: &Fence,
        source: &SourceName,
        consistent_point: &str,
    ) -> Result<(), Failure> {
        let gone = TableState::Gone { consistent_point: consistent_point.to_owned() };
        self.settle(fence, source, (&TableState::Pending, &gone), (0, 0)).await
    }

    async fn settle(
        &self,
        fence: &Fence,
        source: &SourceName,
        (from, to): (&TableState, &TableState),
        amount: (u64, u64),
    ) -> Result<(), Failure> {
        const SETTLE: &str = "note that a table is copied";
        let fail = |e| failure(SETTLE, e);
        let mut connection = self.database.connection().await?;
        let mut tx = connection.begin().await.map_err(fail)?;
        hold(&mut tx, &self.database, fence).await?;
        self.change(&mut tx, fence, source, (from, to), amount).await?;
        tx.commit().await.map_err(fail)
    }

    pub(super) async fn change(
        &self,
        connection: &mut PgConnection,
        fence: &Fence,
        source: &SourceName,
        (from, to): (&TableState, &TableState),
        (rows, bytes): (u64, u64),
    ) -> Result<(), Failure> {
        const CHANGE: &str = "note how far a table is copied";
        let sql = snapshots::change(self.database.area());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&fence.feed.feed);
        let query = bind_table(query, source).bind(from.name()).bind(to.name()).bind(to.consistent_point());
        let amount = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let query = query.bind(amount(rows)).bind(amount(bytes));
        let done = query.execute(connection).await.map_err(|e| failure(CHANGE, e))?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        let reason = format!("table {source} is not {} as it should be; read its state again", from.name());
        Err(Failure::new(Disposition::Retry, CHANGE, reason))
    }
}

/// What to do about rows that are not ours.
#[must_use]
pub fn not_empty(table: &TableId) -> Failure {
    let place = Place { table: Some(table.clone()), ..Place::default() };
    let reason = "the target table holds rows that this feed did not copy; empty it, leave it out by --tables, or copy \
                  all tables by hand and start with --snapshotMode never";
    Failure::new(Disposition::Halt, "begin to copy a table", reason).at(place)
}

/// Makes sure that the feed is still the caller's, until the transaction ends.
pub(super) async fn hold(
    connection: &mut PgConnection,
    database: &Database,
    fence: &Fence,
) -> Result<(), Failure> {
    ask(connection, snapshots::fence(database.area()), fence).await
}

/// Makes sure that the feed is the caller's at the moment.
pub(super) async fn look(
    connection: &mut PgConnection,
    database: &Database,
    fence: &Fence,
) -> Result<(), Failure> {
    ask(connection, snapshots::look_at_fence(database.area()), fence).await
}

async fn ask(connection: &mut PgConnection, sql: String, fence: &Fence) -> Result<(), Failure> {
    const HOLD: &str = "make sure that nobody took over the feed";
    let query = sqlx::query(AssertSqlSafe(sql)).bind(&fence.feed.feed).bind(&fence.feed.scope);
    let row = query.bind(fence.epoch).fetch_optional(connection).await.map_err(|e| failure(HOLD, e))?;
    row.map(drop).ok_or_else(|| Failure::fenced(HOLD))
}

pub(super) fn bind_table<'q>(
    query: Query<'q, Postgres, PgArguments>,
    table: &'q SourceName,
) -> Query<'q, Postgres, PgArguments> {
    query.bind(&table.schema).bind(&table.name)
}

fn record(row: &PgRow) -> Option<TableRecord> {
    let amount = |at: usize| u64::try_from(row.get::<i64, _>(at)).unwrap_or(0);
    Some(TableRecord {
        table: SourceName { schema: row.get(0), name: row.get(1) },
        state: TableState::from_name(row.get(2), row.get(3))?,
        rows: amount(4),
        bytes: amount(5),
    })
}

/// A source table's target, as the catalogue has it now.
///
/// # Errors
/// If there is none.
pub async fn find_target(database: &Database, source: &SourceName) -> Result<Arc<TableSchema>, Failure> {
    const FIND: &str = "find the target table of a source table";
    let missing = |reason: String| Failure::new(Disposition::Halt, FIND, reason);
    let schema = Ident::new(&source.schema).map_err(|e| missing(e.to_string()))?;
    let schema = SchemaId { database: database.name().clone(), schema };
    let found = database.schema().table(database, &schema, &source.name).await?;
    found.ok_or_else(|| {
        missing(format!(
            "the target has no table {source}; create it, leave it out by --tables, or start with --createTables"
        ))
    })
}

/// The same, matched with a source's columns.
///
/// # Errors
/// If there is none, or a column has no place.
pub async fn target_table(
    database: &Database,
    source: &SourceName,
    columns: &[&str],
) -> Result<TargetTable, Failure> {
    TargetTable::new(find_target(database, source).await?, columns)
}
