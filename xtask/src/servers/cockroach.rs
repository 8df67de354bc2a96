//! One CockroachDB node for a run: somebody else's by address, or a throw-away one of our own.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cargo;

/// A node that is slower than this to accept SQL is taken for broken.
const START_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// Runs the node as its child and ends it when its own input ends, which also happens when xtask is
/// killed. First argument: the folder to remove; the rest: the command.
const KEEPER: &str = r#"
trap '' INT HUP TERM
folder=$1; shift
"$@" </dev/null >"$folder/log" 2>&1 &
pid=$!
cat >/dev/null
kill -9 $pid; wait $pid
rm -rf -- "$folder"
"#;

/// Where CockroachDB accepts SQL.
pub(super) struct Cockroach {
    url: String,
    keeper: Option<Child>,
}

impl Cockroach {
    /// The node of `CDC_TEST_COCKROACH_URL`, else one started from the binary on `PATH`.
    pub(super) fn get() -> Result<Cockroach> {
        if let Ok(url) = std::env::var("CDC_TEST_COCKROACH_URL") {
            return Ok(Cockroach { url, keeper: None });
        }
        let Some(binary) = cargo::which("cockroach") else {
            bail!("no cockroach on PATH and no CDC_TEST_COCKROACH_URL");
        };
        start(&binary).context("cannot start cockroach")
    }

    /// Connection string of the default database.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How we came by it, for people.
    pub(super) fn origin(&self) -> &'static str {
        if self.keeper.is_some() { "started from PATH" } else { "from the environment" }
    }
}

impl Drop for Cockroach {
    fn drop(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            drop(keeper.stdin.take());
            // Nothing is left to do about a keeper that cannot be waited for.
            let _ = keeper.wait();
        }
    }
}

fn start(binary: &Path) -> Result<Cockroach> {
    let folder = temporary_folder()?;
    let (sql, http) = (free_port()?, free_port()?);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", KEEPER, "keeper"]).arg(&folder).arg(binary);
    command.args(["start-single-node", "--insecure", "--cache=128MiB", "--max-sql-memory=256MiB"]);
    command.arg(format!("--listen-addr=127.0.0.1:{sql}"));
    command.arg(format!("--http-addr=127.0.0.1:{http}"));
    command.arg(format!("--store={}", folder.join("data").display()));
    // In a group of its own, what kills ours leaves the keeper to clean up.
    let keeper = command.stdin(Stdio::piped()).process_group(0).spawn().context("cannot run /bin/sh")?;
    let url = format!("postgresql://root@127.0.0.1:{sql}/defaultdb?sslmode=disable");
    // From here on dropping it ends the node.
    let cockroach = Cockroach { url, keeper: Some(keeper) };

    let begin = Instant::now();
    loop {
        let mut ask = Command::new(binary);
        ask.args(["sql", "--url", &cockroach.url, "--execute", "SELECT 1"]);
        match cargo::output(&mut ask) {
            Ok(_) => return Ok(cockroach),
            Err(error) if begin.elapsed() > START_DEADLINE => {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(error.context(format!("it did not accept SQL in time; its log:\n{log}")));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// A new folder that only we can enter.
fn temporary_folder() -> Result<PathBuf> {
    let made = cargo::output(Command::new("mktemp").args(["-d", "-t", "cdc-cockroach-XXXXXX"]))?;
    Ok(made.trim().into())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}
