//! A server's log: who it is, where a feed may begin, and its stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sink_core::failure::{Disposition, Failure};
use sink_core::flow::{Identified, LogSource, Position, Stored};

use crate::Flavor;
use crate::assemble::{Holds, TableName};
use crate::catalog::{
    self, Cascades, ServerFacts, TableFacts, TableKind, refuse, server_findings, table_findings,
};
use crate::feed::{Carried, Carry, Feed, Memory, Opened, WithoutTransactions};
use crate::gtid::{GtidSet, LogPosition};
use crate::resume::{Resume, nowhere_to_begin, resume};
use crate::transport::{Config, Dump, DumpRequest, Replica, Session, TransportError};

const IDENTIFY: &str = "ask the source who it is";
const OPEN: &str = "open the source's log";
/// A server sends a transaction a moment before it counts it among those it has.
const UNCOUNTED: Duration = Duration::from_secs(5);
/// How often it is asked again meanwhile.
const AGAIN: Duration = Duration::from_millis(250);

/// What to read, and how.
#[derive(Clone)]
pub struct Settings {
    /// Where the source is.
    pub config: Config,
    /// Who we are to it.
    pub replica: Replica,
    /// What is done with what is read.
    pub carry: Carry,
    /// Where to begin if nothing is stored, as an operator or a dump wrote it.
    pub default_position: Option<String>,
    /// Somebody answers for changes that follow from foreign keys and are not logged.
    pub allow_unlogged_cascades: bool,
    /// How far to read ahead, in bytes.
    pub read_ahead_bytes: usize,
    /// Where rows wait that may not be handed on yet.
    pub holds: Holds,
}

/// The log of a server.
pub struct BinlogSource {
    settings: Settings,
    memory: Arc<Memory>,
    flavor: Option<Flavor>,
}

impl BinlogSource {
    /// Reads by these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, memory: Arc::default(), flavor: None }
    }

    async fn connect(&self, operation: &'static str) -> Result<(Session, ServerFacts), Failure> {
        let failed = |error: TransportError| error.failed(operation);
        let mut session = Session::connect(&self.settings.config).await.map_err(failed)?;
        let facts = ServerFacts::read(&mut session).await.map_err(failed)?;
        refuse(operation, &server_findings(&facts))?;
        let id = self.settings.replica.id.to_string();
        if facts.variable("server_id") == Some(id.as_str()) {
            let reason =
                format!("the source itself has the server id {id}; choose another --replicationProcessID");
            return Err(Failure::new(Disposition::Halt, operation, reason));
        }
        Ok((session, facts))
    }

    /// Where to begin, if somebody says.
    fn chosen(&self) -> Option<&str> {
        self.settings.default_position.as_deref().filter(|text| !text.trim().is_empty())
    }

    /// Where a feed begins that has no position; empty if nobody says.
    fn default_position(&self, flavor: Flavor) -> Result<GtidSet, Failure> {
        let Some(text) = self.chosen() else { return Ok(GtidSet::empty(flavor)) };
        GtidSet::parse(flavor, text).map_err(|error| {
            let reason = format!("--defaultGTIDSet is not a position of {flavor}: {error}");
            Failure::new(Disposition::Halt, OPEN, reason)
        })
    }

    fn stored_position(&self, stored: &Stored, flavor: Flavor) -> Result<LogPosition, Failure> {
        if stored.position.as_str().is_empty() {
            return Ok(self.default_position(flavor)?.into());
        }
        LogPosition::parse(flavor, stored.position.as_str()).map_err(|error| {
            let reason = format!("the stored position is not one of {flavor}: {error}");
            Failure::new(Disposition::Halt, OPEN, reason)
        })
    }

    /// Makes sure that the server has what the target has, and still what it lacks.
    async fn check(
        &self,
        session: &mut Session,
        facts: &mut ServerFacts,
        position: &LogPosition,
    ) -> Result<(), Failure> {
        let begun = tokio::time::Instant::now();
        loop {
            match resume(position, facts, self.chosen().is_some()) {
                Resume::Possible => return Ok(()),
                Resume::Ahead(_) if begun.elapsed() < UNCOUNTED => {
                    tokio::time::sleep(AGAIN).await;
                    *facts = ServerFacts::read(session).await.map_err(|error| error.failed(OPEN))?;
                }
                Resume::Ahead(reason) | Resume::Lost(reason) => {
                    return Err(Failure::new(Disposition::Halt, OPEN, reason));
                }
            }
        }
    }

    async fn tables(
        &self,
        session: &mut Session,
        cascades: Cascades,
    ) -> Result<HashMap<TableName, TableFacts>, Failure> {
        let databases = self.settings.carry.databases.names();
        let tables = catalog::tables(session, &databases).await.map_err(|error| error.failed(OPEN))?;
        let carried = tables.iter().filter(|table| self.is_carried(table));
        let findings: Vec<_> = carried.flat_map(|table| table_findings(table, cascades)).collect();
        refuse(OPEN, &findings)?;
        for database in databases.iter().filter(|name| tables.iter().all(|t| t.name.database != **name)) {
            tracing::warn!(
                database,
                "the source shows no table in this database; it has none, or SELECT on it was not granted to us"
            );
        }
        Ok(tables.into_iter().map(|table| (table.name.clone(), table)).collect())
    }

    /// Rows of tables that the target does not have stop the feed when they come; until then they are nobody's business.
    fn is_carried(&self, table: &TableFacts) -> bool {
        let schema = self.settings.carry.databases.schema_of(&table.name.database).unwrap_or_default();
        matches!(table.kind, TableKind::Base | TableKind::Versioned)
            && (self.settings.carry.target)(schema, &table.name.table).is_some()
    }
}

