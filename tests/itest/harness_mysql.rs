//! Proves what the harness does with MySQL and MariaDB servers.

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use tests::harness::mysql::{Flavor, MySqlServer, Settings, SourceDatabase};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

/// The scenarios of this file, for both products.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("harness_mysql_survives_stops_and_crashes", &[Need::SourceBinaries], crashes),
        scenario("harness_mysql_freezes_and_thaws", &[Need::SourceBinaries], freezes),
        scenario("harness_mysql_each_scenario_has_its_own_database", &[Need::Source], own_database),
        scenario("harness_mysql_is_set_up_as_documented", &[Need::Source], variables),
        scenario("harness_mysql_two_servers_are_told_apart", &[Need::SourceBinaries], two_servers),
        scenario("harness_mysql_dumps_name_the_position", &[Need::SourceBinaries], dump),
    ]
}

async fn ids(database: &SourceDatabase) -> Result<Vec<String>> {
    let rows = database.query("SELECT id FROM t ORDER BY id").await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

async fn crashes(ctx: Ctx) -> Result<()> {
    let mut server = MySqlServer::start(ctx.flavor(), &Settings::default()).await?;
    let version = server.database("").value("SELECT version()").await?.context("no version")?;
    ensure!(version.contains("MariaDB") == (ctx.flavor() == Flavor::MariaDb), "{version}");
    let database = server.create_database("crashes").await?;
    let begin = server.position().await?;
    database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await?;
    let written = server.position().await?;
    ensure!(begin != written, "{begin} did not move");
    server.restart().await?;
    ensure!(ids(&database).await? == ["1"]);
    ensure!(server.position().await? == written, "a restart moved {written}");

    // An open session, with a change that was never committed.
    let mut open = database.connect().await?;
    open.query_drop("BEGIN; INSERT INTO t VALUES (99)").await?;
    database.execute("INSERT INTO t VALUES (2)").await?;
    let written = server.position().await?;
    server.kill9().await?;
    ensure!(open.ping().await.is_err());
    ensure!(database.connect().await.is_err());
    server.start_again().await?;
    ensure!(ids(&database).await? == ["1", "2"]);
    ensure!(server.position().await? == written, "a crash moved {written}");

    server.set("--binlog-row-image=MINIMAL");
    server.restart().await?;
    let image = server.database("").value("SELECT @@GLOBAL.binlog_row_image").await?;
    ensure!(image.as_deref() == Some("MINIMAL"), "{image:?}");
    server.stop().await
}

async fn freezes(ctx: Ctx) -> Result<()> {
    let mut server = MySqlServer::start(ctx.flavor(), &Settings::default()).await?;
    let database = server.create_database("freezes").await?;
    server.freeze()?;
    let waiting = database.execute("CREATE TABLE t (id int PRIMARY KEY)");
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), waiting).await;
    ensure!(early.is_err(), "a frozen server answers");
    server.thaw()?;
    database.position().await?;
    Ok(())
}

async fn own_database(ctx: Ctx) -> Result<()> {
    let name = ctx.source().value("SELECT database()").await?.context("no database")?;
    ensure!(name == ctx.source().name() && ctx.name().starts_with(&name), "{name}");
    ctx.source().execute("CREATE TABLE t (a float, b varbinary(3), c time(2)); INSERT INTO t VALUES (1.2345678, x'ff00', '-01:02:03.45'), (NULL, 'b', NULL)").await?;
    let rows = ctx.source().query("SELECT * FROM t ORDER BY a DESC").await?;
    let text = |text: &str| Some(text.to_owned());
    ensure!(rows[0] == [text("1.2345678"), text("0xFF00"), text("-001:02:03.450000")], "{rows:?}");
    ensure!(rows[1] == [None, text("b"), None], "{rows:?}");
    Ok(())
}

async fn variables(ctx: Ctx) -> Result<()> {
    for (name, expected) in [
        ("log_bin", "1"),
        ("binlog_format", "ROW"),
        ("binlog_row_metadata", "FULL"),
        ("binlog_row_image", "FULL"),
    ] {
        let found = ctx.source().value(&format!("SELECT @@GLOBAL.{name}")).await?;
        ensure!(found.as_deref() == Some(expected), "{name} is {found:?}");
    }
    if ctx.flavor() == Flavor::MySql {
        let found = ctx.source().value("SELECT @@GLOBAL.gtid_mode").await?;
        ensure!(found.as_deref() == Some("ON"), "{found:?}");
    }
    Ok(())
}

async fn two_servers(ctx: Ctx) -> Result<()> {
    let domain = if ctx.flavor() == Flavor::MariaDb { "--gtid-domain-id=7" } else { "--server-uuid" };
    let settings = Settings::default();
    let settings = if ctx.flavor() == Flavor::MariaDb { settings.with(domain) } else { settings };
    let one = MySqlServer::start(ctx.flavor(), &Settings::default()).await?;
    let two = MySqlServer::start(ctx.flavor(), &settings).await?;
    for server in [&one, &two] {
        let id = server.database("").value("SELECT @@GLOBAL.server_id").await?;
        ensure!(id == Some(server.server_id().to_string()), "{id:?}");
        server.create_database("t").await?;
    }
    let (one, two) = (one.position().await?, two.position().await?);
    let origin = |position: &str| position.split([':', '-']).next().map(str::to_owned);
    ensure!(origin(&one) != origin(&two), "{one} and {two}");
    Ok(())
}

/// The programs that come with the servers work, and their dump holds the position.
async fn dump(ctx: Ctx) -> Result<()> {
    let server = MySqlServer::start(ctx.flavor(), &Settings::default()).await?;
    let database = server.create_database("dumped").await?;
    database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (4711)").await?;
    let mut command = server.client("mysqldump")?;
    command.args(["--no-defaults", "--single-transaction", "--user=root", "--host=127.0.0.1"]);
    command.arg(format!("--port={}", server.address().port()));
    match ctx.flavor() {
        Flavor::MySql => command.arg("--source-data=2"),
        Flavor::MariaDb => command.args(["--master-data=2", "--gtid"]),
    };
    let output = tokio::process::Command::from(command).arg("dumped").output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let position = server.position().await?;
    ensure!(said.contains("(4711)") && said.contains(&position), "no {position} in: {said}");
    Ok(())
}
