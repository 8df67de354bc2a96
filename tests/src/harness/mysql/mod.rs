//! A throw-away MySQL or MariaDB server that tests may crash.

pub mod canonical;
mod data;
mod database;
mod flavor;

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

pub use database::SourceDatabase;
pub use flavor::Flavor;

use super::child::{Ending, Owned, Signal};
use super::postgres::tail;
use super::{ports, scratch, wait};

/// Also covers recovery after a crash on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(90);
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// Attempts at a port that somebody else took between our look and the server's.
const PORT_ATTEMPTS: usize = 3;
/// Part of the log that explains a failure.
const LOG_TAIL_LINES: usize = 20;

/// Every server of this process has another identity, so that positions of two are never mistaken.
static NEXT_SERVER_ID: AtomicU32 = AtomicU32::new(1);

/// How a server differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Arguments of the server's program; they win over the harness's own.
    extra: Vec<String>,
}

impl Settings {
    /// Adds an argument, such as `--binlog-row-image=MINIMAL`.
    #[must_use]
    pub fn with(mut self, argument: &str) -> Settings {
        self.extra.push(argument.to_owned());
        self
    }
}

/// A server in a temporary folder, listening on 127.0.0.1 only, whose binary log is set up as the documentation has
/// it. Its account `root` has no password. Dropping it stops the server and removes the folder.
pub struct MySqlServer {
    // Declared before the folder, so that the server is gone when its files go.
    running: Option<Owned>,
    flavor: Flavor,
    base: PathBuf,
    port: u16,
    server_id: u32,
    settings: Settings,
    folder: TempDir,
}

impl MySqlServer {
    /// Makes a server and starts it.
    ///
    /// # Errors
    ///
    /// Fails if there is no such server on this machine or it does not start.
    pub async fn start(flavor: Flavor, settings: &Settings) -> Result<MySqlServer> {
        let mut server = MySqlServer::create(flavor, settings).await?;
        for attempt in 1..=PORT_ATTEMPTS {
            server.port = ports::free()?;
            match server.start_again().await {
                Err(error) if attempt < PORT_ATTEMPTS && format!("{error:#}").contains("already in use") => {}
                other => return other.map(|()| server),
            }
        }
        bail!("no port could be had")
    }

    async fn create(flavor: Flavor, settings: &Settings) -> Result<MySqlServer> {
        let base = flavor.base().with_context(|| format!("no {flavor} server on this machine"))?;
        let folder = scratch::socket_folder(&format!("cdc-{}-", flavor.word()))?;
        data::copy(flavor, &base, &folder.path().join("data")).await?;
        let server_id = NEXT_SERVER_ID.fetch_add(1, Ordering::Relaxed);
        let settings = settings.clone();
        Ok(MySqlServer { running: None, flavor, base, port: 0, server_id, settings, folder })
    }

    /// Starts a stopped or killed server at its old port with its old data.
    ///
    /// # Errors
    ///
    /// Fails if it runs already or does not accept connections in time.
    pub async fn start_again(&mut self) -> Result<()> {
        if self.running.is_some() {
            bail!("the server is already running");
        }
        // MySQL takes them for signs of a running server.
        for stale in ["s", "s.lock", "pid"] {
            let _ = std::fs::remove_file(self.folder.path().join(stale));
        }
        let mut command = self.command()?;
        let data = self.data();
        let marker = data.to_string_lossy();
        let ending = Ending { signal: Signal::Kill, marker: &marker, folder: Some(self.folder.path()) };
        self.running = Some(Owned::spawn(&mut command, &ending)?);
        self.wait_until_ready().await
    }

