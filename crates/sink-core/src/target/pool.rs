//! Connections to the target: which product it is, one pool per database, and what a driver error means.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Postgres, Row as _};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::dialect::{Dialect, Product, StagingArea, dialect};
use super::schema_watcher::SchemaWatcher;
use crate::apply_config::ApplyConfigs;
use crate::failure::{Disposition, Failure, Place};
use crate::metrics;
use crate::model::{Ident, SchemaId, TableId};

/// Longest wait for a connection before the target counts as unreachable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections per database beside the work, for short looks and marks.
const CONTROL_CONNECTIONS: u32 = 4;
/// Connections that nobody uses are closed after this time, so a database that is no longer written costs nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections are replaced after this time, so that a failover or a changed role setting takes effect.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// Most databases of one server that are written at once.
const MAX_DATABASES: usize = 64;
/// Name under which our sessions show up at the target.
pub(crate) const APPLICATION_NAME: &str = "cdc-sink";

/// How to reach the target and where to keep our own tables.
#[derive(Clone)]
pub struct TargetConfig {
    /// A `postgresql://` URL. Holds a password, so this type does not implement `Debug`.
    pub url: String,
    /// Name of the staging area (`--stagingDB`).
    pub staging: Ident,
    /// Create the staging area if it is missing.
    pub create_staging: bool,
    /// Most connections to the server at once, over all databases.
    pub max_connections: u32,
}

/// A target server.
pub struct Target {
    product: Product,
    version: String,
    options: PgConnectOptions,
    config: TargetConfig,
    permits: Arc<Semaphore>,
    home: Arc<Database>,
    configs: Arc<ApplyConfigs>,
    databases: Mutex<HashMap<Ident, Arc<Database>>>,
}

/// One database of the target. On CockroachDB all of them share the pool of the home database.
pub struct Database {
    name: Ident,
    area: StagingArea,
    dialect: &'static dyn Dialect,
    pool: PgPool,
    /// Connections that must not queue behind the work: marks and looks at the state.
    control: PgPool,
    /// One connection that queues behind nothing: renewing leases.
    leases: PgPool,
    permits: Arc<Semaphore>,
    /// `host:port`, the label of metrics.
    host: Arc<str>,
    schema: SchemaWatcher,
    configs: Arc<ApplyConfigs>,
}

/// A pool of connections as it is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolState {
    /// The database its connections are for.
    pub database: Ident,
    /// `work`; `control` for marks and looks; `leases`.
    pub pool: &'static str,
    /// Most connections it may have.
    pub max: u32,
    /// Connections open or being made.
    pub size: u32,
    /// Open connections that nobody uses.
    pub idle: u32,
}

/// A connection and the permit that bounds how many there are.
pub struct Connection {
    inner: PoolConnection<Postgres>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Closes the connection when it is dropped, instead of giving it back: it may be inside a transaction.
    pub(crate) fn close_on_drop(&mut self) {
        self.inner.close_on_drop();
    }
}

impl std::ops::Deref for Connection {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl std::ops::DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

impl Connection {
    /// Closes it, whatever it is in the middle of, so that nobody gets it from the pool again.
    pub(crate) fn discard(self) {
        // The server sees the end of the connection and undoes what was not committed.
        drop(self.inner.detach());
    }
}

impl Target {
    /// Connects, finds out which product it is, and makes the tables of the staging area.
    ///
    /// # Errors
    /// If the URL is malformed, the server cannot be reached or is no product we know, or the staging area is
    /// missing and may not be created. `Disposition::Retry` means that waiting may help.
    pub async fn connect(config: TargetConfig) -> Result<Self, Failure> {
        let target = Self::connect_to_look(config).await?;
        target.home.prepare_area(target.config.create_staging).await?;
        target.home.prepare_home().await?;
        target.configs.load(&target.home).await?;
        Ok(target)
    }

