//! Data application behaviours: resolve and apply of rows with compare-and-set, a deadline, a renamed column and
//! extras, against the same rows into a table without any of these. One version per key.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::harness::Signal;
use tests::harness::http::Client;
use tests::harness::process::ServiceProcess;
use tests::harness::wait::eventually;

use crate::apply::{BATCH_ROWS, Staged};
use crate::context::{Bench, PATH, Side};
use crate::figure::{Figure, Target};
use crate::rows::{Body, Row, Times, random};

/// The same name on both sides, so that both are sent the same bytes.
const CONFIGURED: &str = "CREATE TABLE t (id int8 PRIMARY KEY, version int4 NOT NULL, at timestamptz NOT NULL, \
                          name text NOT NULL, c float8 NOT NULL, overflow jsonb NOT NULL)";
const PLAIN: &str = "CREATE TABLE t (id int8 PRIMARY KEY, version int4 NOT NULL, at timestamptz NOT NULL, \
                     title text NOT NULL, c float8 NOT NULL, d bool NOT NULL, e text NOT NULL)";
/// What the columns of both tables have in common.
const CONFIGURED_SUM: &str = "(id, version, at, name, c, overflow)";
const PLAIN_SUM: &str = "(id, version, at, title, c, jsonb_build_object('d', d, 'e', e))";
/// Far longer than a run.
const DEADLINE: &str = "1 day";
const READ_WITHIN: Duration = Duration::from_secs(20);

/// See the module.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let staged = render(bench.size(500_000, 150_000), &now(bench).await?)?;
    let mut sums = Vec::new();
    let pairs = bench.pairs(async |side| {
        let (rate, sum) = run(bench, &staged, side).await?;
        sums.push(sum);
        Ok(rate)
    });
    let pairs = pairs.await?;
    ensure!(sums.iter().all(|sum| *sum == sums[0]), "both sides disagree: {sums:?}");
    let what = "the same rows into a table without behaviours";
    let figure = Figure::ratio("apply with behaviours : plain", what, &pairs, Target::AtLeast(0.5)).note(format!(
        "{} staged rows with compare-and-set, a deadline, a renamed column and extras; one version per key; both \
         results were compared",
        staged.rows
    ));
    Ok(vec![figure])
}

/// The server's clock, which the deadline goes by.
async fn now(bench: &Bench) -> Result<String> {
    let mut connection = PgConnection::connect(&bench.server.url("postgres")).await?;
    let sql = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let now = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(now)
}

fn render(rows: usize, at: &str) -> Result<Staged> {
    let (mut rng, mut times, mut body) = (random(), Times::begin()?, Body::new());
    let mut requests = Vec::new();
    for id in 0..i64::try_from(rows)? {
        let Row { a, b, c, d, .. } = Row::random(&mut rng, id);
        let after = format!(
            "{{\"at\": \"{at}\", \"c\": {c}, \"d\": {d}, \"e\": \"{}\", \"id\": {id}, \"title\": \"{b}\", \"version\": {a}}}",
            &b[..8]
        );
        body.push("t", id, &after, times.tick());
        if body.rows() == BATCH_ROWS {
            requests.push(body.take(PATH));
        }
    }
    if body.rows() > 0 {
        requests.push(body.take(PATH));
    }
    Ok(Staged { requests, rows, upto: times.last() })
}

/// Answers the rate, and a sum over the result.
async fn run(bench: &Bench, staged: &Staged, side: Side) -> Result<(f64, String)> {
    let (ddl, columns) = match side {
        Side::Ours => (CONFIGURED, CONFIGURED_SUM),
        Side::Rival => (PLAIN, PLAIN_SUM),
    };
    let database = bench.database(ddl).await?;
    let mut service = bench.service("behaviours", &[]).await?;
    let mut connection = database.connect().await?;
    if side == Side::Ours {
        configure(&mut service, &mut connection).await?;
    }
    staged.stage(service.address())?;
    bench.checkpoint().await?;
    let rate = staged.apply(service.address(), &mut connection).await?;
    let sum = format!(
        "SELECT count(*) || ' rows, ' || sum(hashtextextended({columns}::text, 0)::numeric)::text FROM t"
    );
    let sum: String = sqlx::query_scalar(AssertSqlSafe(sum)).fetch_one(&mut connection).await?;
    connection.close().await?;
    bench.end(service, &[]).await?;
    Ok((rate, sum))
}

/// Writes the configuration and waits until it is in use.
async fn configure(service: &mut ServiceProcess, connection: &mut PgConnection) -> Result<()> {
    let insert = format!(
        "INSERT INTO _cdc_sink.apply_config \
         (target_db, target_schema, target_table, target_column, cas_order, deadline, extras, src_name) \
         SELECT current_database(), 'public', 't', c.* FROM (VALUES ('version', 1, interval '0', false, ''), \
         ('at', 0, '{DEADLINE}', false, ''), ('overflow', 0, '0', true, ''), ('name', 0, '0', false, 'title')) c"
    );
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut *connection).await.context("cannot configure")?;
    service.signal(Signal::Hup)?;
    let mut client = Client::connect(service.address()).await?;
    eventually(READ_WITHIN, "the configuration to be in use", async || {
        let (_, text) = client.get("/_/config/apply").await?;
        ensure!(String::from_utf8_lossy(&text).contains("\"active\""), "it is not");
        anyhow::Ok(())
    })
    .await
}