    /// Ready means that a connection succeeds; a pid file and a socket come earlier.
    async fn wait_until_ready(&mut self) -> Result<()> {
        let database = self.database("");
        let what = format!("{} to accept connections", self.flavor);
        let running = self.running.as_mut().context("the server is stopped")?;
        let ready = wait::eventually(START_DEADLINE, &what, async || {
            if let Ok(Some(status)) = running.exited() {
                return Ok(Some(status));
            }
            database.execute("SELECT 1").await.map(|()| None)
        });
        match ready.await {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.running = None;
                bail!("{} ended with {status} instead of starting:\n{}", self.flavor, self.log_tail());
            }
            Err(error) => Err(error.context(format!("its log ends with:\n{}", self.log_tail()))),
        }
    }

    /// The server's program with all of its arguments. What it says goes to the log.
    fn command(&self) -> Result<Command> {
        let mut command = data::program(self.flavor, &self.base, &self.data())?;
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        command.args([
            format!("--port={}", self.port),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--socket={}", file("s")),
            "--max-connections=200".to_owned(),
            "--innodb-buffer-pool-size=64M".to_owned(),
            // Enough where only processes crash, never the machine.
            "--innodb-flush-log-at-trx-commit=2".to_owned(),
            "--sync-binlog=0".to_owned(),
        ]);
        match self.flavor {
            Flavor::MySql => command.args([
                "--mysqlx=OFF".to_owned(),
                format!("--pid-file={}", file("pid")),
                format!("--log-error={}", file("server.log")),
                format!("--server-id={}", self.server_id),
                "--log-bin=binlog".to_owned(),
                "--gtid-mode=on".to_owned(),
                "--enforce-gtid-consistency=on".to_owned(),
                "--binlog-row-metadata=full".to_owned(),
            ]),
            // In this order: seen on 11.8, a base name that comes later renames the error log.
            Flavor::MariaDb => command.args([
                "--log-basename=master1".to_owned(),
                format!("--pid-file={}", file("pid")),
                format!("--log-error={}", file("server.log")),
                format!("--server-id={}", self.server_id),
                "--log-bin=master1-bin".to_owned(),
                "--binlog-format=row".to_owned(),
                "--binlog-row-metadata=full".to_owned(),
            ]),
        };
        command.args(&self.settings.extra).current_dir(self.folder.path());
        let log =
            OpenOptions::new().create(true).append(true).open(self.log()).context("cannot open the log")?;
        command.stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    /// Adds an argument from the next start on.
    pub fn set(&mut self, argument: &str) {
        self.settings.extra.push(argument.to_owned());
    }

    /// Stops the server in good order, unless it is stopped.
    ///
    /// # Errors
    ///
    /// Fails if it does not obey in time.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        running.signal(Signal::Term)?;
        running.wait(STOP_DEADLINE).await.with_context(|| format!("{} did not stop", self.flavor))?;
        self.running = None;
        Ok(())
    }

    /// Stops the server and starts it at the same port.
    ///
    /// # Errors
    ///
    /// Fails if either does not happen in time.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    /// Kills the server at once, and all of its sessions with it.
    ///
    /// # Errors
    ///
    /// Fails if it is not running.
    pub async fn kill9(&mut self) -> Result<()> {
        let mut running = self.running.take().context("the server is not running")?;
        running.signal(Signal::Kill)?;
        running.wait(STOP_DEADLINE).await.map(|_| ())
    }

    /// Freezes it: connections stay open and nothing is answered.
    ///
    /// # Errors
    ///
    /// Fails if it is not running.
    pub fn freeze(&mut self) -> Result<()> {
        self.running.as_mut().context("the server is not running")?.signal(Signal::Stop)
    }

    /// Lets it go on after [`MySqlServer::freeze`].
    ///
    /// # Errors
    ///
    /// Fails if it is not running.
    pub fn thaw(&mut self) -> Result<()> {
        self.running.as_mut().context("the server is not running")?.signal(Signal::Cont)
    }

    /// Which product it is.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// What it calls itself in its log.
    #[must_use]
    pub fn server_id(&self) -> u32 {
        self.server_id
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ports::loopback(self.port)
    }

    /// Connection string of a database; of none if the name is empty.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// A database that is there, or none if the name is empty.
    #[must_use]
    pub fn database(&self, name: &str) -> SourceDatabase {
        SourceDatabase::new(self.flavor, self.url(""), name)
    }

    /// Creates an empty database, replacing one of the same name.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached.
    pub async fn create_database(&self, name: &str) -> Result<SourceDatabase> {
        SourceDatabase::create(self.flavor, self.url(""), name).await
    }

    /// The server's position in its log, as text: everything that was committed by now.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached.
    pub async fn position(&self) -> Result<String> {
        self.database("").position().await
    }

    /// One of the product's programs, such as `mysqldump`; MySQL's names mean MariaDB's there.
    ///
    /// # Errors
    ///
    /// Fails if it is not there.
    pub fn client(&self, program: &str) -> Result<Command> {
        self.flavor.client(&self.base, program)
    }

    /// The server's log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log(), LOG_TAIL_LINES)
    }

    /// The data directory, in which the files of the binary log are.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its process id; a new one after every start.
    ///
    /// # Errors
    ///
    /// Fails if it is not running.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.running.as_ref().context("the server is not running")?.pid())
    }
}

/// A name as the servers read it whatever it holds.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The folder under a base that the server's messages and character sets are in.
fn share(base: &Path) -> Result<PathBuf> {
    let mut places = ["share/mysql", "share/mariadb", "share"].into_iter().map(|place| base.join(place));
    let found = places.find(|place| place.join("english").is_dir());
    found.with_context(|| format!("{} holds no messages", base.display()))
}
