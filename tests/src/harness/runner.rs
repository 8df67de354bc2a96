//! Runs scenarios and tells what was run, what was skipped and why.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex as AsyncMutex, OnceCell, OwnedMutexGuard};

use super::database::{Database, Product};
use super::mysql::{self, Flavor, MySqlServer, SourceDatabase};
use super::postgres::{PostgresServer, Settings};
use super::{scratch, setting};

/// Time for one scenario unless it asks for more.
const DEADLINE: Duration = Duration::from_secs(120);
/// Time a scenario has to unwind after its deadline before the whole run is given up: it must be
/// blocking its thread.
const GRACE: Duration = Duration::from_secs(60);
/// Time for tasks to end after the scenario.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// Threads of a scenario's runtime: enough to run client and server side by side.
const THREADS: usize = 2;

/// What a scenario cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A database on the shared PostgreSQL server.
    Postgres,
    /// Server binaries: the scenario starts clusters of its own, to stop or crash them.
    PostgresBinaries,
    /// A database on the shared CockroachDB node.
    Cockroach,
    /// A database on the shared MySQL or MariaDB server; see [`on_flavors`].
    Source,
    /// Binaries of MySQL or MariaDB: the scenario starts servers of its own; see [`on_flavors`].
    SourceBinaries,
}

impl Need {
    /// The word by which `CDC_TEST_REQUIRE` names it.
    fn name(self, flavor: Option<Flavor>) -> &'static str {
        match self {
            Need::Postgres | Need::PostgresBinaries => "postgres",
            Need::Cockroach => "cockroach",
            Need::Source | Need::SourceBinaries => flavor.map_or("a source nobody has named", Flavor::word),
        }
    }

    fn is_there(self, flavor: Option<Flavor>) -> bool {
        match self {
            Need::Postgres => {
                setting("CDC_TEST_POSTGRES_URL").is_some() || PostgresServer::binaries().is_some()
            }
            Need::PostgresBinaries => PostgresServer::binaries().is_some(),
            Need::Cockroach => setting("CDC_TEST_COCKROACH_URL").is_some(),
            Need::Source | Need::SourceBinaries => flavor.and_then(Flavor::base).is_some(),
        }
    }

    fn absent(self, flavor: Option<Flavor>) -> String {
        let binaries = if self == Need::PostgresBinaries { " binaries" } else { "" };
        format!("no {}{binaries}", self.name(flavor))
    }
}

/// What a scenario gets.
#[derive(Debug)]
pub struct Ctx {
    name: &'static str,
    folder: PathBuf,
    target: Option<Database>,
    flavor: Option<Flavor>,
    source: Option<SourceDatabase>,
}

impl Ctx {
    /// The scenario's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// A folder for logs and files; kept, and named in the message, if the scenario fails.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The scenario's own database, on the shared PostgreSQL server or the shared CockroachDB node.
    ///
    /// # Panics
    ///
    /// If the scenario declares neither [`Need::Postgres`] nor [`Need::Cockroach`].
    #[must_use]
    pub fn target(&self) -> &Database {
        self.target.as_ref().expect("the scenario declares a target")
    }

    /// The scenario's own database on the shared MySQL or MariaDB server.
    ///
    /// # Panics
    ///
    /// If the scenario does not declare [`Need::Source`].
    #[must_use]
    pub fn source(&self) -> &SourceDatabase {
        self.source.as_ref().expect("the scenario declares a source")
    }

    /// Which of MySQL and MariaDB this run of the scenario is about.
    ///
    /// # Panics
    ///
    /// If the scenario does not go through [`on_flavors`].
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.flavor.expect("the scenario is registered for each product")
    }

    /// Whether full-size loops are wanted.
    #[must_use]
    pub fn is_long(&self) -> bool {
        is_long()
    }
}

type Body = Arc<dyn Fn(Ctx) -> Pin<Box<dyn Future<Output = Result<()>>>> + Send + Sync>;

/// A test against real servers.
pub struct Scenario {
    name: &'static str,
    needs: &'static [Need],
    long: bool,
    portable: bool,
    flavor: Option<Flavor>,
    deadline: Duration,
    threads: usize,
    body: Body,
}

/// Describes a scenario. The name says what it proves and appears in reports and filters.
pub fn scenario<F, R>(name: &'static str, needs: &'static [Need], body: F) -> Scenario
where
    F: Fn(Ctx) -> R + Send + Sync + 'static,
    R: Future<Output = Result<()>> + 'static,
{
    let body: Body = Arc::new(move |ctx| Box::pin(body(ctx)));
    let (long, portable, flavor) = (false, true, None);
    Scenario { name, needs, long, portable, flavor, deadline: DEADLINE, threads: THREADS, body }
}

