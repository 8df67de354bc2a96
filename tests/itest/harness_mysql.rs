//! Proves what the harness does with MySQL and MariaDB servers.

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use tests::harness::fingerprint::source::{TablePair, difference, same, same_pair};
use tests::harness::mysql::canonical::ZeroDates;
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
        scenario("harness_mysql_copies_are_compared", &[Need::Source, Need::Postgres], compared),
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
    ensure!(name == ctx.source().name() && ctx.name().replace('@', "_") == name, "{name}");
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

/// Equal copies are equal, and each kind of difference is seen.
async fn compared(ctx: Ctx) -> Result<()> {
    ctx.source()
        .execute(
            "SET sql_mode = ''; CREATE TABLE t (id int PRIMARY KEY, u bigint unsigned, d decimal(65,30), f float, g double, b bit(10), \
             s varchar(9) CHARACTER SET latin1, x binary(4), t time(2), w datetime(6), z timestamp NULL, e enum('a','b'), j json, \
             n date, p point, y boolean); \
             INSERT INTO t VALUES (1, 18446744073709551615, -1e-30, 1.2345678, 1e22, b'1000000001', '\u{20ac}\u{e9}', x'0100', \
             '-838:59:59', '1000-01-01 00:00:00.000001', '2038-01-19 03:14:07', 'b', '{\"b\":1.50,\"a\":[]}', '0000-00-00', \
             ST_GeomFromText('POINT(1 2)'), 2), (2, NULL, NULL, 3.4e38, -1e-300, 0, '', '', '00:00:00.1', '9999-12-31', NULL, '', \
             'null', '2024-00-00', NULL, 0)",
        )
        .await?;
    let target = ctx.target();
    target
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, u numeric(20), d numeric(65,30), f real, g double precision, b bit(10), \
             s text, x bytea, t interval, w timestamp(6), z timestamptz, e text, j jsonb, n date, p bytea, y boolean); \
             INSERT INTO t VALUES (1, 18446744073709551615, -1e-30, 1.2345678, 1e22, B'1000000001', '\u{20ac}\u{e9}', '\\x01000000', \
             '-838:59:59', '1000-01-01 00:00:00.000001', '2038-01-19 03:14:07Z', 'b', '{\"a\":[],\"b\":1.50}', NULL, \
             '\\x0101000000000000000000f03f0000000000000040', true), \
             (2, NULL, NULL, 3.4e38, -1e-300, B'0000000000', '', '\\x00000000', '00:00:00.1', '9999-12-31', NULL, '', 'null', NULL, \
             NULL, false)",
        )
        .await?;
    // The products keep a JSON number differently; both mean the same here.
    ctx.source().execute("UPDATE t SET j = '{\"b\":1.5,\"a\":[]}' WHERE id = 1").await?;
    target.execute("UPDATE t SET j = '{\"b\":1.5,\"a\":[]}' WHERE id = 1").await?;
    same(ctx.source(), target, &["t"]).await?;

    let pair = TablePair::new("t", "t");
    let found = difference(ctx.source(), target, &pair.clone().zero_dates(ZeroDates::Epoch)).await?;
    ensure!(found.missing.len() == 2 && found.surplus.len() == 2, "{found:?}");
    target.execute("UPDATE t SET f = 1.234568 WHERE id = 1; INSERT INTO t (id) VALUES (3)").await?;
    let found = difference(ctx.source(), target, &pair).await?;
    ensure!(found.missing.len() == 1 && found.surplus.len() == 2, "{found:?}");
    let error = same_pair(ctx.source(), target, &pair).await.err().context("no difference")?;
    ensure!(format!("{error:#}").contains("1.234568,"), "{error:#}");
    target.execute("ALTER TABLE t DROP COLUMN y").await?;
    ensure!(same_pair(ctx.source(), target, &pair).await.is_err());
    Ok(())
}
