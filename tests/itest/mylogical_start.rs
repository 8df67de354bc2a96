//! Where `cdc-mylogical` refuses to begin, or to go on: settings of the source, accounts, positions.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::harness::mysql::{Flavor, MySqlServer, Settings};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::support::my_pair::MyPair;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const OWN: &[Need] = &[Need::SourceBinaries, Need::Postgres];
    vec![
        scenario("mylogical_settings_of_the_source_are_checked", OWN, settings),
        scenario("mylogical_accounts_that_may_not_are_told_what_they_lack", OWN, accounts),
        scenario("mylogical_tls_is_as_strict_as_asked_for", OWN, tls),
        scenario("mylogical_positions_that_lose_changes_are_refused", OWN, positions),
        scenario("mylogical_unlogged_cascades_are_refused", OWN, cascades),
        scenario("mylogical_two_readers_of_one_number_do_not_fight", OWN, twice),
    ]
}

const SOON: Duration = Duration::from_secs(30);
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, a text)";
/// The program's code for what a person has to decide, and for what cannot be reached.
const REFUSED: [i32; 2] = [4, 3];

/// Runs a program that is to refuse, and looks for these words in what it says.
async fn refuses(pair: &MyPair, service: Service, words: &[&str]) -> Result<()> {
    let mut process = ServiceProcess::spawn(service.named("refused"), pair.folder())?;
    let status = process.wait_for_exit(SOON).await?;
    let log = std::fs::read_to_string(process.log())?;
    std::fs::remove_file(process.log())?;
    ensure!(status.code().is_some_and(|code| REFUSED.contains(&code)), "ended with {status:?}: {log}");
    let lacking: Vec<_> = words.iter().filter(|word| !log.contains(**word)).collect();
    ensure!(lacking.is_empty(), "{lacking:?} not in: {log}");
    ensure!(!log.contains("open-sesame"), "a password is shown: {log}");
    Ok(())
}

async fn own(ctx: &Ctx) -> Result<(MySqlServer, MyPair)> {
    let server = MySqlServer::start(ctx.flavor(), &Settings::default()).await?;
    let origin = server.create_database("shop").await?;
    let pair = MyPair::start_with(ctx, origin, TABLE, TABLE).await?;
    Ok((server, pair))
}

async fn settings(ctx: Ctx) -> Result<()> {
    let (_server, pair) = own(&ctx).await?;
    let both = [
        ("binlog_row_image", "MINIMAL", "FULL"),
        ("binlog_row_image", "NOBLOB", "FULL"),
        ("binlog_row_metadata", "MINIMAL", "FULL"),
        ("binlog_format", "MIXED", "ROW"),
        ("binlog_format", "STATEMENT", "ROW"),
    ];
    let of_mysql = [("gtid_mode", "ON_PERMISSIVE", "ON"), ("enforce_gtid_consistency", "WARN", "ON")];
    let of_mariadb = [("binlog_row_metadata", "NO_LOG", "FULL")];
    let of_product = if ctx.flavor() == Flavor::MySql { &of_mysql[..] } else { &of_mariadb };
    for (name, wrong, right) in both.iter().chain(of_product) {
        // The two are set one after the other, and only ever in steps.
        if *name == "enforce_gtid_consistency" {
            pair.origin.execute("SET GLOBAL gtid_mode = ON_PERMISSIVE").await?;
        }
        pair.origin.execute(&format!("SET GLOBAL {name} = '{wrong}'")).await?;
        refuses(&pair, pair.service(), &[name, wrong, right]).await?;
        pair.origin.execute(&format!("SET GLOBAL {name} = '{right}'")).await?;
    }
    if ctx.flavor() == Flavor::MySql {
        pair.origin.execute("SET GLOBAL gtid_mode = ON").await?;
    }
    pair.run().await.map(|_| ())
}

