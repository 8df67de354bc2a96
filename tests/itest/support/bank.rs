//! Writers at a PostgreSQL source, and a reader at the target that tells whether what it sees is a state of the source.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tests::harness::database::Database;
use tests::harness::wait;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// The tables, on both sides, and what fills them.
pub(crate) const DDL: &str = include_str!("bank.sql");
/// The tables.
pub(crate) const TABLES: [&str; 6] =
    ["public.clock", "public.accounts", "public.parents", "public.children", "public.docs", "public.bulk"];
/// Kinds of work that `act` knows.
const KINDS: i32 = 12;
/// What all accounts hold together.
const SUM: i64 = 80_000;
/// Writers at the same time; each has rows of its own.
const WRITERS: i32 = 3;
/// Between two transactions of a writer, so that others get their share of a small machine.
const PAUSE: Duration = Duration::from_millis(4);
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(8);
/// How long a server may be away.
const OUTAGE: Duration = Duration::from_secs(60);

/// Reads number and invariants of one moment.
const LOOK: &str = "
    SELECT c.n, c.state = public.state() AS whole, (SELECT sum(balance)::int8 FROM accounts) AS sum,
        (SELECT count(*) FROM parents p
            WHERE p.children <> (SELECT count(*) FROM children k WHERE k.parent = p.id)) AS odd
    FROM clock c";

/// Writers at work.
pub(crate) struct Bank {
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<u64>>,
}

impl Bank {
    /// Lets the writers begin.
    pub(crate) fn start(origin: &Database, seed: u64) -> Bank {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let rng = StdRng::seed_from_u64(seed ^ u64::from(writer.unsigned_abs()));
            let (origin, stopped) = (origin.clone(), stopped.clone());
            apart(&mut tasks, move || write(origin, writer, rng, stopped));
        }
        Bank { stop, tasks }
    }

    /// Stops the writers; answers how many transactions they have committed.
    pub(crate) async fn finish(mut self) -> Result<u64> {
        self.stop.send_replace(true);
        let mut all = 0;
        while let Some(ended) = self.tasks.join_next().await {
            all += ended.context("a writer panicked")??;
        }
        Ok(all)
    }
}

/// Runs something on a thread and a runtime of its own: it must neither hold up the scenario nor wait for it.
fn apart<T: Send + 'static, F: Future<Output = Result<T>>>(
    tasks: &mut JoinSet<Result<T>>,
    work: impl FnOnce() -> F + Send + 'static,
) {
    tasks.spawn_blocking(move || Builder::new_current_thread().enable_all().build()?.block_on(work()));
}

/// One transaction after the other until told to stop. A server that goes away is waited for; what became of the
/// transaction under way is not of interest, for both sides will agree on it.
async fn write(origin: Database, writer: i32, mut rng: StdRng, stop: watch::Receiver<bool>) -> Result<u64> {
    let mut connection = origin.connect().await?;
    let mut committed = 0;
    while stop.has_changed().is_ok() && !*stop.borrow() {
        let sql = transaction(writer, &mut rng);
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await {
            Ok(_) => committed += 1,
            Err(error) if is_outage(&error) => connection = back(&origin, "the source").await?,
            Err(error) => return Err(error).context("a transaction of the workload"),
        }
        sleep(PAUSE).await;
    }
    Ok(committed)
}

fn transaction(writer: i32, rng: &mut StdRng) -> String {
    let mut sql = "BEGIN;".to_owned();
    for _ in 0..rng.random_range(1..=4) {
        let act = format!("SELECT act({}, {writer});", rng.random_range(0..KINDS));
        if rng.random_bool(0.2) {
            sql += &format!("SAVEPOINT s; {act} ROLLBACK TO s;");
        } else {
            sql += &act;
        }
    }
    sql += if rng.random_bool(0.1) { "ROLLBACK" } else { "SELECT tick(); COMMIT" };
    sql
}

async fn back(database: &Database, name: &str) -> Result<PgConnection> {
    let again = async || database.connect().await;
    wait::eventually(OUTAGE, &format!("{name} to come back"), again).await
}

/// Whether the server went away, rather than answered with something odd.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}

/// The number of the newest transaction that a side shows.
pub(crate) async fn number(database: &Database) -> Result<i64> {
    let mut connection = database.connect().await?;
    Ok(sqlx::query_scalar("SELECT n FROM clock").fetch_one(&mut connection).await?)
}

/// Reads the target all the time, on a connection of its own.
pub(crate) struct Auditor {
    stop: watch::Sender<bool>,
    task: JoinSet<Result<Seen>>,
}

/// What was seen; everything was in order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Looks.
    pub(crate) looks: u64,
    /// Different states among them.
    pub(crate) states: u64,
    /// The newest.
    pub(crate) newest: i64,
    /// Times the target was away.
    pub(crate) outages: u64,
}

impl Auditor {
    /// Starts to read.
    pub(crate) fn start(target: &Database) -> Auditor {
        let (stop, stopped) = watch::channel(false);
        let mut task = JoinSet::new();
        let target = target.clone();
        apart(&mut task, move || audit(target, stopped));
        Auditor { stop, task }
    }

    /// Runs something while reading; the first state that the source never had ends both.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            ended = self.task.join_next() => match ended {
                Some(Ok(Err(error))) => Err(error),
                other => anyhow::bail!("the auditor ended early: {other:?}"),
            },
        }
    }

    /// Stops reading. Fails with the first state that the source never had, or if too few were seen to prove anything.
    pub(crate) async fn finish(mut self, least: u64) -> Result<Seen> {
        self.stop.send_replace(true);
        let seen = self.task.join_next().await.context("no auditor")?.context("the auditor panicked")??;
        ensure!(seen.states >= least, "the auditor saw too little: {seen:?}");
        Ok(seen)
    }
}

async fn audit(target: Database, stop: watch::Receiver<bool>) -> Result<Seen> {
    let began = Instant::now();
    let (mut connection, mut seen) = (target.connect().await?, Seen::default());
    while stop.has_changed().is_ok() && !*stop.borrow() {
        match sqlx::query(LOOK).fetch_one(&mut connection).await {
            Ok(row) => {
                let (n, sum): (i64, i64) = (row.get("n"), row.get("sum"));
                let (whole, odd): (bool, i64) = (row.get("whole"), row.get("odd"));
                let good = whole && odd == 0 && sum == SUM && n >= seen.newest;
                ensure!(
                    good,
                    "BROKEN after {:?}: at transaction {n}, whole is {whole}, the accounts hold {sum}, {odd} parents \
                     have other children than they say; before: {seen:?}",
                    began.elapsed()
                );
                seen.looks += 1;
                seen.states += u64::from(n > seen.newest);
                seen.newest = n;
            }
            Err(error) if is_outage(&error) => {
                seen.outages += 1;
                connection = back(&target, "the target").await?;
            }
            Err(error) => return Err(error).context("a look at the target"),
        }
        sleep(LOOK_PAUSE).await;
    }
    Ok(seen)
}
