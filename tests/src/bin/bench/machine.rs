//! The machine, the server's settings, and processor time of processes.

use std::process::Command;

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection};

use crate::context::Bench;

/// Server settings that decide about figures.
const SETTINGS: [&str; 10] = [
    "server_version",
    "synchronous_commit",
    "fsync",
    "full_page_writes",
    "wal_level",
    "wal_compression",
    "shared_buffers",
    "max_wal_size",
    "autovacuum",
    "jit",
];

/// Linux reports processor time to programs in hundredths of a second on every platform.
const TICKS_PER_SECOND: f64 = 100.0;

/// What figures depend on, as name and value; the settings are those of the server at `url`.
pub(crate) async fn describe(url: &str, quick: bool) -> Result<Vec<(String, String)>> {
    let mut all = vec![
        ("cores".to_owned(), cores().to_string()),
        ("cpu".to_owned(), cpu_model()),
        ("memory".to_owned(), memory()),
        ("kernel".to_owned(), kernel()),
        ("load at start".to_owned(), load_average()),
        ("sizes".to_owned(), if quick { "quick" } else { "full" }.to_owned()),
    ];
    let mut connection = PgConnection::connect(url).await?;
    for name in SETTINGS {
        let value: String =
            sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut connection).await?;
        all.push((name.to_owned(), value));
    }
    Ok(all)
}

/// Cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim()).to_owned()
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.map_or_else(|| "unknown".to_owned(), |kilobytes| format!("{} MiB", kilobytes / 1024))
}

fn kernel() -> String {
    let told = Command::new("uname").arg("-r").output();
    told.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default()
}

/// Whoever else works on the machine shows here.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Processor seconds of this process, which is the load generator.
pub(crate) fn own_cpu() -> Result<f64> {
    times("self").map(|times| times.own)
}

/// Processor seconds of a PostgreSQL server: its main process, the sessions that have ended, and those that live.
pub(crate) async fn server_cpu(bench: &Bench) -> Result<f64> {
    tree_cpu(main_process(&bench.server.url("postgres")).await?)
}

/// The main process of the server at `url`, which must be on this machine.
pub(crate) async fn main_process(url: &str) -> Result<u32> {
    let mut connection = PgConnection::connect(url).await?;
    let session: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
    Ok(times(&session.to_string())?.parent)
}

/// Processor seconds of a process, its living children, and its children that have ended. A child that ends moves
/// from the second to the third; if that happens while they are read, all is read again.
pub(crate) fn tree_cpu(main: u32) -> Result<f64> {
    const ATTEMPTS: usize = 100;
    let name = main.to_string();
    for _ in 0..ATTEMPTS {
        let before = times(&name)?;
        let living = living_children_cpu(main)?;
        let after = times(&name)?;
        if before.ended == after.ended {
            return Ok(after.own + after.ended + living);
        }
    }
    anyhow::bail!("children of process {main} end all the time")
}

fn living_children_cpu(main: u32) -> Result<f64> {
    let mut total = 0.0;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else {
            continue;
        };
        // One that has just ended is gone here and counted at its parent.
        if let Ok(times) = times(name)
            && times.parent == main
        {
            total += times.own + times.ended;
        }
    }
    Ok(total)
}

struct Times {
    parent: u32,
    own: f64,
    /// Of children that have ended and were waited for.
    ended: f64,
}

fn times(process: &str) -> Result<Times> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = text[text.rfind(')').map_or(0, |at| at + 1)..].split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    let parent = fields.get(1).and_then(|field| field.parse().ok()).context("an odd stat file")?;
    Ok(Times {
        parent,
        own: (ticks(11) + ticks(12)) / TICKS_PER_SECOND,
        ended: (ticks(13) + ticks(14)) / TICKS_PER_SECOND,
    })
}

/// The most memory a process has held so far, in MiB; resident, as the kernel keeps it.
pub(crate) fn peak_mib(process: u32) -> Result<f64> {
    memory_line(process, "VmHWM:")
}

/// The memory a process holds, in MiB.
pub(crate) fn resident_mib(process: u32) -> Result<f64> {
    memory_line(process, "VmRSS:")
}

fn memory_line(process: u32, name: &str) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024.0)
}
