//! Data directories. Making one takes seconds, so a process makes one of each product and copies it.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::OnceCell;

use super::{Flavor, share};
use crate::harness::child::{Ending, Owned, Signal};
use crate::harness::{postgres, scratch};

/// Includes a busy machine.
const MAKE_DEADLINE: Duration = Duration::from_secs(120);
const LOG_TAIL_LINES: usize = 20;

/// Removes the folder when its own input ends, which happens when this process ends in whatever way.
const KEEPER: &str = r#"
trap '' INT HUP TERM
cat >/dev/null
rm -rf -- "$1"
"#;

static MYSQL: OnceCell<Template> = OnceCell::const_new();
static MARIADB: OnceCell<Template> = OnceCell::const_new();

/// A data directory that no server runs on.
struct Template {
    folder: PathBuf,
    /// Its input is open as long as this process lives.
    _keeper: Child,
}

/// Puts a fresh data directory at `to`.
pub(super) async fn copy(flavor: Flavor, base: &Path, to: &Path) -> Result<()> {
    let cell = match flavor {
        Flavor::MySql => &MYSQL,
        Flavor::MariaDb => &MARIADB,
    };
    let template = cell.get_or_try_init(async || make(flavor, base).await).await?;
    let mut copy = tokio::process::Command::new("cp");
    copy.args(["-a", "--reflink=auto", "--sparse=always"]).arg(template.folder.join("data")).arg(to);
    let copied = copy.output().await.context("cannot run cp")?;
    if !copied.status.success() {
        bail!("cannot copy a data directory: {}", String::from_utf8_lossy(&copied.stderr).trim());
    }
    // Holds what MySQL calls the server's identity; without it the server makes up another one.
    let _ = std::fs::remove_file(to.join("auto.cnf"));
    Ok(())
}

async fn make(flavor: Flavor, base: &Path) -> Result<Template> {
    let folder = scratch::folder(&format!("cdc-{}-template-", flavor.word()))?;
    let mut keeper = Command::new("/bin/sh");
    keeper.args(["-c", KEEPER, "keeper"]).arg(folder.path()).process_group(0);
    keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let keeper = keeper.spawn().context("cannot run /bin/sh")?;
    let folder = folder.keep();

    let data = folder.join("data");
    std::fs::create_dir(&data).context("cannot make a data directory")?;
    let mut command = program(flavor, base, &data)?;
    command.current_dir(&folder);
    let input = match flavor {
        Flavor::MySql => {
            command.args(["--initialize-insecure", "--innodb-doublewrite=OFF"]);
            Stdio::null()
        }
        Flavor::MariaDb => {
            command.args(["--bootstrap", "--skip-networking", "--skip-log-bin"]);
            let script = folder.join("bootstrap.sql");
            std::fs::File::create(&script)?.write_all(&bootstrap(base)?)?;
            std::fs::File::open(&script)?.into()
        }
    };
    let log = std::fs::File::create(folder.join("log")).context("cannot open the log")?;
    command.stdout(log.try_clone()?).stderr(log);
    let marker = data.to_string_lossy().into_owned();
    let ending = Ending { signal: Signal::Kill, marker: &marker, folder: None };
    let mut running = Owned::spawn_reading(&mut command, input, &ending)?;
    let status = running.wait(MAKE_DEADLINE).await.context("making a data directory")?;
    if !status.success() {
        let said = postgres::tail(&folder.join("log"), LOG_TAIL_LINES);
        bail!("{flavor} ended with {status} when making a data directory:\n{said}");
    }
    Ok(Template { folder, _keeper: keeper })
}

/// The statements that fill an empty MariaDB data directory, as its own installation script sends them.
fn bootstrap(base: &Path) -> Result<Vec<u8>> {
    let share = share(base)?;
    let mut script = b"create database if not exists mysql;\nuse mysql;\n".to_vec();
    for name in ["system_tables.sql", "performance_tables.sql", "system_tables_data.sql"] {
        // The prefix was renamed with the product's programs.
        let files = ["mariadb_", "mysql_"].map(|prefix| share.join(format!("{prefix}{name}")));
        let file = files.iter().find(|file| file.is_file());
        let file = file.with_context(|| format!("{} holds no {name}", share.display()))?;
        script.extend(std::fs::read(file)?);
    }
    Ok(script)
}

/// The server's program with the arguments that making a data directory and running on it have in common.
pub(super) fn program(flavor: Flavor, base: &Path, data: &Path) -> Result<Command> {
    let share = share(base)?;
    let mut command = Command::new(flavor.server(base)?);
    command.args([
        "--no-defaults".to_owned(),
        format!("--basedir={}", base.display()),
        format!("--datadir={}", data.display()),
        format!("--lc-messages-dir={}", share.display()),
        format!("--character-sets-dir={}", share.join("charsets").display()),
        format!("--plugin-dir={}", base.join("lib/mysql/plugin").display()),
    ]);
    match flavor {
        Flavor::MySql => command.args(["--innodb-redo-log-capacity=64M", "--secure-file-priv="]),
        Flavor::MariaDb => command.arg("--innodb-log-file-size=32M"),
    };
    if scratch::is_root() {
        command.arg("--user=root");
    }
    command.env("LC_ALL", "C").env("TZ", "UTC");
    Ok(command)
}