async fn accounts(ctx: Ctx) -> Result<()> {
    let (_server, pair) = own(&ctx).await?;
    let client = if ctx.flavor() == Flavor::MySql { "REPLICATION CLIENT" } else { "BINLOG MONITOR" };
    pair.origin
        .execute(&format!(
            "CREATE USER bare@'%' IDENTIFIED BY 'open-sesame'; GRANT SELECT ON shop.* TO bare@'%'; \
             CREATE USER reader@'%' IDENTIFIED BY 'open-sesame'; GRANT SELECT ON shop.* TO reader@'%'; \
             GRANT REPLICATION SLAVE, {client} ON *.* TO reader@'%'"
        ))
        .await?;
    let wrong = pair.service_from(&pair.origin.url_as("reader:wrong"));
    refuses(&pair, wrong, &["Access denied", "password"]).await?;
    let bare = pair.service_from(&pair.origin.url_as("bare:open-sesame"));
    refuses(&pair, bare, &["REPLICATION SLAVE"]).await?;
    let reader = pair.service_from(&pair.origin.url_as("reader:open-sesame"));
    let process = ServiceProcess::start(reader, pair.folder()).await?;
    pair.origin.execute("INSERT INTO t VALUES (1, 'a')").await?;
    pair.arrives(&["t"]).await?;
    ensure!(!std::fs::read_to_string(process.log())?.contains("open-sesame"), "a password is shown");
    Ok(())
}

async fn tls(ctx: Ctx) -> Result<()> {
    let (server, pair) = own(&ctx).await?;
    let has =
        "SELECT variable_value FROM information_schema.global_variables WHERE variable_name = 'have_ssl'";
    let with_tls = match ctx.flavor() {
        Flavor::MySql => true,
        Flavor::MariaDb => pair.origin.value(has).await?.as_deref() == Some("YES"),
    };
    let url = |mode: &str| format!("{}?sslmode={mode}", pair.origin.url());
    if !with_tls {
        return refuses(&pair, pair.service_from(&url("require")), &["does not accept TLS"]).await;
    }
    for mode in ["verify-full", "verify-ca"] {
        refuses(&pair, pair.service_from(&url(mode)), &["TLS"]).await?;
    }
    if ctx.flavor() == Flavor::MySql {
        // The authority that the server has made for itself; the certificate is made out to nobody.
        let root = server.data().join("ca.pem");
        let with_root = format!("{}&sslrootcert={}", url("verify-full"), root.display());
        refuses(&pair, pair.service_from(&with_root), &["TLS", "not valid for"]).await?;
    }
    for mode in ["require", "preferred", "disable"] {
        let mut process = ServiceProcess::start(pair.service_from(&url(mode)), pair.folder()).await?;
        pair.origin.execute(&format!("INSERT INTO t SELECT count(*), '{mode}' FROM t")).await?;
        pair.arrives(&["t"]).await?;
        process.terminate(SOON).await?;
    }
    Ok(())
}

