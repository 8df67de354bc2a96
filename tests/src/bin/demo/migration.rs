//! A migration that is watched: a program copies and follows a shop that stays open, is killed on the way, and the target
//! is checked all the time. What the demos of log sources have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::StatusCode;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use tests::driver::observe::Varz;
use tests::harness::database::Database;
use tests::harness::fingerprint::Compared;
use tests::harness::http::Client;
use tests::harness::process::ServiceProcess;

use crate::shop;

/// Name of the database on both servers.
pub(crate) const DATABASE: &str = "shop";
/// The feed.
pub(crate) const LOOP: &str = "demo";
/// Sessions that work at the source.
pub(crate) const SESSIONS: usize = 4;
/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const REFRESH: Duration = Duration::from_secs(1);
/// How long the program stays dead.
const DOWN: Duration = Duration::from_secs(2);
const CHECK_PAUSE: Duration = Duration::from_millis(100);

/// What this demo takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Following {
    /// Rows that are there before the migration begins, about.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1_000..=20_000_000))]
    pub(crate) rows: i64,
    /// Seconds for which changes are followed, after the first copy.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(4..=3_600))]
    pub(crate) seconds: u64,
    /// Leave the servers running afterwards, until Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// What goes on at the source.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Tells the sessions to end.
    pub(crate) stop: AtomicBool,
    /// Transactions so far.
    pub(crate) committed: AtomicU64,
}

/// Looks at the invariants.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    done: AtomicU64,
    broken: AtomicU64,
}

/// The program at work, and what is seen of it.
pub(crate) struct Migration<'a> {
    program: &'static str,
    process: &'a mut ServiceProcess,
    target: &'a Database,
    work: &'a Work,
    checks: &'a Checks,
    screen: Screen,
}

/// A command line as one may type it.
pub(crate) fn command(program: &str, flags: Vec<String>) -> String {
    let words = flags.into_iter().map(|word| if word.contains('?') { format!("'{word}'") } else { word });
    let text = words.collect::<Vec<_>>().join(" ").replace(" --", " \\\n    --");
    format!("{program} start {text}")
}

impl<'a> Migration<'a> {
    /// Of a process that was just started.
    pub(crate) fn new(
        program: &'static str,
        process: &'a mut ServiceProcess,
        target: &'a Database,
        work: &'a Work,
        checks: &'a Checks,
    ) -> Migration<'a> {
        Migration { program, process, target, work, checks, screen: Screen::new() }
    }

    /// The snapshot, some seconds of changes, a crash, some seconds more.
    pub(crate) async fn follow(&mut self, seconds: Duration) -> Result<()> {
        self.until_consistent().await?;
        let stop = AtomicBool::new(false);
        let (target, checks) = (self.target, self.checks);
        let changes = async {
            let done = self.crash(seconds).await;
            stop.store(true, Ordering::Relaxed);
            done
        };
        let (changes, checked) = tokio::join!(changes, check(target, checks, &stop));
        changes.and(checked)
    }

    /// Shows how things are, and makes sure that the program is at work.
    pub(crate) async fn show(&mut self) -> Result<()> {
        self.alive()?;
        self.screen.show(self.process, self.work, self.checks).await.map(drop)
    }

    async fn until_consistent(&mut self) -> Result<()> {
        let begin = Instant::now();
        while !self.screen.show(self.process, self.work, self.checks).await? {
            ensure!(begin.elapsed() < PATIENCE, "{} does not stream after {PATIENCE:?}", self.program);
            self.alive()?;
            tokio::time::sleep(REFRESH).await;
        }
        Ok(())
    }

    async fn crash(&mut self, seconds: Duration) -> Result<()> {
        self.watch(seconds / 2).await?;
        println!("\nkill -9: {} is gone in the middle of its work; the shop goes on ...", self.program);
        self.screen.lost();
        self.process.kill9().await?;
        tokio::time::sleep(DOWN).await;
        println!(
            "... and it is started again. It stands by until the dead one can no longer be at work (10 s), then goes on \
             where the target says it was.\n"
        );
        self.process.start_again().await?;
        self.until_consistent().await?;
        self.watch(seconds / 2).await
    }

    async fn watch(&mut self, time: Duration) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            tokio::time::sleep(REFRESH).await;
            self.show().await?;
        }
        Ok(())
    }

    fn alive(&mut self) -> Result<()> {
        match self.process.exited()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}", self.program),
        }
    }
}