    /// Connects and finds out which product it is, but makes nothing: good for looking at the catalogue only.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), but for the staging area.
    pub async fn connect_to_look(config: TargetConfig) -> Result<Self, Failure> {
        const CONNECT: &str = "connect to the target";
        let options = PgConnectOptions::from_str(&config.url)
            // The driver's message may quote the URL, password and all.
            .map_err(|_| {
                Failure::new(Disposition::Halt, CONNECT, "the connection string is not a valid URL")
            })?
            .application_name(APPLICATION_NAME)
            // The driver would warn of every statement that takes a second, with its whole text; ours may be long in
            // both senses, and their times are metrics.
            .disable_statement_logging();
        let mut first = PgConnection::connect_with(&options).await.map_err(|e| failure(CONNECT, e))?;
        let row = sqlx::query("SELECT version(), current_database()::text")
            .fetch_one(&mut first)
            .await
            .map_err(|e| failure(CONNECT, e))?;
        let (version, home): (String, String) = (row.get(0), row.get(1));
        // The server forgets us anyway if this fails.
        let _ = first.close().await;
        let product = Product::from_version(&version).ok_or_else(|| {
            Failure::new(Disposition::Halt, CONNECT, "the server is neither CockroachDB nor PostgreSQL")
        })?;
        let options = session_settings(product, options);
        let permits = Arc::new(Semaphore::new(
            usize::try_from(config.max_connections.max(2)).unwrap_or(Semaphore::MAX_PERMITS),
        ));
        let home = Ident::new(home).map_err(|e| Failure::new(Disposition::Halt, CONNECT, e))?;
        let configs = Arc::new(ApplyConfigs::default());
        let home = Arc::new(Database::open(product, home, &options, &config, (&permits, &configs), None));
        let databases = Mutex::new(HashMap::from([(home.name.clone(), Arc::clone(&home))]));
        Ok(Self { product, version, options, config, permits, home, configs, databases })
    }

    /// Which product it is.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// What the server says of its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The database named in the connection string; leases and configuration live there.
    #[must_use]
    pub fn home(&self) -> &Arc<Database> {
        &self.home
    }

    /// A database of the server, opened on first use.
    ///
    /// # Errors
    /// If it does not exist (SQLSTATE 3D000) or cannot be prepared.
    pub async fn database(&self, name: &Ident) -> Result<Arc<Database>, Failure> {
        {
            let databases = self.databases.lock().await;
            if let Some(known) = databases.get(name) {
                return Ok(Arc::clone(known));
            }
            if databases.len() >= MAX_DATABASES {
                let reason = format!("this process already writes {MAX_DATABASES} databases");
                return Err(Failure::new(Disposition::Halt, "open a database of the target", reason));
            }
        }
        self.refuse_reserved(name).await?;
        // Not under the lock: a database that does not answer must not hold up the others.
        let shared = (self.product == Product::CockroachDb).then_some(&*self.home);
        let database = Arc::new(Database::open(
            self.product,
            name.clone(),
            &self.options,
            &self.config,
            (&self.permits, &self.configs),
            shared,
        ));
        match self.product {
            Product::CockroachDb => database.check_exists().await?,
            Product::PostgreSql => database.prepare_area(self.config.create_staging).await?,
        }
        self.list_database(name).await?;
        Ok(Arc::clone(self.databases.lock().await.entry(name.clone()).or_insert(database)))
    }

    /// Fails with 3D000 for what is no place for rows. A template would be in use, so that nobody could make a database
    /// from it, and every new one would begin with a copy of our tables. A staging area that is a database holds the keys
    /// of those who may write.
    async fn refuse_reserved(&self, name: &Ident) -> Result<(), Failure> {
        const OPEN: &str = "open a database of the target";
        let reserved = match self.product {
            Product::CockroachDb => name == self.home.area.name(),
            Product::PostgreSql => sqlx::query_scalar::<_, bool>(
                "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1 AND datistemplate)",
            )
            .bind(name.as_str())
            .fetch_one(&self.home.control)
            .await
            .map_err(|e| failure(OPEN, e))?,
        };
        if !reserved {
            return Ok(());
        }
        let place = Place { sqlstate: Some(UNKNOWN_DATABASE.into()), ..Place::default() };
        let reason =
            format!("{:?} is no database for rows but a template or the staging area", name.as_str());
        Err(Failure::new(Disposition::Halt, OPEN, reason).at(place))
    }

