//! A throw-away PostgreSQL cluster that tests may crash.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::child::{self, Ending, Owned, Signal};
use super::database::{Database, Product};
use super::{ports, scratch, setting, wait};

/// Also covers recovery after a crash on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// Attempts at a port that somebody else took between our look and the server's.
const PORT_ATTEMPTS: usize = 3;
/// Longest folder that leaves room for a socket's name within the kernel's limit of 107 bytes.
const SOCKET_FOLDER_LIMIT: usize = 85;
/// Part of the log that explains a failure.
const LOG_TAIL_LINES: usize = 20;

/// How a cluster differs from the usual one.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Off is faster and enough where only processes crash, never the machine.
    pub fsync: bool,
    /// Server settings by name; they win over the harness's own.
    pub extra: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { fsync: true, extra: Vec::new() }
    }
}

impl Settings {
    /// Adds a server setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Settings {
        self.extra.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// How a running server is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Ends sessions, then stops in good order.
    Fast,
    /// Stops without a checkpoint; the next start recovers.
    Immediate,
}

/// A cluster in a temporary folder, listening on 127.0.0.1 only. Dropping it stops the server and
/// removes the folder.
pub struct PostgresServer {
    // Declared before the folder, so that the server is gone when its files go.
    running: Option<Owned>,
    bin: PathBuf,
    port: u16,
    settings: Settings,
    folder: TempDir,
}

impl PostgresServer {
    /// The folder with `initdb` and `postgres`: `CDC_TEST_POSTGRES_BIN`, `PATH`, then the folders
    /// distributions use, newest version first.
    #[must_use]
    pub fn binaries() -> Option<PathBuf> {
        if let Some(bin) = setting("CDC_TEST_POSTGRES_BIN") {
            return Some(bin.into());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let entries = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut usual: Vec<_> = entries.map(|entry| entry.path()).collect();
        usual.sort_by_key(|folder| {
            std::cmp::Reverse(folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()))
        });
        let usual = usual.into_iter().map(|folder| folder.join("bin"));
        let mut all = std::env::split_paths(&path).chain(usual);
        all.find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
    }

    /// Creates a cluster and starts it.
    ///
    /// # Errors
    ///
    /// Fails if there is no server on this machine or it does not start.
    pub async fn start(settings: &Settings) -> Result<PostgresServer> {
        let bin = PostgresServer::binaries().context("no PostgreSQL server on this machine")?;
        let folder = scratch::server_folder("cdc-postgres-")?;
        let settings = settings.clone();
        let mut server = PostgresServer { running: None, bin, port: 0, settings, folder };
        server.create_cluster().await?;
        for attempt in 1..=PORT_ATTEMPTS {
            server.port = ports::free()?;
            match server.start_again().await {
                Err(error) if attempt < PORT_ATTEMPTS && error.to_string().contains("could not bind") => {}
                other => return other.map(|()| server),
            }
        }
        bail!("no port could be had")
    }

