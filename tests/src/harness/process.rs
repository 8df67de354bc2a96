//! One of our own binaries as a process that tests may freeze and kill.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::StatusCode;

use super::child::{Ending, Owned, Signal};
use super::http::Client;
use super::postgres::tail;
use super::{ports, setting, wait};

/// Answered with 200 once the service takes requests.
pub const READY_PATH: &str = "/_/readyz";

const READY_DEADLINE: Duration = Duration::from_secs(30);
const KILL_DEADLINE: Duration = Duration::from_secs(10);
const LOG_TAIL_LINES: usize = 30;
/// Linux reports processor time to programs in hundredths of a second on every platform.
const TICKS_PER_SECOND: f64 = 100.0;

/// What to start.
#[derive(Debug, Clone)]
pub struct Service {
    binary: String,
    name: String,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    bind_flag: String,
    ready_path: String,
    ready_within: Duration,
}

impl Service {
    /// A binary of this workspace by name.
    #[must_use]
    pub fn new(binary: &str) -> Service {
        Service {
            binary: binary.to_owned(),
            name: binary.to_owned(),
            args: Vec::new(),
            environment: Vec::new(),
            bind_flag: "--bindAddr".to_owned(),
            ready_path: READY_PATH.to_owned(),
            ready_within: READY_DEADLINE,
        }
    }

    /// A name of its own, where several of a kind run; the log file is called so.
    #[must_use]
    pub fn named(mut self, name: &str) -> Service {
        name.clone_into(&mut self.name);
        self
    }

