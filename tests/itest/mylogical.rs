//! `cdc-mylogical` between two real servers: the everyday cases, for both products.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mysql_async::prelude::Queryable as _;
use tests::harness::fingerprint::source::{TablePair, same_pair};
use tests::harness::http::Client;
use tests::harness::mysql::{Flavor, MySqlServer, Settings};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::support::my_pair::MyPair;
use crate::support::pair::stalled;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::Source, Need::Postgres];
    const OWN: &[Need] = &[Need::SourceBinaries, Need::Postgres];
    vec![
        scenario("mylogical_changes_arrive", NEEDS, changes_arrive),
        scenario("mylogical_documented_procedure_works_as_printed", OWN, by_hand),
        scenario("mylogical_tables_change_in_mid_stream", NEEDS, ddl),
        scenario("mylogical_emptied_tables_follow_the_policy", NEEDS, emptied),
        scenario("mylogical_databases_go_to_schemas", NEEDS, databases),
        scenario("mylogical_tables_without_keys_are_carried", NEEDS, keyless),
        scenario("mylogical_immediate_mode_ends_equal", NEEDS, immediate),
        scenario("mylogical_killed_and_restarted_loses_nothing", OWN, kills),
    ]
}

const SOON: Duration = Duration::from_secs(20);
const SOURCE: &str = "CREATE TABLE t (id int PRIMARY KEY, a varchar(40), b decimal(10, 2)); \
                      CREATE TABLE u (x varchar(20), y int, v bigint unsigned, PRIMARY KEY (y, x))";
const TARGET: &str = "CREATE TABLE t (id int PRIMARY KEY, a text, b numeric(10, 2)); \
                      CREATE TABLE u (x text, y int, v numeric(20), PRIMARY KEY (y, x))";
/// Every number from 1 to 1000.
const NUMBERS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)";