impl LogSource for BinlogSource {
    type Stream = Feed;

    async fn identify(&mut self) -> Result<Identified, Failure> {
        let (session, facts) = self.connect(IDENTIFY).await?;
        session.close().await;
        self.flavor = Some(facts.flavor);
        // Where to begin is decided when the stream is opened: what cannot be used must not be stored.
        Ok(Identified { identity: identity(facts.flavor), first: Position::new("") })
    }

    fn recognise(&self, stored: &Stored) -> Result<(), Failure> {
        let product = serde_json::from_str(&stored.source_identity).ok();
        let product =
            product.and_then(|value: serde_json::Value| Some(value.get("product")?.as_str()?.to_owned()));
        let (Some(product), Some(flavor)) = (product, self.flavor) else {
            let reason = "the stored position belongs to a source of another kind; give this feed another name (--loopName)";
            return Err(Failure::new(Disposition::Halt, OPEN, reason));
        };
        if product == name(flavor) {
            return Ok(());
        }
        let reason = format!(
            "the stored position is one of {product}, and the source is {flavor}; give this feed another name (--loopName)"
        );
        Err(Failure::new(Disposition::Halt, OPEN, reason))
    }

    async fn open(&mut self, stored: &Stored) -> Result<Feed, Failure> {
        let (mut session, mut facts) = self.connect(OPEN).await?;
        let position = self.stored_position(stored, facts.flavor)?;
        self.check(&mut session, &mut facts, &position).await?;
        let cascades = Cascades::of(&facts, self.settings.allow_unlogged_cascades);
        let charsets = catalog::charsets(&mut session).await.map_err(|error| error.failed(OPEN))?;
        let tables = self.tables(&mut session, cascades).await?;
        session.close().await;
        let request = DumpRequest {
            replica: self.settings.replica,
            from: position.resume(),
            read_ahead_bytes: self.settings.read_ahead_bytes,
            silence: self.memory.silence(),
        };
        let from_the_start = request.from.is_empty() && self.chosen().is_none();
        let dump = Dump::open(&self.settings.config, request).await.map_err(|error| {
            if from_the_start && error.is_purged() {
                return Failure::new(Disposition::Halt, OPEN, nowhere_to_begin(facts.flavor));
            }
            error.failed(OPEN)
        })?;
        let without = tables.values().filter(|table| table.kind == TableKind::Base && !table.transactional);
        let without = WithoutTransactions::of(without.map(|table| table.name.clone()));
        let scope =
            Carried { databases: Arc::clone(&self.settings.carry.databases), without_transactions: without };
        let opened = Opened {
            dump,
            config: Arc::new(self.settings.config.clone()),
            flavor: facts.flavor,
            position,
            opened_at: facts.executed,
            charsets: Arc::new(charsets),
            cascades,
            facts: tables,
            scope,
            holds: self.settings.holds.clone(),
        };
        Ok(Feed::new(opened, self.settings.carry.clone(), Arc::clone(&self.memory)))
    }
}

fn name(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => "mysql",
        Flavor::MariaDb => "mariadb",
    }
}

/// Another server of the same product may take over, if it has what the target has: transactions keep their names.
fn identity(flavor: Flavor) -> String {
    json!({ "product": name(flavor) }).to_string()
}
