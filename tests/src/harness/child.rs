//! A child process that never outlives the test.
//!
//! Dropping it ends it. If this process is killed instead, a small guard process notices that
//! their pipe closed and ends the child; unlike a death signal, that does not depend on which
//! thread started the child.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::wait;

/// How long a child may take to obey when it is dropped.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What can be sent to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Reload.
    Hup,
    /// Diagnostics to the log.
    Usr1,
    /// Stop; PostgreSQL: fast shutdown.
    Int,
    /// PostgreSQL: immediate shutdown.
    Quit,
    /// Stop in good order.
    Term,
    /// End at once, unseen by the process.
    Kill,
    /// Freeze.
    Stop,
    /// Thaw.
    Cont,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Hup => "HUP",
            Signal::Usr1 => "USR1",
            Signal::Int => "INT",
            Signal::Quit => "QUIT",
            Signal::Term => "TERM",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Cont => "CONT",
        }
    }
}

/// Sends a signal to processes; those already gone are no error unless all are.
pub(super) fn send(signal: Signal, processes: &[u32]) -> Result<()> {
    // The shell's own `kill` is always there; calling the system would need unsafe code.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "s=$1; shift; kill -\"$s\" \"$@\"", "kill", signal.name()]);
    command.args(processes.iter().map(u32::to_string)).stderr(Stdio::null());
    if !command.status().context("cannot run /bin/sh")?.success() {
        bail!("cannot send {} to {processes:?}", signal.name());
    }
    Ok(())
}

/// Processes whose parent is this one.
pub(super) fn children_of(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|child| stat(*child).is_some_and(|(_, its_parent)| its_parent == parent)).collect()
}

/// Whether a process runs; one that ended and was not yet collected does not.
pub(super) fn is_running(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// State and parent, the first two fields after the name; the name may contain anything.
fn stat(process: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// How a child is to be ended.
pub(super) struct Ending<'a> {
    /// The signal that makes it end soon and leave nothing running.
    pub(super) signal: Signal,
    /// Text of its command line, by which the guard makes sure it is still the same process.
    pub(super) marker: &'a str,
    /// A folder to remove should this process be killed.
    pub(super) folder: Option<&'a Path>,
}

/// A running or ended child.
pub(super) struct Owned {
    child: Child,
    ending: Signal,
    guard: Option<Guard>,
    status: Option<ExitStatus>,
}

impl Owned {
    /// Starts the command in a process group of its own: an interrupt at the terminal is for the
    /// test to handle.
    pub(super) fn spawn(command: &mut Command, ending: &Ending<'_>) -> Result<Owned> {
        Owned::spawn_reading(command, Stdio::null(), ending)
    }

    /// As [`Owned::spawn`], of a program that reads something.
    pub(super) fn spawn_reading(command: &mut Command, input: Stdio, ending: &Ending<'_>) -> Result<Owned> {
        let child = command.stdin(input).process_group(0).spawn();
        let child = child.with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let mut owned = Owned { child, ending: ending.signal, guard: None, status: None };
        owned.guard = Some(Guard::watch(owned.pid(), ending)?);
        Ok(owned)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, unless the process has ended: its number may be another's by now.
    pub(super) fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.exited()? {
            bail!("the process has already ended with {status}");
        }
        send(signal, &[self.pid()])
    }

    /// How it ended, if it did.
    pub(super) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait().context("cannot wait for a child")?;
            if self.status.is_some()
                && let Some(guard) = self.guard.take()
            {
                guard.dismiss();
            }
        }
        Ok(self.status)
    }

    /// Waits until it ends by itself.
    pub(super) async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("process {} to end", self.pid());
        let ended = async || self.exited().transpose().ok_or("it still runs");
        wait::eventually(deadline, &what, ended).await?
    }
}

impl Drop for Owned {
    /// A drop cannot await, so this looks at the clock itself.
    fn drop(&mut self) {
        if matches!(self.exited(), Ok(Some(_))) {
            return;
        }
        let running = [self.pid()];
        // A frozen process would not hear the other signal.
        let _ = send(Signal::Cont, &running);
        let _ = send(self.ending, &running);
        let begin = Instant::now();
        while matches!(self.exited(), Ok(None)) {
            if begin.elapsed() > LAST_WORDS {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Ends the child when our side of the pipe closes without a word.
struct Guard {
    process: Child,
    pipe: ChildStdin,
}

/// Arguments: process, signal, marker, folder.
const GUARD: &str = r#"
trap '' INT HUP TERM
if read -r word; then exit 0; fi
ours() { tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -- "$2"; }
if ours "$1" "$3"; then
  kill -CONT "$1"; kill -"$2" "$1"
  tries=0
  while ours "$1" "$3" && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
  if ours "$1" "$3"; then kill -KILL "$1"; fi
fi
if [ -n "$4" ]; then rm -rf -- "$4"; fi
"#;

impl Guard {
    fn watch(process: u32, ending: &Ending<'_>) -> Result<Guard> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD, "guard", &process.to_string(), ending.signal.name(), ending.marker]);
        command.arg(ending.folder.unwrap_or(Path::new("")));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut process = command.spawn().context("cannot run /bin/sh")?;
        let pipe = process.stdin.take().context("the guard has no input")?;
        Ok(Guard { process, pipe })
    }

    /// Sends it home: the child has ended and must not be looked for.
    fn dismiss(mut self) {
        let _ = self.pipe.write_all(b"done\n");
        drop(self.pipe);
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Owned {
        let ending = Ending { signal: Signal::Kill, marker: "sleep", folder: None };
        Owned::spawn(Command::new("sleep").arg("600"), &ending).unwrap()
    }

    #[test]
    fn dropping_ends_the_child_and_its_guard() {
        let child = sleeper();
        let (pid, guard) = (child.pid(), child.guard.as_ref().unwrap().process.id());
        assert!(is_running(pid) && children_of(std::process::id()).contains(&pid));
        drop(child);
        assert!(!is_running(pid) && !is_running(guard));
    }

    #[test]
    fn a_frozen_child_is_ended_too() {
        let mut child = sleeper();
        let pid = child.pid();
        child.signal(Signal::Stop).unwrap();
        drop(child);
        assert!(!is_running(pid));
    }

    #[tokio::test]
    async fn the_guard_ends_a_child_whose_owner_vanished() {
        let mut child = sleeper();
        // What the kernel does to the pipe of a killed process.
        let Guard { mut process, pipe } = child.guard.take().unwrap();
        drop(pipe);
        child.wait(Duration::from_secs(10)).await.unwrap();
        assert!(process.wait().unwrap().success());
    }
}