    /// Opens every database that a process of this target has ever written, so that what waits there is applied even
    /// if no delivery comes. Databases that cannot be opened are named in the answer.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub async fn open_known(&self) -> Result<Vec<(Ident, Failure)>, Failure> {
        const LIST: &str = "list the databases that are written";
        let sql = format!("SELECT name FROM {} ORDER BY name", self.home.area.table("target_databases"));
        let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&self.home.control)
            .await
            .map_err(|e| failure(LIST, e))?;
        let mut failed = Vec::new();
        for name in names.iter().filter_map(|name| Ident::new(name).ok()) {
            if let Err(error) = self.database(&name).await {
                failed.push((name, error));
            }
        }
        Ok(failed)
    }

    async fn list_database(&self, name: &Ident) -> Result<(), Failure> {
        let table = self.home.area.table("target_databases");
        let sql = format!("INSERT INTO {table} (name) VALUES ($1) ON CONFLICT DO NOTHING");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(name.as_str());
        let done = query.execute(&self.home.control).await;
        done.map(drop).map_err(|e| failure("list a database that is written", e))
    }

    /// What `apply_config` says of tables.
    #[must_use]
    pub fn configs(&self) -> &Arc<ApplyConfigs> {
        &self.configs
    }

    /// The databases opened so far.
    pub async fn databases(&self) -> Vec<Arc<Database>> {
        self.databases.lock().await.values().cloned().collect()
    }

    /// `host:port` of the server, the label of its metrics.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.home.host
    }

    /// The pools of the databases opened so far. Databases that share pools are shown as one.
    pub async fn pools(&self) -> Vec<PoolState> {
        let mut databases = self.databases().await;
        databases.sort_by(|a, b| a.name.cmp(&b.name));
        if self.product == Product::CockroachDb {
            databases = vec![Arc::clone(&self.home)];
        }
        databases.iter().flat_map(|database| database.pools()).collect()
    }

    /// One round trip, to tell whether the target answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), Failure> {
        let ping = sqlx::query("SELECT 1").execute(&self.home.control);
        ping.await.map(drop).map_err(|e| failure("ping the target", e))
    }

    /// Closes every connection.
    pub async fn close(&self) {
        for database in self.databases().await {
            database.pool.close().await;
            database.control.close().await;
            database.leases.close().await;
        }
    }
}

impl Database {
    fn open(
        product: Product,
        name: Ident,
        options: &PgConnectOptions,
        config: &TargetConfig,
        (permits, configs): (&Arc<Semaphore>, &Arc<ApplyConfigs>),
        shared: Option<&Self>,
    ) -> Self {
        let host: Arc<str> = format!("{}:{}", options.get_host(), options.get_port()).into();
        metrics::begin_host(&host);
        let pool = |connections: u32| {
            let host = Arc::clone(&host);
            PgPoolOptions::new()
                .max_connections(connections)
                .min_connections(0)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // A wait that matters ends in an error of ours; the driver's warning names nothing.
                .acquire_slow_threshold(ACQUIRE_TIMEOUT * 10)
                .test_before_acquire(false)
                .after_connect(move |_, _| {
                    metrics::connected(&host);
                    Box::pin(std::future::ready(Ok(())))
                })
                .before_acquire(|connection, _| Box::pin(no_transaction(connection)))
                .idle_timeout(IDLE_TIMEOUT)
                .max_lifetime(MAX_LIFETIME)
                .connect_lazy_with(options.clone().database(name.as_str()))
        };
        let (pool, control, leases) = match shared {
            Some(home) => (home.pool.clone(), home.control.clone(), home.leases.clone()),
            None => (pool(config.max_connections.max(2)), pool(CONTROL_CONNECTIONS), pool(1)),
        };
        Self {
            area: StagingArea::new(product, config.staging.clone()),
            dialect: dialect(product),
            pool,
            control,
            leases,
            permits: Arc::clone(permits),
            host,
            schema: SchemaWatcher::default(),
            configs: Arc::clone(configs),
            name,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Ident {
        &self.name
    }

    /// Where staging, marks and frontiers of its schemas live.
    #[must_use]
    pub fn area(&self) -> &StagingArea {
        &self.area
    }

    /// The product's SQL.
    #[must_use]
    pub fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }

    /// The last known schema of its tables.
    #[must_use]
    pub fn schema(&self) -> &SchemaWatcher {
        &self.schema
    }

    /// What `apply_config` says of tables.
    #[must_use]
    pub(crate) fn configs(&self) -> &ApplyConfigs {
        &self.configs
    }

    /// A connection for work, within the bound on connections.
    ///
    /// # Errors
    /// If none is free in time or the server cannot be reached.
    pub async fn connection(&self) -> Result<Connection, Failure> {
        let started = Instant::now();
        let acquired = self.acquire().await;
        metrics::acquired(&self.host, started.elapsed(), acquired.is_ok());
        acquired
    }

    async fn acquire(&self) -> Result<Connection, Failure> {
        const ACQUIRE: &str = "get a connection to the target";
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                metrics::waited_for_connection(&self.host);
                tokio::time::timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.permits).acquire_owned())
                    .await
                    .map_err(|_| Failure::new(Disposition::Retry, ACQUIRE, "all connections are busy"))?
                    .map_err(|e| Failure::new(Disposition::Halt, ACQUIRE, e))?
            }
        };
        let inner = self.pool.acquire().await.map_err(|e| failure(ACQUIRE, e))?;
        Ok(Connection { inner, _permit: permit })
    }

    fn pools(&self) -> [PoolState; 3] {
        let state = |pool: &'static str, connections: &PgPool| PoolState {
            database: self.name.clone(),
            pool,
            max: connections.options().get_max_connections(),
            size: connections.size(),
            idle: u32::try_from(connections.num_idle()).unwrap_or(u32::MAX),
        };
        [state("work", &self.pool), state("control", &self.control), state("leases", &self.leases)]
    }

    /// The connection that queues behind nothing.
    #[must_use]
    pub fn leases(&self) -> &PgPool {
        &self.leases
    }

    /// The few connections that never queue behind the work.
    #[must_use]
    pub fn control(&self) -> &PgPool {
        &self.control
    }

    /// Makes the tables of the staging area; several processes may do so at once.
    async fn prepare_area(&self, create: bool) -> Result<(), Failure> {
        const PREPARE: &str = "prepare the staging area";
        let mut connection = self.control.acquire().await.map_err(|e| failure(PREPARE, e))?;
        let name = self.area.name().as_str();
        let lookup = match self.dialect.product() {
            Product::CockroachDb => "SELECT count(*) FROM pg_catalog.pg_database WHERE datname = $1",
            Product::PostgreSql => "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = $1",
        };
        let found: i64 = sqlx::query_scalar(lookup)
            .bind(name)
            .fetch_one(&mut *connection)
            .await
            .map_err(|e| failure(PREPARE, e))?;
        if found == 0 && !create {
            let reason = format!(
                "the staging area {name:?} does not exist in database {:?}; create it with: {}; (or start with \
                 --stagingCreateSchema)",
                self.name.as_str(),
                self.area.create_statement()
            );
            return Err(Failure::new(Disposition::Halt, PREPARE, reason));
        }
        if found > 0 {
            super::legacy::refuse_unapplied(&mut connection, &self.area).await?;
        }
        let mut statements = if found == 0 { vec![self.area.create_statement()] } else { Vec::new() };
        statements.extend(self.dialect.area_ddl(&self.area));
        run_ddl(&mut connection, statements, PREPARE).await
    }

    /// Makes the tables that only the home database has, unless they are there.
    async fn prepare_home(&self) -> Result<(), Failure> {
        const PREPARE: &str = "prepare the staging area of the home database";
        let mut connection = self.control.acquire().await.map_err(|e| failure(PREPARE, e))?;
        for table in self.dialect.home_tables(&self.area) {
            let probe = sqlx::raw_sql(AssertSqlSafe(table.probe)).execute(&mut *connection).await;
            if probe.is_err() {
                run_ddl(&mut connection, table.ddl, PREPARE).await?;
            }
        }
        Ok(())
    }

    /// Fails with 3D000 if CockroachDB has no such database.
    async fn check_exists(&self) -> Result<(), Failure> {
        const OPEN: &str = "open a database of the target";
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_catalog.pg_database WHERE datname = $1")
            .bind(self.name.as_str())
            .fetch_one(&self.control)
            .await
            .map_err(|e| failure(OPEN, e))?;
        if found > 0 {
            return Ok(());
        }
        let place = Place { sqlstate: Some(UNKNOWN_DATABASE.into()), ..Place::default() };
        let reason = format!("database {:?} does not exist", self.name.as_str());
        Err(Failure::new(Disposition::Halt, OPEN, reason).at(place))
    }
}