    async fn create_cluster(&self) -> Result<()> {
        let mut command = self.command("initdb")?;
        command.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]);
        // Losing the machine loses the test anyway.
        command.args(["--no-sync", "--no-instructions", "--pgdata"]).arg(self.data());
        let mut running = self.spawn(&mut command, Signal::Kill)?;
        let status = running.wait(START_DEADLINE).await.context("initdb")?;
        if !status.success() {
            bail!("initdb ended with {status}:\n{}", self.log_tail());
        }
        Ok(())
    }

    /// Starts a stopped or killed server at its old port.
    ///
    /// # Errors
    ///
    /// Fails if it runs already or does not accept connections in time.
    pub async fn start_again(&mut self) -> Result<()> {
        if self.running.is_some() {
            bail!("the server is already running");
        }
        let mut command = self.command("postgres")?;
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        for (name, value) in self.server_settings() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        self.running = Some(self.spawn(&mut command, Signal::Quit)?);
        self.wait_until_ready().await
    }

    /// Ready means that a connection succeeds; a pid file or an open port come earlier.
    async fn wait_until_ready(&mut self) -> Result<()> {
        let url = self.url("postgres");
        let running = self.running.as_mut().context("the server is stopped")?;
        let ready = wait::eventually(START_DEADLINE, "PostgreSQL to accept connections", async || {
            if let Ok(Some(status)) = running.exited() {
                return Ok(Some(status));
            }
            PgConnection::connect(&url).await?.ping().await.map(|()| None)
        });
        match ready.await {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.running = None;
                bail!("PostgreSQL ended with {status} instead of starting:\n{}", self.log_tail());
            }
            Err(error) => Err(error.context(format!("its log ends with:\n{}", self.log_tail()))),
        }
    }

    fn server_settings(&self) -> Vec<(String, String)> {
        let socket = self.folder.path().to_string_lossy().into_owned();
        let socket = if socket.len() > SOCKET_FOLDER_LIMIT { String::new() } else { socket };
        let on = |on: bool| if on { "on" } else { "off" };
        let own = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", socket.as_str()),
            ("fsync", on(self.settings.fsync)),
            ("shared_buffers", "128MB"),
            ("max_connections", "200"),
            // Compiling takes longer than the statements of a test, and not every build can.
            ("jit", "off"),
            ("log_line_prefix", "%m [%p] %d "),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        own.chain(self.settings.extra.iter().cloned()).collect()
    }

    /// Changes a server setting from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.extra.push((name.to_owned(), value.to_owned()));
    }

    /// Stops the server, unless it is stopped.
    ///
    /// # Errors
    ///
    /// Fails if it does not obey in time.
    pub async fn stop(&mut self, how: Shutdown) -> Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        running.signal(match how {
            Shutdown::Fast => Signal::Int,
            Shutdown::Immediate => Signal::Quit,
        })?;
        running.wait(STOP_DEADLINE).await.context("PostgreSQL did not stop")?;
        self.running = None;
        Ok(())
    }

    /// Stops the server and starts it at the same port.
    ///
    /// # Errors
    ///
    /// Fails if either does not happen in time.
    pub async fn restart(&mut self, how: Shutdown) -> Result<()> {
        self.stop(how).await?;
        self.start_again().await
    }

    /// Kills the server and all of its sessions at once, as when the machine's power goes.
    ///
    /// # Errors
    ///
    /// Fails if it is not running, or a session does not vanish.
    pub async fn kill9(&mut self) -> Result<()> {
        let mut running = self.running.take().context("the server is not running")?;
        let sessions = child::children_of(running.pid());
        running.signal(Signal::Kill)?;
        if !sessions.is_empty() {
            // They end by themselves when they notice; some may have done so already.
            let _ = child::send(Signal::Kill, &sessions);
        }
        running.wait(STOP_DEADLINE).await?;
        // The next start refuses while a session still holds the shared memory.
        let gone = async || match sessions.iter().filter(|session| child::is_running(**session)).count() {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        };
        wait::eventually(STOP_DEADLINE, "the killed server's sessions to vanish", gone).await
    }

    /// Sends a signal to the main process, for example [`Signal::Hup`] to reload.
    ///
    /// # Errors
    ///
    /// Fails if it is not running.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.running.as_mut().context("the server is not running")?.signal(signal)
    }

    /// Sends a signal to one of its sessions, by the number under which the server shows it.
    ///
    /// # Errors
    ///
    /// Fails if it is no session of this server.
    pub fn signal_session(&self, signal: Signal, session: u32) -> Result<()> {
        let server = self.running.as_ref().context("the server is not running")?.pid();
        if !child::children_of(server).contains(&session) {
            bail!("{session} is no session of this server");
        }
        child::send(signal, &[session])
    }

    /// Stops the server and starts it on a new timeline, as a promoted standby is that received everything. Slots stay.
    ///
    /// # Errors
    ///
    /// As [`PostgresServer::restart`].
    pub async fn fail_over(&mut self) -> Result<()> {
        self.stop(Shutdown::Fast).await?;
        // Recovery from an archive that holds nothing ends at the end of the log, and begins a timeline.
        std::fs::write(self.data().join("recovery.signal"), "").context("cannot ask for recovery")?;
        self.set("restore_command", "false");
        self.start_again().await?;
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        wait::eventually(START_DEADLINE, "the new timeline", async || -> Result<()> {
            let recovers: bool =
                sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut connection).await?;
            if recovers { bail!("still in recovery") } else { Ok(()) }
        })
        .await
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        ports::loopback(self.port)
    }

    /// Connection string of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Creates an empty database, replacing one of the same name.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached.
    pub async fn create_database(&self, name: &str) -> Result<Database> {
        Database::create(&self.url("postgres"), Product::Postgres, name).await
    }

    /// The server's log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("postgres.log")
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log(), LOG_TAIL_LINES)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of the server's programs, run as a user it accepts, away from our own folder and
    /// settings. What it says goes to the log.
    fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(self.bin.join(program));
        scratch::as_server_user(&mut command);
        let settings = std::env::vars_os().map(|(name, _)| name);
        for name in settings.filter(|name| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").env("TZ", "UTC").current_dir(self.folder.path());
        let log =
            OpenOptions::new().create(true).append(true).open(self.log()).context("cannot open the log")?;
        command.stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    fn spawn(&self, command: &mut Command, ending: Signal) -> Result<Owned> {
        let data = self.data();
        let marker = data.to_string_lossy();
        Owned::spawn(command, &Ending { signal: ending, marker: &marker, folder: Some(self.folder.path()) })
    }
}

/// The last lines of a file, for messages.
pub(super) fn tail(file: &Path, lines: usize) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned();
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
