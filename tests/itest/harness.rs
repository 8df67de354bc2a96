//! Proves the harness itself: a test that trusts a broken crash or a broken proxy proves nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::{Connection, PgConnection};
use tests::harness::database::Database;
use tests::harness::postgres::{PostgresServer, Settings, Shutdown};
use tests::harness::proxy::{Fault, Proxy};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("harness_a_cluster_survives_stops_and_crashes", &[Need::PostgresBinaries], crashes),
        scenario("harness_each_scenario_has_its_own_database", &[Need::Postgres], own_database),
        scenario("harness_a_lost_answer_is_a_done_deed", &[Need::Postgres], lost_answer),
        scenario("harness_a_proxy_cuts_and_refuses", &[Need::Postgres], cuts).single_threaded(),
        scenario("harness_cockroach_answers", &[Need::Cockroach], cockroach),
    ]
}

async fn count(database: &Database) -> Result<i64> {
    let mut connection = database.connect().await?;
    Ok(sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut connection).await?)
}

async fn version(database: &Database) -> Result<String> {
    let mut connection = database.connect().await?;
    Ok(sqlx::query_scalar("SELECT version()").fetch_one(&mut connection).await?)
}

async fn crashes(_: Ctx) -> Result<()> {
    let mut server = PostgresServer::start(&Settings::default()).await?;
    let database = server.create_database("crashes").await?;
    ensure!(version(&database).await?.contains("PostgreSQL"));
    database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await?;
    server.restart(Shutdown::Fast).await?;
    ensure!(count(&database).await? == 1);
    database.execute("INSERT INTO t VALUES (2)").await?;
    server.restart(Shutdown::Immediate).await?;
    ensure!(count(&database).await? == 2);

    // An open session, with a change that was never committed.
    let mut open = database.connect().await?;
    sqlx::raw_sql("BEGIN; INSERT INTO t VALUES (99)").execute(&mut open).await?;
    database.execute("INSERT INTO t VALUES (3)").await?;
    server.kill9().await?;
    ensure!(open.ping().await.is_err());
    ensure!(database.connect().await.is_err());
    server.start_again().await?;
    ensure!(count(&database).await? == 3);
    server.stop(Shutdown::Fast).await
}

async fn own_database(ctx: Ctx) -> Result<()> {
    let mut connection = ctx.target().connect().await?;
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut connection).await?;
    ensure!(name == ctx.target().name() && name.starts_with(ctx.name()));
    let setting = |name: &'static str| sqlx::query_scalar::<_, String>(name);
    ensure!(setting("SHOW fsync").fetch_one(&mut connection).await? == "on");
    ensure!(setting("SHOW server_encoding").fetch_one(&mut connection).await? == "UTF8");
    let version = version(ctx.target()).await?;
    println!("postgres: {version}");
    Ok(())
}

async fn lost_answer(ctx: Ctx) -> Result<()> {
    let database = ctx.target();
    database.execute("CREATE TABLE t (id int PRIMARY KEY)").await?;
    let proxy = Proxy::start(database.address()?).await?;
    // Offers encryption first, as the services do.
    let url = database.url_through(proxy.address()).replace("sslmode=disable", "sslmode=prefer");

    proxy.lose_answer("commit");
    let mut connection = PgConnection::connect(&url).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO t VALUES ($1)").bind(1).execute(&mut *transaction).await?;
    ensure!(transaction.commit().await.is_err(), "the answer came through");
    ensure!(count(database).await? == 1, "the work was not done");

    let mut connection = PgConnection::connect(&url).await?;
    let insert = async |connection: &mut PgConnection, id: i32| {
        sqlx::query("INSERT INTO t VALUES ($1)").bind(id).execute(connection).await
    };
    // The second execution is of a statement prepared before the fault was planned.
    insert(&mut connection, 2).await?;
    proxy.lose_answer("insert into t");
    ensure!(insert(&mut connection, 3).await.is_err(), "the answer came through");
    ensure!(count(database).await? == 3, "the work was not done");

    let mut connection = PgConnection::connect(&url).await?;
    proxy.arm(Fault::LoseRequest, "insert into t");
    ensure!(insert(&mut connection, 4).await.is_err(), "the request came through");
    ensure!(count(database).await? == 3, "the work was done");
    proxy.wait_fired(3, Duration::from_secs(5)).await
}

async fn cuts(ctx: Ctx) -> Result<()> {
    let database = ctx.target();
    let proxy = Proxy::start(database.address()?).await?;
    let url = database.url_through(proxy.address());
    let mut one = PgConnection::connect(&url).await?;
    let mut two = PgConnection::connect(&url).await?;
    ensure!(proxy.open() == 2);
    proxy.refuse();
    ensure!(PgConnection::connect(&url).await.is_err());
    one.ping().await.context("an open connection is not touched by refusing new ones")?;
    proxy.cut_all();
    ensure!(one.ping().await.is_err() && two.ping().await.is_err());
    proxy.allow();
    PgConnection::connect(&url).await?.ping().await?;
    Ok(())
}

async fn cockroach(ctx: Ctx) -> Result<()> {
    ensure!(version(ctx.target()).await?.contains("CockroachDB"));
    Ok(())
}