    /// Adds arguments. The address to listen on is added by the harness.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Service {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Gives an argument that is there already another value.
    ///
    /// # Panics
    ///
    /// If it is not there.
    #[must_use]
    pub fn replace_flag(mut self, flag: &str, value: &str) -> Service {
        let at = self.args.iter().position(|arg| arg == flag).expect("the flag is given");
        value.clone_into(&mut self.args[at + 1]);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Service {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The flag that takes the address to listen on, instead of `--bindAddr`.
    #[must_use]
    pub fn bind_flag(mut self, flag: &str) -> Service {
        flag.clone_into(&mut self.bind_flag);
        self
    }

    /// Path whose answer 200 means ready, instead of [`READY_PATH`].
    #[must_use]
    pub fn ready_path(mut self, path: &str) -> Service {
        path.clone_into(&mut self.ready_path);
        self
    }

    /// How long it may take to become ready.
    #[must_use]
    pub fn ready_within(mut self, deadline: Duration) -> Service {
        self.ready_within = deadline;
        self
    }

    /// Where the binary is: `CDC_TEST_BIN_DIR`, else where cargo put the running test's own.
    ///
    /// # Errors
    ///
    /// Fails, saying what to do, if it is not there.
    pub fn path(&self) -> Result<PathBuf> {
        let folders = match setting("CDC_TEST_BIN_DIR") {
            Some(folder) => vec![PathBuf::from(folder)],
            // `target/<profile>/deps/itest-…` or `target/<profile>/demo`.
            None => std::env::current_exe()?.ancestors().skip(1).take(2).map(Path::to_owned).collect(),
        };
        let found = folders.iter().map(|folder| folder.join(&self.binary)).find(|file| file.is_file());
        found.with_context(|| {
            format!("{} is not built in {folders:?}; run through cargo xtask, or build it", self.binary)
        })
    }
}

/// A process started from a [`Service`]. Dropping it kills it.
pub struct ServiceProcess {
    running: Option<Owned>,
    service: Service,
    path: PathBuf,
    port: u16,
    log: PathBuf,
}

impl ServiceProcess {
    /// Starts the service on a free port and waits until it is ready. Its log goes into `folder`.
    ///
    /// # Errors
    ///
    /// Fails with the end of the log if it exits or is not ready in time.
    pub async fn start(service: Service, folder: &Path) -> Result<ServiceProcess> {
        let mut process = ServiceProcess::spawn(service, folder)?;
        process.wait_until_ready().await?;
        Ok(process)
    }

    /// Starts the service without waiting, for one that is expected to wait or to fail.
    ///
    /// # Errors
    ///
    /// Fails if the binary is not there.
    pub fn spawn(service: Service, folder: &Path) -> Result<ServiceProcess> {
        let (path, port) = (service.path()?, ports::free()?);
        let log = folder.join(format!("{}.log", service.name));
        let mut process = ServiceProcess { running: None, service, path, port, log };
        process.launch()?;
        Ok(process)
    }

    /// Starts a service that ended or was killed again, at the same port with the same arguments,
    /// and waits until it is ready.
    ///
    /// # Errors
    ///
    /// As [`ServiceProcess::start`].
    pub async fn start_again(&mut self) -> Result<()> {
        if self.exited()?.is_none() {
            bail!("{} is still running", self.service.name);
        }
        self.launch()?;
        self.wait_until_ready().await
    }

    /// Changes the arguments of the next start.
    pub fn change(&mut self, change: impl FnOnce(Service) -> Service) {
        self.service = change(self.service.clone());
    }

    fn launch(&mut self) -> Result<()> {
        let log =
            OpenOptions::new().create(true).append(true).open(&self.log).context("cannot open the log")?;
        let address = self.address().to_string();
        let mut command = Command::new(&self.path);
        command.args(&self.service.args).arg(&self.service.bind_flag).arg(&address);
        command.envs(self.service.environment.iter().map(|(name, value)| (name, value)));
        // Colours would get in the way of reading the log.
        command.env("NO_COLOR", "1").stdout(log.try_clone()?).stderr(log);
        let ending = Ending { signal: Signal::Kill, marker: &address, folder: None };
        self.running = Some(Owned::spawn(&mut command, &ending)?);
        Ok(())
    }

    /// Waits until the ready path is answered with 200.
    ///
    /// # Errors
    ///
    /// Fails with the end of the log if the process ends first or takes too long.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let (address, path) = (self.address(), self.service.ready_path.clone());
        let what = format!("{} to be ready", self.service.name);
        let running = self.running.as_mut().context("the process was never started")?;
        let ready = wait::eventually(self.service.ready_within, &what, async || {
            if let Ok(Some(status)) = running.exited() {
                return Ok(Some(status));
            }
            match Client::connect(address).await?.get(&path).await? {
                (StatusCode::OK, _) => Ok(None),
                (status, body) => bail!("{status} {}", String::from_utf8_lossy(&body).trim()),
            }
        });
        let said = match ready.await {
            Ok(None) => return Ok(()),
            Ok(Some(status)) => format!("{} ended with {status} before it was ready", self.service.name),
            Err(error) => format!("{error:#}"),
        };
        bail!("{said}; its log ends with:\n{}", self.log_tail())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ports::loopback(self.port)
    }

    /// Its process id; a new one after every start.
    ///
    /// # Errors
    ///
    /// Fails if it has ended.
    pub fn pid(&mut self) -> Result<u32> {
        if let Some(status) = self.exited()? {
            bail!("{} has ended with {status}", self.service.name);
        }
        Ok(self.owned()?.pid())
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    ///
    /// Fails if the system does not tell.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.owned()?.exited()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// Fails at the deadline.
    pub async fn wait_for_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.owned()?.wait(deadline).await
    }

    /// Asks it to stop (SIGTERM) and waits; returns the exit code, or `None` if a signal ended it.
    ///
    /// # Errors
    ///
    /// Fails if it does not end in time.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<Option<i32>> {
        self.signal(Signal::Term)?;
        Ok(self.wait_for_exit(deadline).await?.code())
    }

    /// Ends it at once, without a chance to react, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Fails if it has already ended.
    pub async fn kill9(&mut self) -> Result<()> {
        self.signal(Signal::Kill)?;
        self.wait_for_exit(KILL_DEADLINE).await.map(|_| ())
    }

    /// Freezes it: connections stay open and nothing is answered.
    ///
    /// # Errors
    ///
    /// Fails if it has ended.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::Stop)
    }

    /// Lets it go on after [`ServiceProcess::freeze`].
    ///
    /// # Errors
    ///
    /// Fails if it has ended.
    pub fn thaw(&mut self) -> Result<()> {
        self.signal(Signal::Cont)
    }

    /// Sends any signal.
    ///
    /// # Errors
    ///
    /// Fails if it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.owned()?.signal(signal)
    }

    /// Memory it holds at the moment.
    ///
    /// # Errors
    ///
    /// Fails if it has ended.
    pub fn rss_bytes(&mut self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        resident(&status).context("the system does not tell the process's memory")
    }

    /// Processor time it has used since its start, all threads together.
    ///
    /// # Errors
    ///
    /// Fails if it has ended.
    pub fn cpu_seconds(&mut self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        processor(&stat).context("the system does not tell the process's time")
    }

    /// File that holds everything it printed, over all starts.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log, LOG_TAIL_LINES)
    }

    /// Warnings and errors in the log that contain none of the texts a scenario announces.
    ///
    /// # Errors
    ///
    /// Fails if the log cannot be read.
    pub fn unexpected_lines(&self, announced: &[&str]) -> Result<Vec<String>> {
        let text = std::fs::read(&self.log).context("cannot read the log")?;
        let text = String::from_utf8_lossy(&text);
        let odd = text.lines().filter(|line| is_odd(line));
        let odd = odd.filter(|line| !announced.iter().any(|known| line.contains(known)));
        Ok(odd.map(str::to_owned).collect())
    }

    fn owned(&mut self) -> Result<&mut Owned> {
        self.running.as_mut().context("the process was never started")
    }
}

