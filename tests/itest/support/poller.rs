//! Reads the target throughout a run and looks for a moment at which it was not consistent.
//!
//! Invariants are read by single statements and inside REPEATABLE READ transactions; two statements at READ COMMITTED
//! would be two moments. Now and then a whole snapshot is read together with the frontier and compared with the truth
//! at that time, row for row.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sink_core::model::HlcTimestamp;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::harness::wait;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::target::{SCHEMA, Target, compare};

/// Least pause between two whole snapshots, which cost more than the rest.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(500);
/// Leaves some of a small machine to the others.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the target may be away, where that is announced.
const OUTAGE: Duration = Duration::from_secs(60);
/// Every statement of such a transaction sees the same moment.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Reads until told to stop.
pub(crate) struct Poller {
    stop: watch::Sender<bool>,
    task: JoinSet<Result<Report>>,
}

/// What was read; everything was in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Single statements.
    pub(crate) statements: u64,
    /// Transactions of several statements.
    pub(crate) transactions: u64,
    /// Snapshots compared row for row.
    pub(crate) snapshots: u64,
    /// Different applied times among the snapshots.
    pub(crate) moments: u64,
    /// Times the connection broke.
    pub(crate) outages: u64,
}

struct Reader {
    target: Target,
    stop: watch::Receiver<bool>,
    report: Report,
    began: Instant,
    last_snapshot: Instant,
    last_applied: HlcTimestamp,
}

impl Poller {
    /// Starts to read. With `outages`, broken connections are replaced.
    pub(crate) fn start(target: &Target, outages: bool) -> Poller {
        let (stop, stopped) = watch::channel(false);
        let now = Instant::now();
        let mut reader = Reader {
            target: target.clone(),
            stop: stopped,
            report: Report::default(),
            began: now,
            last_snapshot: now,
            last_applied: HlcTimestamp::ZERO,
        };
        let mut task = JoinSet::new();
        // A thread of its own: comparing is work without a pause, and must not hold up the feed. And a runtime of its
        // own, so that a scenario that fails can end without waiting for the reader.
        task.spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(reader.run(outages)).map(|()| reader.report)
        });
        Poller { stop, task }
    }

    /// Waits for a broken promise; for a scenario that would otherwise go on in vain.
    pub(crate) async fn broken(&mut self) -> anyhow::Error {
        match self.task.join_next().await {
            Some(Ok(Err(error))) => error,
            other => anyhow::anyhow!("the poller ended early: {other:?}"),
        }
    }

    /// Stops reading.
    ///
    /// # Errors
    /// With the first promise that was seen broken, or if there was too little to see.
    pub(crate) async fn finish(mut self) -> Result<Report> {
        self.stop.send_replace(true);
        let report = self
            .task
            .join_next()
            .await
            .context("the poller has no task")?
            .context("the poller panicked")??;
        let seen = report.statements.min(report.transactions).min(report.snapshots);
        ensure!(seen > 0, "the poller saw too little to prove anything: {report:?}");
        Ok(report)
    }
}

impl Reader {
    async fn run(&mut self, outages: bool) -> Result<()> {
        let mut connection = self.target.connect().await?;
        // A dropped sender means that the scenario has failed.
        while self.stop.has_changed().is_ok() && !*self.stop.borrow() {
            if let Err(error) = self.round(&mut connection).await {
                let outage = error.chain().filter_map(|cause| cause.downcast_ref()).any(is_outage);
                if !outages || !outage {
                    let after = self.began.elapsed();
                    return Err(error.context(format!("after {after:?} and {:?}", self.report)));
                }
                self.report.outages += 1;
                let again = async || self.target.connect().await;
                connection = wait::eventually(OUTAGE, "the target to come back", again).await?;
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn round(&mut self, connection: &mut PgConnection) -> Result<()> {
        for invariant in self.target.clone().invariants() {
            check(connection, invariant.name, &invariant.sql, "a single statement").await?;
            self.report.statements += 1;
        }
        let mut snapshot = connection.begin_with(BEGIN).await?;
        for invariant in self.target.invariants() {
            check(&mut snapshot, invariant.name, &invariant.sql, "a REPEATABLE READ transaction").await?;
        }
        self.read_in_parts(&mut snapshot).await?;
        self.report.transactions += 1;
        if self.last_snapshot.elapsed() >= SNAPSHOT_INTERVAL {
            self.compare(&mut snapshot).await?;
            self.last_snapshot = Instant::now();
        }
        snapshot.rollback().await?;
        Ok(())
    }

    /// The two sides of an equation by two statements: they are one moment only because of the transaction.
    async fn read_in_parts(&self, snapshot: &mut PgConnection) -> Result<()> {
        let claimed = format!("SELECT coalesce(sum(child_count), 0)::int8 FROM {SCHEMA}.parents");
        let claimed: i64 = sqlx::query_scalar(AssertSqlSafe(claimed)).fetch_one(&mut *snapshot).await?;
        let found = format!("SELECT count(*) FROM {SCHEMA}.children");
        let found: i64 = sqlx::query_scalar(AssertSqlSafe(found)).fetch_one(&mut *snapshot).await?;
        ensure!(claimed == found, "BROKEN: parents count {claimed} children in all, and there are {found}");
        Ok(())
    }

    /// Frontier and rows in one snapshot must be the source at the applied time.
    async fn compare(&mut self, snapshot: &mut PgConnection) -> Result<()> {
        let applied = self.target.frontier(snapshot).await?.applied;
        let rows = self.target.rows(snapshot).await?;
        ensure!(
            applied >= self.last_applied,
            "BROKEN: the applied time fell from {} to {applied}",
            self.last_applied
        );
        self.report.moments += u64::from(applied > self.last_applied);
        self.last_applied = applied;
        compare(self.target.oracle(), applied, &rows).context("BROKEN: a snapshot")?;
        self.report.snapshots += 1;
        Ok(())
    }
}

async fn check(connection: &mut PgConnection, name: &str, sql: &str, how: &str) -> Result<()> {
    let ok: bool = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut *connection).await?;
    if !ok {
        bail!("BROKEN: {name}, read by {how}");
    }
    Ok(())
}

/// Whether the server went away, rather than answered with something odd.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}