async fn positions(ctx: Ctx) -> Result<()> {
    let (_server, pair) = own(&ctx).await?;
    let with = |position: &str| pair.service().replace_flag("--defaultGTIDSet", position);
    refuses(&pair, with("nonsense"), &["--defaultGTIDSet"]).await?;
    let ahead = match ctx.flavor() {
        Flavor::MySql => {
            pair.begin.split(':').next().map(|uuid| format!("{uuid}:1-999999")).unwrap_or_default()
        }
        Flavor::MariaDb => {
            let mut parts = pair.begin.split('-');
            format!("{}-{}-999999", parts.next().unwrap_or("0"), parts.next().unwrap_or("1"))
        }
    };
    refuses(&pair, with(&ahead), &["999999", "another server"]).await?;
    pair.origin
        .execute("INSERT INTO t VALUES (1, 'a'); FLUSH BINARY LOGS; INSERT INTO t VALUES (2, 'b')")
        .await?;
    let waits = "SHOW GLOBAL VARIABLES LIKE 'slave_connections_needed_for_purge'";
    if pair.origin.value(waits).await?.is_some() {
        pair.origin.execute("SET GLOBAL slave_connections_needed_for_purge = 0").await?;
    }
    // MariaDB keeps what its engines have not written elsewhere yet, without a word.
    wait::eventually(SOON, "old log is deleted", async || {
        let logs = pair.origin.query("SHOW BINARY LOGS").await?;
        let newest = logs.last().and_then(|row| row[0].clone()).unwrap_or_default();
        pair.origin.execute(&format!("PURGE BINARY LOGS TO '{newest}'")).await?;
        ensure!(pair.origin.query("SHOW BINARY LOGS").await?.len() == 1, "it is still there");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    refuses(&pair, pair.service(), &["start over with a new copy"]).await?;
    refuses(&pair, with(""), &["--defaultGTIDSet"]).await
}

async fn cascades(ctx: Ctx) -> Result<()> {
    let (_server, pair) = own(&ctx).await?;
    if ctx.flavor() == Flavor::MySql {
        pair.origin.execute("SELECT 1").await?;
        // Version 9.6 and later logs them; see whether they arrive.
        let child = "CREATE TABLE c (id int PRIMARY KEY, p int, CONSTRAINT fk FOREIGN KEY (p) REFERENCES t (id) ON DELETE CASCADE)";
        pair.origin.execute(child).await?;
        pair.target.execute("CREATE TABLE c (id int PRIMARY KEY, p int)").await?;
        let _process = pair.run().await?;
        pair.origin
            .execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1, 1), (2, 2); DELETE FROM t WHERE id = 1")
            .await?;
        return pair.arrives(&["t", "c"]).await;
    }
    let mut process = pair.run().await?;
    pair.origin.execute("CREATE TABLE c (id int PRIMARY KEY, p int)").await?;
    pair.target
        .execute("CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES t (id) ON DELETE CASCADE)")
        .await?;
    pair.origin
        .execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1, 1), (2, 2)")
        .await?;
    pair.arrives(&["t", "c"]).await?;
    // In mid-stream as well: without it the rows of `c` would stay.
    pair.origin
        .execute("ALTER TABLE c ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES t (id) ON DELETE CASCADE; DELETE FROM t WHERE id = 1")
        .await?;
    let status = process.wait_for_exit(SOON).await?;
    let log = std::fs::read_to_string(process.log())?;
    ensure!(status.code() == Some(4) && log.contains("--allowUnloggedCascades"), "{status:?} {log}");
    refuses(&pair, pair.service(), &["shop.c", "fk", "DROP FOREIGN KEY", "--allowUnloggedCascades"]).await?;
    process.change(|service| service.args(["--allowUnloggedCascades"]));
    process.start_again().await?;
    pair.arrives(&["t", "c"]).await
}

/// MariaDB ends the older of two streams with one server id each time: it is said, and one of the two gives up. MySQL goes by
/// the readers' UUIDs, which differ with the feeds' names.
async fn twice(ctx: Ctx) -> Result<()> {
    let (_server, pair) = own(&ctx).await?;
    let service = |name: &str| {
        let number = ["--replicationProcessID", "77", "--loopName", name, "--retryDelay", "200ms"];
        pair.service().args(number[..4].iter().copied()).replace_flag("--retryDelay", number[5]).named(name)
    };
    let mut one = ServiceProcess::start(service("one"), pair.folder()).await?;
    let mut two = ServiceProcess::spawn(service("two"), pair.folder())?;
    if ctx.flavor() == Flavor::MySql {
        two.wait_until_ready().await?;
        pair.origin.execute("INSERT INTO t VALUES (1, 'a')").await?;
        wait::eventually(SOON, "the row arrives", async || pair.same(&["t"]).await).await?;
        ensure!(one.exited()?.is_none() && two.exited()?.is_none(), "one of the two has given up");
        return Ok(());
    }
    wait::eventually(SOON, "one of the two gives up", async || {
        let ended = [one.exited()?, two.exited()?];
        ensure!(ended.iter().any(Option::is_some), "both run");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    let logs = [std::fs::read_to_string(one.log())?, std::fs::read_to_string(two.log())?];
    ensure!(logs.iter().any(|log| log.contains("--replicationProcessID")), "{logs:?}");
    Ok(())
}