/// The scenarios, and each of those that need nothing but a database on PostgreSQL once more on CockroachDB.
#[must_use]
pub fn on_both(scenarios: Vec<Scenario>) -> Vec<Scenario> {
    let also = |scenario: &Scenario| {
        (scenario.portable && scenario.needs == [Need::Postgres]).then(|| Scenario {
            // Names live as long as the run; there are a few dozen.
            name: format!("{}@cockroachdb", scenario.name).leak(),
            needs: &[Need::Cockroach],
            body: Arc::clone(&scenario.body),
            ..*scenario
        })
    };
    let again: Vec<Scenario> = scenarios.iter().filter_map(also).collect();
    scenarios.into_iter().chain(again).collect()
}

/// Each scenario for MySQL and for MariaDB, unless it is about one of them alone.
#[must_use]
pub fn on_flavors(scenarios: Vec<Scenario>) -> Vec<Scenario> {
    let each = |scenario: &Scenario, flavor: Flavor| Scenario {
        name: format!("{}@{}", scenario.name, flavor.word()).leak(),
        flavor: Some(flavor),
        body: Arc::clone(&scenario.body),
        ..*scenario
    };
    let about = |scenario: &Scenario, flavor: Flavor| scenario.flavor.is_none_or(|only| only == flavor);
    let all = scenarios.iter().flat_map(|scenario| {
        let flavors = Flavor::ALL.into_iter().filter(move |flavor| about(scenario, *flavor));
        flavors.map(move |flavor| each(scenario, flavor))
    });
    all.collect()
}

impl Scenario {
    /// Runs only when full-size loops are wanted.
    #[must_use]
    pub fn long(mut self) -> Scenario {
        self.long = true;
        self
    }

    /// Looks at something that only PostgreSQL has.
    #[must_use]
    pub fn only_postgres(mut self) -> Scenario {
        self.portable = false;
        self
    }

    /// Is about something that only this product has; see [`on_flavors`].
    #[must_use]
    pub fn only_on(mut self, flavor: Flavor) -> Scenario {
        self.flavor = Some(flavor);
        self
    }

    /// Changes the time it may take, servers included.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Scenario {
        self.deadline = deadline;
        self
    }

    /// Runs on a single thread.
    #[must_use]
    pub fn single_threaded(mut self) -> Scenario {
        self.threads = 1;
        self
    }

    fn runtime(&self) -> Result<Runtime> {
        let mut builder =
            if self.threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
        builder.worker_threads(self.threads).enable_all().build().context("cannot make a runtime")
    }
}

/// What the scenarios of a run have in common.
#[derive(Default)]
struct Run {
    postgres: OnceCell<PostgresServer>,
    cockroach: Arc<AsyncMutex<()>>,
    mysql: OnceCell<MySqlServer>,
    mariadb: OnceCell<MySqlServer>,
    /// How many scenarios were skipped, by reason.
    skipped: Mutex<BTreeMap<String, usize>>,
}

impl Run {
    /// The shared server is started by the first scenario that needs it.
    async fn postgres_url(&self) -> Result<String> {
        if let Some(url) = setting("CDC_TEST_POSTGRES_URL") {
            return Ok(url);
        }
        let start = async || PostgresServer::start(&Settings::default()).await;
        let server = self.postgres.get_or_try_init(start).await.context("cannot start PostgreSQL")?;
        Ok(server.url("postgres"))
    }

    /// A new database on the shared server of a product, which is started as [`postgres_url`](Run::postgres_url) is.
    async fn source(&self, flavor: Flavor, name: &str) -> Result<SourceDatabase> {
        let cell = match flavor {
            Flavor::MySql => &self.mysql,
            Flavor::MariaDb => &self.mariadb,
        };
        let start = async || MySqlServer::start(flavor, &mysql::Settings::default()).await;
        let server = cell.get_or_try_init(start).await.with_context(|| format!("cannot start {flavor}"))?;
        server.create_database(name).await
    }

    /// Scenarios on CockroachDB share one staging area, so they take turns.
    async fn turn(&self, needs: &[Need]) -> Option<OwnedMutexGuard<()>> {
        if !needs.contains(&Need::Cockroach) {
            return None;
        }
        Some(Arc::clone(&self.cockroach).lock_owned().await)
    }

    async fn ctx(&self, scenario: &Scenario, folder: PathBuf) -> Result<Ctx> {
        let Scenario { name, needs, flavor, .. } = *scenario;
        let mut ctx = Ctx { name, folder, target: None, flavor, source: None };
        if needs.contains(&Need::Postgres) {
            let server = self.postgres_url().await?;
            ctx.target = Some(Database::create(&server, Product::Postgres, name).await?);
        }
        if needs.contains(&Need::Cockroach) {
            let server = setting("CDC_TEST_COCKROACH_URL").context("no cockroach")?;
            let database = Database::create(&server, Product::Cockroach, name).await?;
            // What the scenario before has left there.
            database.execute("DROP DATABASE IF EXISTS _cdc_sink CASCADE").await?;
            ctx.target = Some(database);
        }
        if needs.contains(&Need::Source) {
            // Called like the target's database, which is what replication of one database expects.
            ctx.source = Some(self.source(ctx.flavor(), name).await?);
        }
        Ok(ctx)
    }

