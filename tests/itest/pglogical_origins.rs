//! Two databases that follow each other: what one wrote for the other does not come back.

use anyhow::{Context as _, Result, ensure};
use sqlx::AssertSqlSafe;
use tests::harness::database::Database;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::support::pair::{CATCH_UP, fingerprint};
use crate::support::replication::{create_slot, server};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario(
            "pglogical_two_databases_follow_each_other_without_a_loop",
            &[Need::PostgresBinaries],
            both_ways,
        ),
        scenario(
            "pglogical_copies_leave_out_the_books_of_the_other_direction",
            &[Need::PostgresBinaries],
            books,
        ),
        scenario("pglogical_transactions_of_named_origins_are_left_out", &[Need::PostgresBinaries], named),
    ]
}

fn feed(name: &str, from: &Database, to: &Database, flags: &[&str]) -> Service {
    let conns = ["start", "--sourceConn", from.url(), "--targetConn", to.url()];
    let fixed =
        ["--publicationName", "p", "--slotName", "s", "--standbyTimeout", "200ms", "--loopName", name];
    let service = Service::new("cdc-pglogical").named(name).bind_flag("--metricsAddr");
    service.args(conns).args(fixed).args(flags.iter().copied())
}

async fn number(database: &Database, sql: &str) -> Result<i64> {
    Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut database.connect().await?).await?)
}

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE k (v text); ALTER TABLE k REPLICA IDENTITY FULL";