/// Checks one invariant after the other, each in one statement.
async fn check(target: &Database, checks: &Checks, stop: &AtomicBool) -> Result<()> {
    let mut connection = target.connect().await?;
    while !stop.load(Ordering::Relaxed) {
        for invariant in shop::invariants() {
            let query = sqlx::query_scalar::<_, bool>(AssertSqlSafe(invariant.sql));
            let holds = query.fetch_one(&mut connection).await.context(invariant.name)?;
            checks.done.fetch_add(1, Ordering::Relaxed);
            if !holds {
                println!("broken: {}", invariant.name);
                checks.broken.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(CHECK_PAUSE).await;
        }
    }
    Ok(())
}

/// The position in the target, as text.
pub(crate) async fn stored(target: &mut PgConnection) -> Result<String> {
    let sql = "SELECT position FROM _cdc_sink.positions WHERE feed = $1";
    sqlx::query_scalar(sql).bind(LOOP).fetch_one(target).await.context("the stored position")
}

/// Prints the comparison; whether all is well.
pub(crate) fn verdict(compared: &[Compared], checks: &Checks) -> bool {
    println!("\nBoth sides by fingerprint (number of rows, and hashes over all of their values):");
    for table in compared {
        println!("  {:<12} source {:<36}", table.table, table.source.to_string());
        let verdict = if table.equal() { "equal" } else { "DIFFERENT" };
        println!("  {:<12} target {:<36} {verdict}", "", table.target.to_string());
    }
    let (done, broken) = (checks.done.load(Ordering::Relaxed), checks.broken.load(Ordering::Relaxed));
    println!("  invariants   checked {done} times, broken {broken} times");
    let passed = compared.iter().all(Compared::equal) && done > 0 && broken == 0;
    let meaning = if passed {
        "the target holds exactly what the source does, and never showed half a transaction."
    } else {
        "the target differs from the source, or showed half a transaction; this is a bug. Please report it."
    };
    println!("\n{}: {meaning}\n", if passed { "PASS" } else { "FAIL" });
    passed
}

/// Leaves everything running until Ctrl-C. `source` is how to look at the source.
pub(crate) async fn keep(source: &str, target: &Database, process: &mut ServiceProcess) -> Result<()> {
    println!("Still running:");
    println!("  source     {source}");
    println!("  target     psql '{}'", target.url());
    println!("             (our own tables are in schema _cdc_sink)");
    println!("  state      http://{}/_/readyz", process.address());
    println!("  metrics    http://{}/_/varz", process.address());
    println!("  log        {}", process.log().display());
    println!("Change something at the source and see it arrive. Ctrl-C ends everything and removes it.");
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    println!("\nStopping ...");
    process.terminate(Duration::from_secs(20)).await?;
    Ok(())
}

/// A line a second.
struct Screen {
    begin: Instant,
    /// Rows copied and changes applied by processes that are gone; a process counts from zero.
    before: [f64; 2],
    last: [f64; 2],
}

impl Screen {
    fn new() -> Screen {
        Screen { begin: Instant::now(), before: [0.0; 2], last: [0.0; 2] }
    }

    /// The process is about to be gone, and its counts with it.
    fn lost(&mut self) {
        for (before, last) in self.before.iter_mut().zip(&mut self.last) {
            *before += std::mem::take(last);
        }
    }

    /// Prints a line and answers whether the target is as the source was at some commit.
    async fn show(&mut self, process: &ServiceProcess, work: &Work, checks: &Checks) -> Result<bool> {
        let look = Look::at(process).await.unwrap_or_default();
        self.last = look.counts;
        println!(
            "{:5.1} s   source {:>7}   {:<10} copied {:>7.0}   applied {:>7.0}   lag {:>7}   checks {} ({} broken)",
            self.begin.elapsed().as_secs_f64(),
            work.committed.load(Ordering::Relaxed),
            look.phase,
            self.before[0] + self.last[0],
            self.before[1] + self.last[1],
            look.lag.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s")),
            checks.done.load(Ordering::Relaxed),
            checks.broken.load(Ordering::Relaxed),
        );
        Ok(look.phase == "streaming" && look.consistent)
    }
}

/// What the process says of itself.
struct Look {
    phase: String,
    counts: [f64; 2],
    /// Seconds; known while it streams.
    lag: Option<f64>,
    /// Behind the point from which on a copy of many moments is one.
    consistent: bool,
}

impl Default for Look {
    fn default() -> Look {
        Look { phase: "starting".to_owned(), counts: [0.0; 2], lag: None, consistent: false }
    }
}

impl Look {
    async fn at(process: &ServiceProcess) -> Result<Look> {
        let mut client = Client::connect(process.address()).await?;
        let varz = Varz::get(&mut client).await?;
        let (status, body) = client.get("/_/readyz").await?;
        ensure!(status == StatusCode::OK || status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
        let state: Value = serde_json::from_slice(&body)?;
        let phase = state["phase"].as_str().context("no phase")?.to_owned();
        Ok(Look {
            counts: [varz.sum("snapshot_rows_total"), varz.sum("flow_changes_total")],
            lag: state["lag_seconds"].as_f64().filter(|_| phase == "streaming"),
            consistent: state["consistent_since_snapshot"] != Value::Bool(false),
            phase,
        })
    }
}