/// Whether a log line, as text or JSON, is a warning, an error or a panic.
fn is_odd(line: &str) -> bool {
    let level = |level: &str| {
        line.split_whitespace().take(3).any(|word| word == level)
            // Our own text format: `WARN[Nov 20 11:42:19] …`.
            || line.strip_prefix(level).is_some_and(|rest| rest.starts_with('['))
            || line.contains(&format!("\"level\":\"{level}\""))
    };
    level("WARN") || level("ERROR") || (line.starts_with("thread '") && line.contains("panicked at"))
}

/// Reads `VmRSS:     1234 kB`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Adds user and system time: the twelfth and thirteenth field after the name.
fn processor(stat: &str) -> Option<f64> {
    let fields: Vec<_> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path instead of a name is taken as it is.
    fn script(text: &str) -> Service {
        Service::new("/bin/sh").named("script").args(["-c", text])
    }

    async fn wait_for_line(process: &ServiceProcess, line: &str) {
        let there = async || process.log_tail().contains(line).then_some(());
        wait::eventually(Duration::from_secs(10), line, there).await.unwrap();
    }

    #[tokio::test]
    async fn a_service_that_ends_early_is_reported_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let service = script("echo 'ERROR no target'; exit 3");
        let error = ServiceProcess::start(service, folder.path()).await.err().unwrap().to_string();
        assert!(error.contains("exit status: 3") && error.contains("no target"), "{error}");
    }

    #[tokio::test]
    async fn a_service_is_frozen_thawed_stopped_and_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let service = script("trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done");
        let mut process = ServiceProcess::spawn(service, folder.path()).unwrap();
        wait_for_line(&process, "up").await;
        assert!(process.rss_bytes().unwrap() > 0 && process.cpu_seconds().unwrap() < 10.0);
        process.freeze().unwrap();
        process.signal(Signal::Term).unwrap();
        let early = process.wait_for_exit(Duration::from_millis(200)).await;
        assert!(early.is_err(), "a frozen process hears nothing");
        process.thaw().unwrap();
        assert_eq!(process.wait_for_exit(Duration::from_secs(10)).await.unwrap().code(), Some(7));
        assert!(process.pid().is_err());

        process.change(|service| service.ready_within(Duration::from_millis(100)));
        assert!(process.start_again().await.is_err(), "it never listens");
        process.kill9().await.unwrap();
        assert_eq!(process.exited().unwrap().unwrap().code(), None);
        assert_eq!(process.unexpected_lines(&[]).unwrap(), [""; 0]);
    }

    #[test]
    fn a_process_can_be_measured() {
        let own = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
        assert!(resident(&own("status")).unwrap() > 100_000);
        assert!(processor(&own("stat")).unwrap() < 1_000.0);
        let stat = "7 (a) b) S 1 7 7 0 -1 0 9 9 9 9 150 50 0 0 20 0";
        assert_eq!(processor(stat), Some(2.0));
    }

    #[test]
    fn warnings_and_errors_are_told_from_the_rest() {
        assert!(is_odd("2026-01-01T00:00:00Z  WARN sink: slow"));
        assert!(is_odd(r#"{"timestamp":"x","level":"ERROR","message":"m"}"#));
        assert!(is_odd("thread 'main' (7) panicked at src/main.rs:1:1:"));
        assert!(is_odd("ERROR[Nov 20 11:24:38] the target refuses the rows"));
        assert!(!is_odd("INFO[Nov 20 11:24:38] back after an ERROR"));
        assert!(!is_odd("2026-01-01T00:00:00Z  INFO sink: no ERROR here"));
    }
}