async fn both_ways(ctx: Ctx) -> Result<()> {
    let (left, right) = (server().await?, server().await?);
    let (left, right) = (
        left.create_database("one").await.map(|d| (left, d))?,
        right.create_database("two").await.map(|d| (right, d))?,
    );
    let ((_left_server, left), (_right_server, right)) = (left, right);
    for side in [&left, &right] {
        // Of all tables: also of those in which each feed keeps its position at the other's source.
        side.execute(&format!("{TABLES}; CREATE PUBLICATION p FOR ALL TABLES")).await?;
        create_slot(&mut side.connect().await?, "s").await?;
    }
    let flags = ["--skipOrigins", "cdc_feed", "--replicationOrigin", "cdc_feed", "--onTruncate", "apply"];
    let mut there = ServiceProcess::start(feed("there", &left, &right, &flags), ctx.folder()).await?;
    let mut back = ServiceProcess::start(feed("back", &right, &left, &flags), ctx.folder()).await?;
    for round in 0..10 {
        let odd = |side: usize| {
            format!(
                "INSERT INTO t SELECT {round} * 1000 + i * 2 + {side}, {side} FROM generate_series(1, 100) i; \
             INSERT INTO k SELECT 'k{side}' FROM generate_series(1, 10); UPDATE t SET v = v + 10 WHERE id % 2 = {side} AND id % 3 = 0; \
             DELETE FROM k WHERE ctid = (SELECT min(ctid) FROM k WHERE v = 'k{side}')"
            )
        };
        left.execute(&odd(0)).await?;
        right.execute(&odd(1)).await?;
        if round == 5 {
            there.kill9().await?;
            there.start_again().await?;
        }
    }
    // One that is too large for a statement goes in parts.
    left.execute("INSERT INTO t SELECT 1000000 + i * 2, 0 FROM generate_series(1, 20000) i").await?;
    wait::eventually(CATCH_UP, "both sides have what the other has", async || {
        let rows =
            (number(&left, "SELECT count(*) FROM t").await?, number(&right, "SELECT count(*) FROM t").await?);
        ensure!(rows == (22_000, 22_000), "{rows:?}");
        for table in ["public.t", "public.k"] {
            ensure!(fingerprint(&left, table).await? == fingerprint(&right, table).await?, "{table}");
        }
        Ok::<_, anyhow::Error>(())
    })
    .await
    .with_context(|| format!("{}\n{}", there.log_tail(), back.log_tail()))?;
    // A loop would count the rows without a key again and again, and would never come to rest.
    ensure!(number(&left, "SELECT count(*) FROM k").await? == 180);
    let changes = async |process: &ServiceProcess| {
        Ok::<_, anyhow::Error>(crate::support::pair::state(process).await?["changes"].as_u64())
    };
    let before = (changes(&there).await?, changes(&back).await?);
    left.execute("INSERT INTO t VALUES (-2, 0)").await?;
    right.execute("INSERT INTO t VALUES (-1, 0)").await?;
    wait::eventually(CATCH_UP, "one row each", async || {
        let after = (changes(&there).await?, changes(&back).await?);
        ensure!(after == (before.0.map(|n| n + 1), before.1.map(|n| n + 1)), "{before:?} {after:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    for process in [&mut there, &mut back] {
        ensure!(process.terminate(std::time::Duration::from_secs(10)).await? == Some(0));
        ensure!(
            process.unexpected_lines(&["the feed was interrupted"])?.is_empty(),
            "{:?}",
            process.unexpected_lines(&[])?
        );
    }
    Ok(())
}

/// The source is itself the target of a feed, which keeps its books in tables with keys.
async fn books(ctx: Ctx) -> Result<()> {
    let (left, right) = (server().await?, server().await?);
    let (source, target) = (left.create_database("one").await?, right.create_database("two").await?);
    for side in [&source, &target] {
        side.execute("CREATE TABLE t (id int PRIMARY KEY, v int)").await?;
    }
    target.execute("CREATE PUBLICATION p FOR TABLE t").await?;
    create_slot(&mut target.connect().await?, "s").await?;
    let flags = ["--skipOrigins", "any", "--replicationOrigin", "cdc_feed"];
    let mut back = ServiceProcess::start(feed("back", &target, &source, &flags), ctx.folder()).await?;
    ensure!(number(&source, "SELECT count(*) FROM _cdc_sink.positions").await? == 1);
    source.execute("CREATE TABLE made (id int PRIMARY KEY); INSERT INTO made VALUES (1)").await?;
    source.execute("INSERT INTO t VALUES (1, 1)").await?;
    let copied = async |to: &Database| -> Result<()> {
        wait::eventually(CATCH_UP, "the copy", async || {
            ensure!(fingerprint(to, "public.made").await? == ["(1)"]);
            ensure!(fingerprint(to, "public.t").await? == ["(1,1)"]);
            Ok::<_, anyhow::Error>(())
        })
        .await?;
        let ours = "SELECT string_agg(source_schema || '.' || source_table, ' ' ORDER BY 1) FROM _cdc_sink.snapshots";
        let noted: String = sqlx::query_scalar(ours).fetch_one(&mut to.connect().await?).await?;
        ensure!(noted == "public.made public.t" || noted == "public.t public.made", "{noted}");
        Ok(())
    };
    // Of all tables, and in a publication that is made.
    source.execute("CREATE PUBLICATION p FOR ALL TABLES").await?;
    let copy = ["--snapshotMode", "initial", "--createTables", "--skipOrigins", "any"];
    let mut there = ServiceProcess::start(feed("there", &source, &target, &copy), ctx.folder()).await?;
    copied(&target).await.with_context(|| there.log_tail())?;
    ensure!(there.terminate(std::time::Duration::from_secs(10)).await? == Some(0));
    let other = right.create_database("three").await?;
    let conns = ["start", "--sourceConn", source.url(), "--targetConn", other.url(), "--loopName", "made"];
    let made = Service::new("cdc-pglogical").named("made").bind_flag("--metricsAddr").args(conns);
    let made = made.args(["--publicationName", "made", "--slotName", "made"]).args(copy);
    let there = ServiceProcess::start(made, ctx.folder()).await?;
    copied(&other).await.with_context(|| there.log_tail())?;
    ensure!(back.terminate(std::time::Duration::from_secs(10)).await? == Some(0));
    Ok(())
}

async fn named(ctx: Ctx) -> Result<()> {
    let (left, right) = (server().await?, server().await?);
    let (source, target) = (left.create_database("one").await?, right.create_database("two").await?);
    for side in [&source, &target] {
        side.execute(TABLES).await?;
    }
    source.execute("CREATE PUBLICATION p FOR TABLE t").await?;
    create_slot(&mut source.connect().await?, "s").await?;
    for (at, origin) in ["east", "west"].iter().enumerate() {
        let sql = format!(
            "SELECT pg_replication_origin_create('{origin}'); SELECT pg_replication_origin_session_setup('{origin}')"
        );
        let mut session = source.connect().await?;
        for sql in [sql, format!("INSERT INTO t VALUES ({at}, 1)")] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut session).await?;
        }
    }
    source.execute("INSERT INTO t VALUES (2, 1)").await?;
    let process =
        ServiceProcess::start(feed("f", &source, &target, &["--skipOrigins", "south,west"]), ctx.folder())
            .await?;
    wait::eventually(CATCH_UP, "the rows", async || {
        let found = fingerprint(&target, "public.t").await?;
        ensure!(found == ["(0,1)", "(2,1)"], "{found:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await
    .with_context(|| process.log_tail())?;
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}