async fn changes_arrive(ctx: Ctx) -> Result<()> {
    let pair = MyPair::start(&ctx, SOURCE, TARGET).await?;
    let mut process = pair.run().await?;
    let load = format!(
        "INSERT INTO t {NUMBERS} SELECT i, concat('x', i), i / 7 FROM n; UPDATE t SET a = NULL WHERE id % 3 = 0; \
         DELETE FROM t WHERE id % 7 = 0; UPDATE t SET id = -id WHERE id % 5 = 0; \
         BEGIN; INSERT INTO u VALUES ('é', 1, 18446744073709551615), ('b', 2, 0); \
         UPDATE t SET b = -0.01 WHERE id = 1; UPDATE u SET x = 'c' WHERE x = 'b'; COMMIT; \
         BEGIN; INSERT INTO t VALUES (5000, 'undone', 1); ROLLBACK"
    );
    pair.origin.execute(&load).await?;
    pair.arrives(&["t", "u"]).await?;
    // Keys that change places within one transaction.
    pair.origin
        .execute(
            "BEGIN; UPDATE t SET id = 100001 WHERE id = 1; UPDATE t SET id = 1 WHERE id = 2; \
             UPDATE t SET id = 2 WHERE id = 100001; COMMIT; REPLACE INTO t VALUES (2, 'replaced', 3); \
             INSERT INTO t VALUES (1, 'z', 0) ON DUPLICATE KEY UPDATE a = 'there already'",
        )
        .await?;
    pair.arrives(&["t", "u"]).await?;
    let status = process.terminate(SOON).await?;
    ensure!(status == Some(0), "ended with {status:?}");

    // What happens meanwhile is carried by the next process.
    pair.origin.execute("INSERT INTO t VALUES (1000001, 'later', 1); FLUSH BINARY LOGS").await?;
    process.start_again().await?;
    pair.arrives(&["t", "u"]).await?;
    process.kill9().await?;
    pair.origin.execute("FLUSH TABLES; DELETE FROM t WHERE id < 0; UPDATE u SET v = 7").await?;
    process.start_again().await?;
    pair.arrives(&["t", "u"]).await?;
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

/// The statements and flags of the original's documents, in their order; the position as the product's dump prints it. The
/// source is written while the dump is made and loaded.
async fn by_hand(ctx: Ctx) -> Result<()> {
    let server = MySqlServer::start(ctx.flavor(), &Settings::default()).await?;
    let origin = server.create_database("db_name").await?;
    let pair = MyPair::start_with(&ctx, origin, SOURCE, TARGET).await?;
    let load = format!(
        "INSERT INTO t {NUMBERS} SELECT i, concat('x', i), i / 7 FROM n; INSERT INTO u VALUES ('a', 1, 2)"
    );
    pair.origin.execute(&load).await?;
    let mut command = server.client("mysqldump")?;
    command.args([
        "--no-defaults",
        "--user=root",
        "--host=127.0.0.1",
        "--single-transaction",
        "--no-create-info",
    ]);
    command.arg(format!("--port={}", server.address().port()));
    if ctx.flavor() == Flavor::MariaDb {
        command.arg("--master-data");
    }
    let dump = tokio::process::Command::from(command).arg("db_name").output().await?;
    ensure!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8(dump.stdout)?;
    pair.origin.execute("UPDATE t SET b = b + 1 WHERE id % 11 = 0; DELETE FROM u").await?;
    // A statement may go over several lines.
    for statement in dump.split(";\n").filter_map(|text| text.find("INSERT INTO").map(|at| &text[at..])) {
        pair.target.execute(&statement.replace('`', "\"")).await?;
    }
    let position = printed_position(ctx.flavor(), &dump)?;

    let server_url = pair.target.url().rsplit_once('/').map_or(pair.target.url(), |(server, _)| server);
    let source = server.url("");
    // The documents have one name for both databases; here they differ, so that the source's is named.
    let source = format!("{source}db_name");
    let flags =
        ["start", "--sourceConn", &source, "--targetConn", &format!("{server_url}/")].map(str::to_owned);
    let service = Service::new("cdc-mylogical").bind_flag("--metricsAddr").args(flags);
    let service = service.args(["--targetDB", pair.target.name(), "--defaultGTIDSet", &position]);
    let mut process = ServiceProcess::start(service, pair.folder()).await?;
    pair.arrives(&["t", "u"]).await?;
    let mut operator = Client::connect(process.address()).await?;
    let (_, metrics) = operator.get("/_/varz").await?;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    for name in ["flow_transactions_total", "binlog_events_total"] {
        ensure!(metrics.contains(name), "no {name} at /_/varz");
    }
    ensure!(process.terminate(SOON).await? == Some(0), "it did not stop in good order");
    Ok(())
}

/// What a person copies: of MySQL all of the statement, which may go over several lines; of MariaDB the text between quotes.
fn printed_position(flavor: Flavor, dump: &str) -> Result<String> {
    match flavor {
        Flavor::MySql => {
            let begin = dump.find("SET @@GLOBAL.GTID_PURGED=").context("the dump sets no GTID_PURGED")?;
            let statement = dump[begin..].split(';').next().unwrap_or_default();
            Ok(statement.to_owned())
        }
        Flavor::MariaDb => {
            let line = dump.lines().find(|line| line.contains("gtid_slave_pos="));
            let Some(position) = line.and_then(|line| line.split('\'').nth(1)) else {
                bail!("the dump sets no gtid_slave_pos");
            };
            Ok(position.to_owned())
        }
    }
}

async fn ddl(ctx: Ctx) -> Result<()> {
    let pair = MyPair::start(&ctx, SOURCE, TARGET).await?;
    let process = pair.run().await?;
    pair.origin.execute("INSERT INTO t VALUES (1, 'before', 1)").await?;
    pair.arrives(&["t"]).await?;

    // A column that comes first at the source; the target has it already.
    pair.target.execute("ALTER TABLE t ADD COLUMN c bigint").await?;
    pair.origin
        .execute(
            "INSERT INTO t VALUES (2, 'without', 2); ALTER TABLE t ADD COLUMN c int unsigned FIRST; \
             INSERT INTO t VALUES (4294967295, 3, 'with', 3); ALTER TABLE t MODIFY a text, MODIFY b decimal(12, 2); \
             UPDATE t SET b = b + 1; RENAME TABLE u TO u2, u2 TO u; INSERT INTO u VALUES ('u', 1, 1)",
        )
        .await?;
    pair.arrives(&["t", "u"]).await?;

    // A column that the target lacks stops the feed until it is there.
    pair.origin
        .execute("ALTER TABLE t ADD COLUMN d varchar(10); UPDATE t SET d = 'new' WHERE id = 1")
        .await?;
    stalled(&process, &["t", "d"]).await?;
    pair.target.execute("ALTER TABLE t ADD COLUMN d text").await?;
    pair.arrives(&["t", "u"]).await?;

    // So does a table, as soon as it has rows; one that never had any does not matter.
    pair.origin.execute("CREATE TABLE idle (id int PRIMARY KEY); DROP TABLE idle").await?;
    pair.origin.execute("CREATE TABLE more (id int PRIMARY KEY) SELECT 1 AS id").await?;
    stalled(&process, &["more", "no such table"]).await?;
    pair.target.execute("CREATE TABLE more (id int PRIMARY KEY)").await?;
    pair.arrives(&["t", "u", "more"]).await
}

async fn emptied(ctx: Ctx) -> Result<()> {
    let pair = MyPair::start(&ctx, SOURCE, TARGET).await?;
    pair.origin
        .execute("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2); INSERT INTO u VALUES ('a', 1, 1)")
        .await?;
    let mut process = pair.run().await?;
    pair.arrives(&["t", "u"]).await?;
    pair.origin.execute("TRUNCATE TABLE t; INSERT INTO t VALUES (3, 'c', 3)").await?;
    stalled(&process, &["truncated", "--onTruncate"]).await?;
    process.terminate(SOON).await?;

    // The table has had no rows since the stream was opened anew.
    process.change(|service| service.args(["--onTruncate", "apply"]));
    process.start_again().await?;
    pair.arrives(&["t", "u"]).await?;
    pair.origin.execute("TRUNCATE u").await?;
    pair.arrives(&["t", "u"]).await?;
    process.terminate(SOON).await?;
    process.change(|service| service.replace_flag("--onTruncate", "ignore"));
    pair.origin.execute("TRUNCATE t").await?;
    process.start_again().await?;
    pair.caught_up().await?;
    let mut target = pair.target.connect().await?;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut target).await?;
    ensure!(rows == 1, "{rows} rows");
    Ok(())
}

