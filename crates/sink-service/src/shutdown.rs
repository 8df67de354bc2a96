//! Signals: when to stop, when to read files and tables again.
//!
//! What stopping means is decided by the parts that hold the token; this module only says when.

use std::io;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Exit code of a process ended by SIGINT, as shells report it.
const INTERRUPTED: i32 = 130;
/// Exit code of a process ended by SIGTERM, as shells report it.
const TERMINATED: i32 = 143;

/// How patiently to stop.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Shutdown")]
pub struct ShutdownArgs {
    /// Time for work in flight to finish after SIGTERM or SIGINT; a second signal exits at once.
    #[arg(
        long = "gracePeriod",
        alias = "grace-period",
        env = "CDC_GRACE_PERIOD",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = crate::duration::parse
    )]
    pub grace_period: Duration,
}

/// The process's signals. Keep it until the end of `main`: once dropped, the signals are ignored.
#[derive(Debug)]
pub struct Signals {
    shutdown: CancellationToken,
    generation: watch::Receiver<u64>,
    diagnoses: watch::Receiver<u64>,
    /// Aborts the listening task when dropped.
    _listener: JoinSet<()>,
}

impl Signals {
    /// Starts to listen. From here on SIGTERM, SIGINT, SIGHUP and SIGUSR1 no longer end the process by
    /// themselves. Needs a tokio runtime.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        let sources = Sources {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        };
        let shutdown = CancellationToken::new();
        let (reload, generation) = watch::channel(0);
        let (diagnose, diagnoses) = watch::channel(0);
        let mut listener = JoinSet::new();
        listener.spawn(sources.serve(shutdown.clone(), reload, diagnose));
        Ok(Self { shutdown, generation, diagnoses, _listener: listener })
    }

    /// Cancelled by the first SIGTERM or SIGINT. Cancelling it from inside, after a fatal error, has
    /// the same effect; the next signal then counts as the second.
    #[must_use]
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// A subscription to SIGHUP, for as many parts as like one.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        subscription(&self.generation)
    }

    /// A subscription to SIGUSR1, which asks for diagnostics in the log.
    #[must_use]
    pub fn diagnoses(&self) -> Reloads {
        subscription(&self.diagnoses)
    }
}

fn subscription(generation: &watch::Receiver<u64>) -> Reloads {
    let mut generation = generation.clone();
    generation.mark_unchanged();
    Reloads(generation)
}

/// One part's view of a signal that may come any number of times: SIGHUP or SIGUSR1.
#[derive(Debug, Clone)]
pub struct Reloads(watch::Receiver<u64>);

impl Reloads {
    /// Waits for the next signal since the previous call or, at first, since the subscription.
    /// Several which arrived meanwhile count as one. Cancelling the wait loses none.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody listens to signals any more, so none will come.
            std::future::pending::<()>().await;
        }
    }
}

struct Sources {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user: Signal,
}

impl Sources {
    async fn serve(
        mut self,
        shutdown: CancellationToken,
        reload: watch::Sender<u64>,
        diagnose: watch::Sender<u64>,
    ) {
        loop {
            let (name, exit_code) = tokio::select! {
                Some(()) = self.terminate.recv() => ("SIGTERM", TERMINATED),
                Some(()) = self.interrupt.recv() => ("SIGINT", INTERRUPTED),
                Some(()) = self.hang_up.recv() => {
                    tracing::info!("SIGHUP: reloading");
                    reload.send_modify(|generation| *generation += 1);
                    continue;
                }
                Some(()) = self.user.recv() => {
                    diagnose.send_modify(|generation| *generation += 1);
                    continue;
                }
                else => return,
            };
            if shutdown.is_cancelled() {
                tracing::warn!(signal = name, "second signal: exiting at once");
                std::process::exit(exit_code);
            }
            tracing::info!(signal = name, "stopping; a second signal exits at once");
            shutdown.cancel();
        }
    }
}

/// Waits until all tasks of a tracker have ended, for at most `grace`, and says whether they have.
/// The tracker is closed; tasks still running afterwards are the caller's to drop.
pub async fn drain(tasks: &TaskTracker, grace: Duration) -> bool {
    tasks.close();
    timeout(grace, tasks.wait()).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(signal: &str) {
        let me = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &me]).status().unwrap().success());
    }

    /// One test for all of them: signals go to the whole test process.
    #[tokio::test]
    async fn signals_reload_every_subscriber_and_stop_once() {
        let signals = Signals::listen().unwrap();
        let (mut first, mut second) = (signals.reloads(), signals.reloads());
        send("-HUP");
        first.next().await;
        second.next().await;
        let mut late = signals.reloads();
        assert!(timeout(Duration::from_millis(20), late.next()).await.is_err());
        assert!(!signals.shutdown().is_cancelled());
        send("-HUP");
        late.next().await;
        first.next().await;

        let mut diagnoses = signals.diagnoses();
        send("-USR1");
        diagnoses.next().await;
        assert!(timeout(Duration::from_millis(20), late.next()).await.is_err(), "SIGUSR1 reloads nothing");

        send("-TERM");
        signals.shutdown().cancelled().await;
    }

    /// Set in the process which [`a_second_signal_exits_at_once`] starts and stops.
    const CHILD: &str = "CDC_TEST_SIGNALLED_CHILD";

    #[test]
    fn a_second_signal_exits_at_once() {
        use std::io::{BufRead, BufReader};
        use std::process::{Command, Stdio};
        for (first, second, code) in [("-TERM", "-INT", INTERRUPTED), ("-INT", "-TERM", TERMINATED)] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "shutdown::tests::stops_only_when_told_twice", "--nocapture"])
                .env(CHILD, "1")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let pid = child.id().to_string();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            for (state, signal) in [("listening", first), ("stopping", second)] {
                assert!(lines.by_ref().any(|line| line.unwrap().ends_with(state)), "not {state}");
                assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
            }
            assert_eq!(child.wait().unwrap().code(), Some(code));
        }
    }

    /// Does nothing, except as the child process of the test above.
    #[tokio::test]
    async fn stops_only_when_told_twice() {
        if std::env::var_os(CHILD).is_some() {
            let signals = Signals::listen().unwrap();
            println!("listening");
            signals.shutdown().cancelled().await;
            println!("stopping");
            std::future::pending::<()>().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_tasks_but_not_for_ever() {
        let tasks = TaskTracker::new();
        tasks.spawn(tokio::time::sleep(Duration::from_secs(5)));
        assert!(!drain(&tasks, Duration::from_secs(1)).await);
        assert!(drain(&tasks, Duration::from_secs(5)).await);
    }
}