/// Makes sure that a connection from the pool is alive and in no transaction.
///
/// Work that is cut off while its BEGIN is under way leaves the transaction open without the driver knowing (sqlx 0.9):
/// what the next user of the connection believes to be committed would not be. One round trip, in place of the
/// driver's own test whether the connection lives.
async fn no_transaction(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let answer = sqlx::raw_sql("ROLLBACK").execute(connection).await;
    // An answer is an answer: CockroachDB calls it an error to end what has not begun.
    Ok(matches!(answer, Ok(_) | Err(sqlx::Error::Database(_))))
}

/// SQLSTATE of a database that does not exist.
pub const UNKNOWN_DATABASE: &str = "3D000";

/// Runs DDL statement by statement (CockroachDB wants no DDL inside transactions). `IF NOT EXISTS` still fails when
/// two sessions create the same thing at the same moment, so those codes are tried again.
pub(crate) async fn run_ddl(
    connection: &mut PgConnection,
    statements: Vec<String>,
    operation: &'static str,
) -> Result<(), Failure> {
    const ATTEMPTS: u32 = 10;
    for statement in statements {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let result = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *connection).await;
            let Err(error) = result else { break };
            let code = error.as_database_error().and_then(|e| e.code().map(|c| c.into_owned()));
            let race =
                matches!(code.as_deref(), Some("23505" | "42710" | "42P07" | "42P06" | "XX000" | "40001"));
            if !race || attempt == ATTEMPTS {
                return Err(failure(operation, error));
            }
            tokio::time::sleep(Duration::from_millis(20) * attempt).await;
        }
    }
    Ok(())
}