    fn skip(&self, reason: &str) -> Completion {
        *self.skipped().entry(reason.to_owned()).or_default() += 1;
        Completion::ignored_with(format!("skipped: {reason}"))
    }

    fn skipped(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the scenarios the command line and the environment choose. A run in which none was
/// executed has failed: it proved nothing.
#[must_use]
pub fn run(scenarios: Vec<Scenario>) -> ExitCode {
    if setting("CDC_TEST_TELL_NEEDS").is_some() {
        println!("needs: {}", needs(&scenarios).join(","));
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let listing = arguments.list;
    let run = Arc::new(Run::default());
    let chosen = scenarios.into_iter().filter(|scenario| is_chosen(scenario.name));
    let trials = chosen.map(|scenario| trial(scenario, Arc::clone(&run))).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if listing {
        return ExitCode::SUCCESS;
    }
    let reasons: Vec<_> = run.skipped().iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    let (passed, failed) = (conclusion.num_passed, conclusion.num_failed);
    println!("scenarios: {passed} passed, {failed} failed, {} skipped{reasons}", conclusion.num_ignored);
    if passed + failed == 0 {
        println!("no scenario was run; that is a failure");
        return ExitCode::FAILURE;
    }
    if conclusion.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The servers that the chosen scenarios cannot do without, by name.
fn needs(scenarios: &[Scenario]) -> Vec<&'static str> {
    let chosen =
        scenarios.iter().filter(|scenario| is_chosen(scenario.name) && (is_long() || !scenario.long));
    let names: BTreeSet<_> =
        chosen.flat_map(|scenario| scenario.needs.iter().map(|need| need.name(scenario.flavor))).collect();
    names.into_iter().collect()
}

fn is_long() -> bool {
    setting("CDC_TEST_LONG").is_some_and(|value| value == "1")
}

fn is_chosen(name: &str) -> bool {
    setting("CDC_TEST_FILTER").is_none_or(|filter| filter.split(',').any(|part| name.contains(part)))
}

fn is_required(name: &str) -> bool {
    setting("CDC_TEST_REQUIRE").is_some_and(|names| names.split(',').any(|required| required.trim() == name))
}

fn trial(scenario: Scenario, run: Arc<Run>) -> Trial {
    Trial::ignorable_test(scenario.name, move || {
        if scenario.long && !is_long() {
            return Ok(run.skip("only with --long"));
        }
        let flavor = scenario.flavor;
        if let Some(need) = scenario.needs.iter().find(|need| !need.is_there(flavor)) {
            let absent = need.absent(flavor);
            if is_required(need.name(flavor)) {
                return Err(Failed::from(format!("{absent}, which this run requires")));
            }
            return Ok(run.skip(&absent));
        }
        execute(scenario, &run).map(|()| Completion::Completed).map_err(|error| format!("{error:#}").into())
    })
}

/// Runs one scenario in a folder that is kept if it fails.
fn execute(scenario: Scenario, run: &Run) -> Result<()> {
    let folder = scratch::folder(&format!("cdc-{}-", scenario.name.replace(['/', ' ', ':'], "-")))?;
    let runtime = scenario.runtime()?;
    let path = folder.path().to_owned();
    let Scenario { name, needs, deadline, ref body, .. } = scenario;
    // Waiting for the others is not part of the scenario's time.
    let turn = runtime.block_on(run.turn(needs));
    let watch = watchdog(name, deadline + GRACE);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let all = async {
            let ctx = run.ctx(&scenario, path).await?;
            body(ctx).await
        };
        let timed = runtime.block_on(async { tokio::time::timeout(deadline, all).await });
        timed.unwrap_or_else(|_| Err(anyhow!("not done within {deadline:?}")))
    }));
    runtime.shutdown_timeout(SHUTDOWN);
    drop((watch, turn));
    let failure = match outcome {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => format!("{error:#}"),
        Err(panic) => format!("panicked: {}", message(panic.as_ref())),
    };
    Err(anyhow!("{failure}\nits files are kept in {}", folder.keep().display()))
}

/// Ends the process if the returned handle is not dropped in time. Guards then stop the servers.
fn watchdog(name: &'static str, limit: Duration) -> std::sync::mpsc::Sender<()> {
    let (alive, gone) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if gone.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            println!("scenario {name} blocks its thread beyond {limit:?}; giving up the run");
            std::process::exit(1);
        }
    });
    alive
}

/// The text of a panic.
fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("with something that is not text")
}
