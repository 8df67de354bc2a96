//! `cdc-pglogical` between two real servers: the everyday cases.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::harness::http::Client;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::support::pair::Pair;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
    vec![
        scenario("pglogical_changes_arrive", NEEDS, changes_arrive),
        scenario("pglogical_documented_procedure_works_as_printed", NEEDS, by_hand),
        scenario("pglogical_immediate_mode_ends_equal", NEEDS, immediate),
        scenario("pglogical_backfill_ends_by_itself", NEEDS, backfill),
    ]
}

async fn changes_arrive(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, a text, b numeric(10, 2))").await?;
    pair.publish("FOR ALL TABLES").await?;
    let mut process = pair.run().await?;
    pair.origin.execute("INSERT INTO t SELECT i, 'x' || i, i FROM generate_series(1, 20000) i").await?;
    pair.origin
        .execute("UPDATE t SET a = NULL WHERE id % 3 = 0; DELETE FROM t WHERE id % 7 = 0; UPDATE t SET id = -id WHERE id % 5 = 0")
        .await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    let status = process.terminate(SOON).await?;
    ensure!(status == Some(0), "ended with {status:?}");

    // What happens meanwhile is carried by the next process.
    pair.origin.execute("INSERT INTO t VALUES (1000001, 'later', 1)").await?;
    process.start_again().await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

/// Rows of many keys, among them keys that change, written by several connections.
async fn immediate(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, TWO_TABLES).await?;
    pair.publish("FOR ALL TABLES").await?;
    let mut process =
        ServiceProcess::start(pair.service().args(["--immediate", "--fanShards", "4"]), pair.folder())
            .await?;
    pair.origin.execute(LOAD).await?;
    pair.caught_up().await?;
    pair.same(&["public.a", "public.b"]).await?;
    ensure!(is_torn(&pair).await?, "the target is not noted as torn");

    // Without the flag, transactions are kept together again as soon as nothing lies beyond the position.
    process.terminate(SOON).await?;
    pair.origin
        .execute("UPDATE a SET v = v + 1; INSERT INTO b SELECT i, 1 FROM generate_series(50001, 50100) i")
        .await?;
    process = pair.run().await?;
    pair.caught_up().await?;
    wait::eventually(SOON, "transactions are kept together", async || {
        ensure!(!is_torn(&pair).await?, "still torn");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    pair.same(&["public.a", "public.b"]).await?;
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

/// A feed that is far behind does not keep transactions together, until it has come close.
async fn backfill(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, TWO_TABLES).await?;
    pair.publish("FOR ALL TABLES").await?;
    pair.origin.execute(LOAD).await?;
    let process =
        ServiceProcess::start(pair.service().args(["--backfillWindow", "1h"]), pair.folder()).await?;
    pair.caught_up().await?;
    pair.same(&["public.a", "public.b"]).await?;
    wait::eventually(SOON, "transactions are kept together", async || {
        ensure!(!is_torn(&pair).await?, "still torn");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    let log = std::fs::read_to_string(process.log())?;
    ensure!(log.contains("keeping transactions together"), "it never said so");
    pair.origin.execute("UPDATE a SET v = -v").await?;
    pair.caught_up().await?;
    pair.same(&["public.a"]).await?;
    ensure!(!is_torn(&pair).await?, "torn by a feed that is not behind");
    Ok(())
}

const TWO_TABLES: &str = "CREATE TABLE a (id int PRIMARY KEY, v int NOT NULL, pad text); CREATE TABLE b (id int PRIMARY KEY, a int)";
const LOAD: &str = "INSERT INTO a SELECT i, i, repeat('x', 50) FROM generate_series(1, 30000) i; \
                    INSERT INTO b SELECT i, i FROM generate_series(1, 30000) i; \
                    UPDATE a SET v = v + 1 WHERE id % 2 = 0; DELETE FROM b WHERE id % 5 = 0; \
                    UPDATE b SET id = -id WHERE id % 7 = 0";
const SOON: Duration = Duration::from_secs(20);

async fn is_torn(pair: &Pair) -> Result<bool> {
    let mut target = pair.target.connect().await?;
    Ok(sqlx::query_scalar("SELECT torn FROM _cdc_sink.positions").fetch_one(&mut target).await?)
}

/// The statements and flags of the original's documents, in their order; the copy is made in the exported snapshot while
/// the source is written.
async fn by_hand(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, TWO_TABLES).await?;
    pair.origin.execute(LOAD).await?;
    pair.origin.execute("CREATE PUBLICATION my_pub FOR ALL TABLES;").await?;
    pair.origin.execute("SELECT pg_create_logical_replication_slot('cdc_sink', 'pgoutput');").await?;
    pair.origin.execute("UPDATE a SET v = v + 100 WHERE id % 11 = 0").await?;
    let mut exporter = pair.origin.connect().await?;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut exporter).await?;
    let snapshot: String =
        sqlx::query_scalar("SELECT pg_export_snapshot();").fetch_one(&mut exporter).await?;
    pair.origin.execute("DELETE FROM a WHERE id % 13 = 0; INSERT INTO b VALUES (900000, 1)").await?;
    let (mut source, mut target) = (pair.origin.connect().await?, pair.target.connect().await?);
    let import = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{snapshot}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(import)).execute(&mut source).await?;
    let rows: Vec<(i32, i32, Option<String>)> =
        sqlx::query_as("SELECT id, v, pad FROM a").fetch_all(&mut source).await?;
    let (ids, (values, pads)): (Vec<_>, (Vec<_>, Vec<_>)) =
        rows.into_iter().map(|(id, v, pad)| (id, (v, pad))).unzip();
    sqlx::query("INSERT INTO a SELECT * FROM unnest($1::int[], $2::int[], $3::text[])")
        .bind(ids)
        .bind(values)
        .bind(pads)
        .execute(&mut target)
        .await?;
    let rows: Vec<(i32, Option<i32>)> = sqlx::query_as("SELECT id, a FROM b").fetch_all(&mut source).await?;
    let (ids, values): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    sqlx::query("INSERT INTO b SELECT * FROM unnest($1::int[], $2::int[])")
        .bind(ids)
        .bind(values)
        .execute(&mut target)
        .await?;

    let server = pair.target.url().rsplit_once('/').map_or(pair.target.url(), |(server, _)| server);
    let flags = ["start", "--publicationName", "my_pub", "--sourceConn", pair.origin.url(), "--targetConn"];
    let service = Service::new("cdc-pglogical").bind_flag("--metricsAddr").args(flags);
    let service = service.args([&format!("{server}/"), "--targetDB", pair.target.name()]);
    let mut process = ServiceProcess::start(service, pair.folder()).await?;
    pair.caught_up().await?;
    pair.same(&["public.a", "public.b"]).await?;
    let mut operator = Client::connect(process.address()).await?;
    let (_, metrics) = operator.get("/_/varz").await?;
    ensure!(String::from_utf8_lossy(&metrics).contains("flow_transactions_total"), "no metrics at /_/varz");
    ensure!(&operator.get("/_/healthz").await?.1[..] == b"OK", "not healthy");
    ensure!(process.terminate(SOON).await? == Some(0), "it did not stop in good order");
    pair.origin.execute("SELECT pg_drop_replication_slot('cdc_sink');").await?;
    pair.origin.execute("DROP PUBLICATION my_pub;").await
}
