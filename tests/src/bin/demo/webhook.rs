//! `cdc-webhook`: a throw-away PostgreSQL, `cdc-webhook`, and a simulated CockroachDB changefeed with everything that may
//! go wrong on the way; at the end the target is compared with the source, row for row.

use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use sink_core::clock::{Clock, SystemClock};
use sink_core::model::HlcTimestamp;
use sink_testkit::feed::{Faults, Feed};
use sink_testkit::workload::{self, Invariant};
use sink_testkit::{Config, Oracle, Workload, WorkloadConfig};
use sqlx::AssertSqlSafe;
use tests::driver::observe::{Observer, SchemaState};
use tests::driver::verdict::{self, TableVerdict};
use tests::driver::{self, Options, Tally};
use tests::harness::database::Database;
use tests::harness::postgres::{PostgresServer, Settings};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::wait;

/// Name of the target database; the tables are in its schema `public`.
const DATABASE: &str = "demo";
const SCHEMA: &str = "public";
/// Row versions the source commits per second.
const ROWS_PER_SECOND: u64 = 2_000;
/// Rows a transaction has on average, for the default limit of twelve.
const ROWS_PER_TRANSACTION: usize = 6;
/// How much longer than planned the feed may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often progress is looked at on a terminal, and elsewhere.
const REFRESH: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How long the target may refuse a row before the demo gives up.
const STALL_PATIENCE: Duration = Duration::from_secs(15);
/// Pause between two looks at the invariants.
const CHECK_PAUSE: Duration = Duration::from_millis(50);

/// What this demo takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Row versions the source commits, about.
    #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(100..=2_000_000))]
    rows: u64,
    /// Another seed is another history with other faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave the servers running afterwards, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

/// Runs the demo; whether source and target are equal at the end.
pub(crate) async fn run(args: &Args) -> Result<bool> {
    introduce(args);
    let logs = tempfile::tempdir().context("no temporary folder")?;
    println!("Starting PostgreSQL ...");
    let server = PostgresServer::start(&Settings::default()).await?;
    let database = server.create_database(DATABASE).await?;
    database.execute(&workload::ddl(SCHEMA).join("; ")).await?;
    println!("Starting cdc-webhook ...");
    let args_of_service =
        ["start", "--conn", database.url(), "--stagingCreateSchema", "--disableAuthentication"];
    let service = Service::new("cdc-webhook").args(args_of_service);
    let mut service = ServiceProcess::start(service, logs.path()).await?;

    println!("Inventing {} row versions in 6 tables (seed {}) ...", args.rows, args.seed);
    let workload = Workload::generate(args.seed, &history(args.rows)?);
    let outcome = replicate(args.seed, &workload, &database, &service).await;
    let passed = match outcome {
        Ok(outcome) => outcome.print(),
        Err(error) => {
            println!("\n\nThe end of cdc-webhook's log:\n{}\n\nFAIL: {error:#}\n", service.log_tail());
            false
        }
    };
    if args.keep {
        keep(&server, &mut service).await?;
    } else {
        println!(
            "Everything was thrown away again; `cargo xtask demo --keep` leaves it running to look around."
        );
    }
    Ok(passed)
}