async fn databases(ctx: Ctx) -> Result<()> {
    let pair = MyPair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, a text)", "").await?;
    let one = pair.origin.name().to_owned();
    let (two, three) = (format!("{one}_2"), format!("{one}_3"));
    for other in [&two, &three] {
        let sql = format!(
            "CREATE DATABASE {other}; \
             CREATE TABLE {other}.t (id int PRIMARY KEY, a text); INSERT INTO {other}.t VALUES (1, '{other}')"
        );
        pair.origin.execute(&sql).await?;
    }
    pair.target
        .execute(&format!(
            "CREATE SCHEMA {one}; CREATE SCHEMA customers; CREATE TABLE {one}.t (id int PRIMARY KEY, a text); \
             CREATE TABLE customers.t (id int PRIMARY KEY, a text)"
        ))
        .await?;
    let list = format!("{one},{two}=customers");
    let service = pair.service().args(["--databases", &list]);
    let process = ServiceProcess::start(service, pair.folder()).await?;
    let both = format!(
        "BEGIN; INSERT INTO {one}.t VALUES (1, 'one'); UPDATE {two}.t SET a = 'two'; DELETE FROM {three}.t; COMMIT; \
         DROP DATABASE {three}"
    );
    pair.origin.execute(&both).await?;
    pair.caught_up().await?;
    same_pair(&pair.origin, &pair.target, &TablePair::new("t", &format!("{one}.t"))).await?;
    let mut target = pair.target.connect().await?;
    let rows: Vec<(i32, String)> =
        sqlx::query_as("SELECT id, a FROM customers.t").fetch_all(&mut target).await?;
    ensure!(rows == [(1, "two".to_owned())], "{rows:?}");
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    pair.origin.execute(&format!("DROP DATABASE {two}")).await
}

/// Rows are found by all of their values; of several that are alike one is taken.
async fn keyless(ctx: Ctx) -> Result<()> {
    let source = "CREATE TABLE k (a int, b varchar(10))";
    let pair = MyPair::start(&ctx, source, "CREATE TABLE k (a int, b text)").await?;
    let process = pair.run().await?;
    pair.origin
        .execute(
            "INSERT INTO k VALUES (1, 'x'), (1, 'x'), (1, 'x'), (NULL, NULL), (2, 'y'); DELETE FROM k WHERE a = 1 LIMIT 1; \
             UPDATE k SET b = 'z' WHERE a = 2; UPDATE k SET b = 'n' WHERE a IS NULL; UPDATE k SET a = 3 WHERE a = 1 LIMIT 1",
        )
        .await?;
    pair.arrives(&["k"]).await?;
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

async fn immediate(ctx: Ctx) -> Result<()> {
    let pair = MyPair::start(&ctx, SOURCE, TARGET).await?;
    let service = pair.service().args(["--immediate", "--fanShards", "4"]);
    let process = ServiceProcess::start(service, pair.folder()).await?;
    let load = format!(
        "INSERT INTO t {NUMBERS} SELECT i, concat('x', i), i / 7 FROM n; UPDATE t SET id = id + 5000 WHERE id % 2 = 0; \
         DELETE FROM t WHERE id % 5 = 0; INSERT INTO u {NUMBERS} SELECT i, i % 7, i FROM n; UPDATE u SET y = y + 1"
    );
    pair.origin.execute(&load).await?;
    pair.arrives(&["t", "u"]).await?;
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

/// A counter is raised and money moved while both the program and the source are killed.
async fn kills(ctx: Ctx) -> Result<()> {
    const ROUNDS: usize = 6;
    let mut server = MySqlServer::start(ctx.flavor(), &Settings::default()).await?;
    let origin = server.create_database("shop").await?;
    let source = "CREATE TABLE c (id int PRIMARY KEY, n bigint); INSERT INTO c VALUES (1, 0); \
                  CREATE TABLE l (id bigint PRIMARY KEY AUTO_INCREMENT, n bigint)";
    let target =
        "CREATE TABLE c (id int PRIMARY KEY, n bigint); CREATE TABLE l (id bigint PRIMARY KEY, n bigint)";
    let pair = MyPair::start_with(&ctx, origin, source, target).await?;
    let mut process = pair.run().await?;
    for round in 0..ROUNDS {
        let mut writer = pair.origin.connect().await?;
        for n in 0..200 {
            let sql = "BEGIN; UPDATE c SET n = n + 1; INSERT INTO l (n) SELECT n FROM c; COMMIT";
            writer.query_drop(sql).await?;
            if n == 100 {
                process.kill9().await?;
                process.start_again().await?;
            }
        }
        if round % 3 == 1 {
            server.kill9().await?;
            server.start_again().await?;
        } else if round % 3 == 2 {
            server.restart().await?;
        }
        pair.arrives(&["c", "l"]).await?;
    }
    Ok(())
}