/// What every session sets, whatever the role's defaults are.
fn session_settings(product: Product, options: PgConnectOptions) -> PgConnectOptions {
    match product {
        Product::CockroachDb => options,
        Product::PostgreSql => options.options([
            // A 200 promises durability; a role default of `off` would break it.
            ("synchronous_commit", "on"),
            // A frozen or cut-off client must not hold the frontier's lock.
            ("idle_in_transaction_session_timeout", "10s"),
            ("client_connection_check_interval", "1s"),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
            ("lock_timeout", "30s"),
            // The order of waits and snapshots is built on this level, whatever the role's default.
            ("default_transaction_isolation", "read committed"),
            // Substitute expressions and deadlines mean the same whatever the role's defaults are.
            ("standard_conforming_strings", "on"),
            ("TimeZone", "UTC"),
            ("IntervalStyle", "postgres"),
            ("DateStyle", "ISO, YMD"),
            // One source timestamp may be a whole table; liveness is the lease's business.
            ("statement_timeout", "0"),
            // The generated statements join a few rows with large tables by key; without statistics on the few,
            // the planner would rather scan the large table.
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("jit", "off"),
            // Notices (a rollback after a commit that was cut off, a table that exists) are not for our log.
            ("client_min_messages", "error"),
            ("work_mem", "32MB"),
        ]),
    }
}

/// A driver error as a [`Failure`]: classified, placed, and without row values.
pub(crate) fn failure(operation: &'static str, error: sqlx::Error) -> Failure {
    match &error {
        sqlx::Error::Database(database) => {
            let Some(server) = database.try_downcast_ref::<PgDatabaseError>() else {
                return Failure::new(Disposition::Halt, operation, error);
            };
            let place = place(server);
            let disposition = dialect(Product::PostgreSql).classify(server.code());
            // The same work succeeds once the statement is planned anew.
            let stale_plan = server.code() == "0A000" && server.message().contains("cached plan");
            let disposition = if stale_plan { Disposition::Retry } else { disposition };
            Failure::new(disposition, operation, text_of(server)).at(place)
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Failure::new(Disposition::Retry, operation, error),
        _ => Failure::new(Disposition::Halt, operation, error),
    }
}

fn place(server: &PgDatabaseError) -> Place {
    let table = server.schema().zip(server.table()).and_then(|(schema, table)| {
        // The server does not say which database: it is the one we are connected to.
        let schema = SchemaId { database: Ident::new("?").ok()?, schema: Ident::new(schema).ok()? };
        Some(TableId { schema, table: Ident::new(table).ok()? })
    });
    Place {
        table,
        column: server.column().map(str::to_owned),
        constraint: server.constraint().map(str::to_owned),
        row: None,
        sqlstate: Some(server.code().to_owned()),
    }
}

/// Whether messages of this error class may quote the offending value (data exceptions, raised exceptions).
fn may_quote_values(sqlstate: &str) -> bool {
    const NAMES_ONLY: [&str; 14] =
        ["08", "0A", "23", "25", "26", "28", "3D", "3F", "40", "42", "53", "55", "57", "58"];
    !NAMES_ONLY.iter().any(|class| sqlstate.starts_with(class))
}

/// The server's message as far as it can hold no row value.
fn text_of(server: &PgDatabaseError) -> String {
    // What a trigger or function raises may say anything, under any code.
    if server.code().starts_with("P0") || server.routine() == Some("exec_stmt_raise") {
        return "raised by a function or trigger of the target; its text is withheld, for it may hold values"
            .into();
    }
    if may_quote_values(server.code()) { masked(server.message()) } else { server.message().to_owned() }
}

/// The message with everything from the first to the last double quote blanked: a value may hold quotes itself.
fn masked(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}\"…\"{}", &message[..first], &message[last + 1..])
        }
        (Some(first), _) => format!("{}\"…\"", &message[..first]),
        (None, _) => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_may_quote_a_value_are_masked() {
        assert!(may_quote_values("22P02") && may_quote_values("P0001"));
        assert!(!may_quote_values("23505") && !may_quote_values("42703"));
        assert_eq!(
            masked("invalid input syntax for type integer: \"secret\""),
            "invalid input syntax for type integer: \"…\""
        );
        assert_eq!(masked("unbalanced \"secret"), "unbalanced \"…\"");
        assert_eq!(masked("for type uuid: \"a\"SECRET\"b\" here"), "for type uuid: \"…\" here");
    }
}