fn introduce(args: &Args) {
    println!(
        "\
A simulated CockroachDB cluster commits transactions on six tables that depend on one another: parents and
children, a tree, unique values that swap places, accounts with a constant sum, and a table with every type.
Its changefeed posts them to cdc-webhook the way real ones do: in several streams, out of order, with rows sent
twice, requests cut off half-way, restarts from an old point, and now and then a promise (a \"resolved mark\")
that everything up to some time has been sent.

cdc-webhook keeps the rows in staging tables until such a mark, then makes all of them visible at once. While
that runs, five invariants of the source (such as the sum of all accounts) are checked in the target again and
again: a half-applied transaction would break them. The lines below show:

  sent      rows the changefeed posted, repetitions included
  staged    different row versions stored durably, waiting or already applied
  applied   rows written to or deleted from the tables; versions that follow each other within one mark count once
  lag       how far the target is behind the source's clock
  checks    how often the invariants were checked, and how often one was broken (must be 0)
"
    );
    if args.rows != 40_000 {
        println!("This takes about {} s.\n", args.rows / ROWS_PER_SECOND + 5);
    }
}

/// A history that begins now and takes as long as its rows need at the planned rate.
fn history(rows: u64) -> Result<WorkloadConfig> {
    let nanos = rows.div_ceil(ROWS_PER_SECOND) * 1_000_000_000;
    let rows = usize::try_from(rows)?;
    let initial_rows = rows / 10;
    let transactions = (rows - initial_rows) / ROWS_PER_TRANSACTION;
    // Distances are drawn evenly below the greatest, so the mean is half of it.
    let distance = i64::try_from(2 * nanos)? / i64::try_from(transactions.max(1))?;
    let start =
        HlcTimestamp::new(i64::try_from(SystemClock.wall().as_nanos())?, 0).context("the clock is off")?;
    Ok(WorkloadConfig {
        initial_rows,
        transactions,
        start,
        max_commit_distance_nanos: distance,
        ..WorkloadConfig::default()
    })
}

/// A busy feed with everything switched on. Restarts are few because each sends much of the history again.
fn feed_of(seed: u64, workload: &Workload) -> Feed {
    let faults = Faults { restart: 0.002, max_drawn_restarts: 3, ..Faults::CHAOS };
    let config = Config {
        flush_messages: 50,
        commits_per_step: 0..=6,
        resolved_every: 40,
        faults,
        ..Config::default()
    };
    Feed::new(seed, config, workload)
}

/// What the demo found.
struct Outcome {
    took: Duration,
    verdicts: Vec<TableVerdict>,
    tally: Tally,
    restarts: u32,
    checks: Checks,
}

/// Looks at the invariants.
#[derive(Debug, Default)]
struct Checks {
    done: u64,
    broken: Vec<String>,
}

async fn replicate(
    seed: u64,
    workload: &Workload,
    database: &Database,
    service: &ServiceProcess,
) -> Result<Outcome> {
    let oracle = Oracle::new(workload);
    let mut feed = feed_of(seed, workload);
    let span = workload.source().last_commit().nanos() - workload.scan_at().nanos();
    let deadline = PATIENCE + 3 * Duration::from_nanos(span.unsigned_abs());
    let options = Options { cut: 0.05, live: true, seed, ..Options::new(&format!("/{DATABASE}/{SCHEMA}")) };
    let (tally, checks) = (Tally::default(), std::sync::Mutex::new(Checks::default()));
    let addresses = [service.address()];
    let begin = Instant::now();
    let applied_upto = async {
        let upto = driver::drive(&mut feed, &addresses, &options, &tally, deadline).await?;
        wait_until_applied(Observer::new(addresses[0]), upto).await.map(|()| upto)
    };
    let invariants = workload.invariants(SCHEMA);
    let mut screen = Screen::new(begin);
    let upto = tokio::select! {
        upto = applied_upto => upto?,
        failed = watch(Observer::new(addresses[0]), &tally, &checks, &mut screen) => match failed? {},
        failed = check(database, &invariants, &checks) => match failed? {},
    };
    let took = begin.elapsed();
    let last = look(&mut Observer::new(addresses[0])).await?;
    screen.show(&last, &tally, &checks, true);
    screen.end();
    let mut connection = database.connect().await?;
    let verdicts = verdict::compare(&mut connection, &oracle, SCHEMA, upto).await?;
    let checks = checks.into_inner().unwrap_or_default();
    Ok(Outcome { took, verdicts, tally, restarts: feed.run(), checks })
}

async fn wait_until_applied(mut observer: Observer, upto: HlcTimestamp) -> Result<()> {
    let schema = format!("{DATABASE}.{SCHEMA}");
    let mut stalled: Option<Instant> = None;
    wait::eventually(PATIENCE, "the last mark to be applied", async || {
        let state = observer.schema(&schema).await.map_err(|error| format!("{error:#}"))?;
        let state = state.ok_or("nothing is known of the schema")?;
        if state.applied >= upto {
            return Ok(Ok(()));
        }
        match &state.stall {
            None => stalled = None,
            Some(reason) if stalled.get_or_insert_with(Instant::now).elapsed() > STALL_PATIENCE => {
                return Ok(Err(anyhow!("the target refuses a row of a history without errors: {reason}")));
            }
            Some(_) => {}
        }
        Err(format!("{state:?}"))
    })
    .await?
}

/// Never comes back unless something fails.
enum Never {}

/// Checks one invariant after the other, each in one statement.
async fn check(
    database: &Database,
    invariants: &[Invariant],
    checks: &std::sync::Mutex<Checks>,
) -> Result<Never> {
    let mut connection = database.connect().await?;
    loop {
        for invariant in invariants {
            let query = sqlx::query_scalar::<_, bool>(AssertSqlSafe(invariant.sql.clone()));
            let holds = query.fetch_one(&mut connection).await.context(invariant.name)?;
            if let Ok(mut checks) = checks.lock() {
                checks.done += 1;
                if !holds {
                    checks.broken.push(invariant.name.to_owned());
                }
            }
        }
        tokio::time::sleep(CHECK_PAUSE).await;
    }
}

/// What the service says of itself.
struct Look {
    staged: f64,
    applied: f64,
    state: Option<SchemaState>,
}

async fn look(observer: &mut Observer) -> Result<Look> {
    let varz = observer.varz().await?;
    let state = observer.schema(&format!("{DATABASE}.{SCHEMA}")).await?;
    let applied = varz.sum("apply_upserts_total") + varz.sum("apply_deletes_total");
    Ok(Look { staged: varz.sum("stage_store_mutations_total"), applied, state })
}

async fn watch(
    mut observer: Observer,
    tally: &Tally,
    checks: &std::sync::Mutex<Checks>,
    screen: &mut Screen,
) -> Result<Never> {
    loop {
        let look = look(&mut observer).await.context("cdc-webhook does not answer")?;
        screen.show(&look, tally, checks, false);
        tokio::time::sleep(screen.refresh()).await;
    }
}

/// One line that is written over on a terminal, a line now and then elsewhere.
struct Screen {
    begin: Instant,
    terminal: bool,
    stalled: Option<String>,
}

impl Screen {
    fn new(begin: Instant) -> Self {
        println!();
        Self { begin, terminal: std::io::stdout().is_terminal(), stalled: None }
    }

    fn refresh(&self) -> Duration {
        if self.terminal { REFRESH.0 } else { REFRESH.1 }
    }

    fn show(&mut self, look: &Look, tally: &Tally, checks: &std::sync::Mutex<Checks>, last: bool) {
        let (done, broken) =
            checks.lock().map(|checks| (checks.done, checks.broken.len())).unwrap_or_default();
        let state = look.state.as_ref();
        // After the end the source's clock runs on and nothing is behind.
        let lag = state.and_then(|state| state.lag_seconds).filter(|_| !last);
        let line = format!(
            "{:5.1} s   sent {:>7}   staged {:>7.0}   applied {:>7.0}   lag {:>7}   {:<9} checks {done} ({broken} broken)",
            self.begin.elapsed().as_secs_f64(),
            tally.rows.load(Ordering::Relaxed),
            look.staged,
            look.applied,
            lag.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s")),
            if last { "done" } else { state.map_or("starting", |state| state.state.as_str()) },
        );
        if self.terminal {
            print!("\r\x1b[2K{line}");
            // Progress that cannot be shown does no harm.
            let _ = std::io::stdout().flush();
        } else {
            println!("{line}");
        }
        let stall = state.and_then(|state| state.stall.clone());
        if stall.is_some() && stall != self.stalled {
            println!("\nthe target refuses a row: {}", stall.as_deref().unwrap_or_default());
        }
        self.stalled = stall;
    }

    fn end(&self) {
        if self.terminal {
            println!();
        }
    }
}

impl Outcome {
    /// Prints what was found; whether all is well.
    fn print(&self) -> bool {
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        println!("\nWhat the changefeed went through in {:.1} s:", self.took.as_secs_f64());
        println!(
            "  {} requests with {} rows and {} marks; {} failed or were given up ({} connections cut), {} restarts",
            load(&self.tally.requests) - load(&self.tally.marks),
            load(&self.tally.rows),
            load(&self.tally.marks),
            load(&self.tally.failures),
            load(&self.tally.cuts),
            self.restarts,
        );
        for (refusal, times) in self.tally.refusals() {
            println!("  refused {times} times: {refusal}");
        }
        println!("\nSource and target, row for row and column for column, at the last mark:");
        for verdict in &self.verdicts {
            println!("  {verdict}");
        }
        println!(
            "  invariants  checked {} times, broken {} times",
            self.checks.done,
            self.checks.broken.len()
        );
        for broken in self.checks.broken.iter().take(5) {
            println!("    broken: {broken}");
        }
        let equal = self.verdicts.iter().all(|verdict| verdict.difference.is_none());
        let passed = equal && self.checks.broken.is_empty();
        let meaning = if passed {
            "the target shows exactly what the source holds, and never showed half a transaction."
        } else {
            "the target differs from the source; this is a bug. Please report it with the seed."
        };
        println!("\n{}: {meaning}\n", if passed { "PASS" } else { "FAIL" });
        passed
    }
}

async fn keep(server: &PostgresServer, service: &mut ServiceProcess) -> Result<()> {
    let http = format!("http://{}", service.address());
    println!("Still running:");
    println!("  target     psql '{}'", server.url(DATABASE));
    println!("             (tables in schema {SCHEMA}, cdc-webhook's own in schema _cdc_sink)");
    println!("  post to    {http}/{DATABASE}/{SCHEMA}");
    println!("             e.g. curl -d '{{\"resolved\":\"1.0000000000\"}}' {http}/{DATABASE}/{SCHEMA}");
    println!("  state      {http}/_/readyz");
    println!("  metrics    {http}/_/varz");
    println!("  log        {}", service.log().display());
    println!("Ctrl-C ends both and removes everything.");
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    println!("\nStopping ...");
    service.terminate(Duration::from_secs(20)).await?;
    Ok(())
}
