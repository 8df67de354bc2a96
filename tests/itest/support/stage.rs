//! What a scenario begins with: a seed, a workload, its tables, and the service to start on them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sink_core::model::HlcTimestamp;
use sink_testkit::feed::{Config, Faults};
use sink_testkit::{Feed, Workload, WorkloadConfig};
use tests::harness::database::Database;
use tests::harness::http::Client;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::Ctx;
use tests::harness::wait;

use super::driver::post;
use super::target::SCHEMA;
use super::{Driver, Routes, Target};

/// Repeats a run: set it to the number a failure printed.
const SEED: &str = "CDC_TEST_SEED";
/// Row versions of one transaction of the workload, about.
const VERSIONS_PER_TRANSACTION: usize = 6;

/// A seeded workload and the target it goes to.
pub(crate) struct Stage {
    /// Determines workload and feed.
    pub(crate) seed: u64,
    /// The history of the source.
    pub(crate) workload: Workload,
    /// Where it ends up.
    pub(crate) target: Target,
    folder: PathBuf,
}

/// Runs a scenario with a seed, and names the seed if it fails.
pub(crate) async fn seeded<F: Future<Output = Result<()>>>(
    ctx: Ctx,
    body: impl FnOnce(Ctx, u64) -> F,
) -> Result<()> {
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().with_context(|| format!("{SEED} is not a number"))?,
        Err(_) => rand::random::<u64>() >> 32,
    };
    let _named = Named(seed);
    body(ctx, seed).await.with_context(|| Named(seed).to_string())
}

struct Named(u64);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {0} (again with {SEED}={0})", self.0)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{self}");
        }
    }
}

/// A workload of about so many row versions.
pub(crate) fn with_versions(versions: usize) -> WorkloadConfig {
    WorkloadConfig {
        initial_rows: (versions / 20).clamp(100, 5_000),
        transactions: versions / VERSIONS_PER_TRANSACTION,
        ..WorkloadConfig::default()
    }
}

impl Stage {
    /// Makes a workload and its tables in the database.
    pub(crate) async fn set(
        ctx: &Ctx,
        database: &Database,
        seed: u64,
        config: &WorkloadConfig,
    ) -> Result<Stage> {
        let workload = Workload::generate(seed, config);
        let target = Target::create(database, &workload).await?;
        Ok(Stage { seed, workload, target, folder: ctx.folder().to_owned() })
    }

    /// Path to which a feed posts.
    pub(crate) fn path(&self) -> String {
        format!("/{}/{SCHEMA}", self.target.database().name())
    }

    /// The service on this target, not yet started.
    pub(crate) fn service(&self, name: &str) -> Service {
        self.service_through(name, self.target.database().url())
    }

    /// The service, by another way to the target.
    pub(crate) fn service_through(&self, name: &str, url: &str) -> Service {
        let args = ["start", "--disableAuthentication", "--stagingCreateSchema", "--conn", url];
        Service::new("cdc-webhook").named(name).args(args)
    }

    /// Starts the service and waits until it is ready.
    pub(crate) async fn start(&self, service: Service) -> Result<ServiceProcess> {
        ServiceProcess::start(service, &self.folder).await
    }

    /// A feed with faults, to these processes.
    pub(crate) fn driver(&self, processes: &[&ServiceProcess], config: Config) -> Driver {
        self.driver_to(processes, config, &self.path())
    }

    /// As [`Stage::driver`], to another path.
    pub(crate) fn driver_to(&self, processes: &[&ServiceProcess], config: Config, path: &str) -> Driver {
        let routes = Arc::new(Routes::new(processes.iter().map(|process| process.address())));
        Driver::new(self.seed, Feed::new(self.seed, config, &self.workload), routes, path)
    }

    /// Waits until everything is applied and compares the whole target with the source.
    pub(crate) async fn expect_end(&self, deadline: Duration) -> Result<()> {
        let end = self.workload.source().last_commit();
        self.target.wait_applied(end, deadline).await?;
        self.target.expect_at(end).await
    }

    /// Delivers everything once more, from the scan on, and sees that nothing at all changes in the target.
    pub(crate) async fn expect_replay_changes_nothing(&self, processes: &[&ServiceProcess]) -> Result<()> {
        let before = self.target.fingerprint().await?;
        let config = Config {
            faults: Faults::NONE,
            flush_messages: 100,
            commits_per_step: 5..=15,
            resolved_every: 200,
            self_check: false,
            ..Config::default()
        };
        let replayed = self.driver(processes, config).run(Duration::from_secs(120)).await?;
        self.expect_end(Duration::from_secs(30)).await?;
        self.mark_the_end(processes.first().context("no process")?).await?;
        let after = self.target.fingerprint().await?;
        ensure!(before == after, "a replay of {} rows changed the target: {before} {after}", replayed.rows);
        Ok(())
    }

    /// Sends a mark beyond everything, as a feed does all the time, and waits until it is applied.
    pub(crate) async fn mark_the_end(&self, process: &ServiceProcess) -> Result<()> {
        let mut connection = self.target.connect().await?;
        let applied = self.target.frontier(&mut connection).await?.applied;
        let next = applied.max(self.workload.source().last_commit());
        let next = HlcTimestamp::new(next.nanos() + 1_000_000_000, 0).context("the end of time")?;
        let mut client = Client::connect(process.address()).await?;
        post(&mut client, &self.path(), format!("{{\"resolved\":\"{next}\"}}")).await?;
        self.target.wait_applied(next, Duration::from_secs(30)).await
    }

    /// Waits until the first rows of every table were staged, so that its staging table can be named.
    pub(crate) async fn wait_for_tables(&self) -> Result<()> {
        let all = async || -> Result<()> {
            for table in self.workload.source().tables() {
                self.target.staging_table(table.name).await?;
            }
            Ok(())
        };
        wait::eventually(Duration::from_secs(30), "rows of every table", all).await
    }

    /// Waits until the frontier has moved so many times after `from`.
    pub(crate) async fn wait_for_marks(&self, from: HlcTimestamp, count: usize) -> Result<()> {
        let (mut last, mut seen) = (from, 0);
        let moved = async || -> Result<()> {
            let applied = self.target.applied().await?;
            seen += usize::from(applied > last);
            last = last.max(applied);
            ensure!(seen >= count, "{seen} times, the last to {last}");
            Ok(())
        };
        wait::eventually(Duration::from_secs(60), "the frontier to move", moved).await
    }

    /// The sum of a metric of a process over all of its labels.
    pub(crate) async fn metric(&self, process: &ServiceProcess, name: &str) -> Result<f64> {
        let mut client = Client::connect(process.address()).await?;
        let (_, text) = client.get("/_/varz").await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let of = |line: &str| {
            let (label, value) = line.rsplit_once(' ')?;
            (label.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
        };
        // Not `sum`: of nothing that is -0, which prints its sign.
        Ok(text.lines().filter_map(of).fold(0.0, |sum, value| sum + value))
    }
}

/// Fails if a process logged a warning or an error that was not announced.
pub(crate) fn expect_quiet(processes: &[&ServiceProcess], announced: &[&str]) -> Result<()> {
    for process in processes {
        let odd = process.unexpected_lines(announced)?;
        ensure!(
            odd.is_empty(),
            "{}: unexpected lines, {} in all: {:#?}",
            process.log().display(),
            odd.len(),
            &odd[..odd.len().min(5)]
        );
    }
    Ok(())
}
