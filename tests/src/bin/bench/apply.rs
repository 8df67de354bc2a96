//! Resolve and apply: staged rows of three tables, then one mark, against one set-based statement per table run by
//! hand in one transaction on a copy of the same staging tables, into equal tables of the same database.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::context::{Bench, PATH, Side, number, rate, until_applied};
use crate::figure::{Figure, Pair, Target};
use crate::load::{self, Request};
use crate::rows::{Body, NARROW, Row, Times, random};

const TABLES: usize = 3;
/// Rows of a request.
pub(crate) const BATCH_ROWS: usize = 5_000;
const COMMIT_ROWS: usize = 10;
/// Of a hundred rows, how many update and how many delete an earlier one.
const UPDATES: usize = 13;
const DELETES: usize = 2;

/// Rows to stage, and the mark that covers them.
pub(crate) struct Staged {
    pub(crate) requests: Vec<Request>,
    pub(crate) rows: usize,
    pub(crate) upto: i64,
}

impl Staged {
    /// Posts all rows.
    pub(crate) fn stage(&self, address: SocketAddr) -> Result<()> {
        tokio::task::block_in_place(|| load::send_all(address, &self.requests, 2)).map(drop)
    }

    /// Posts the mark and waits until all rows are visible; answers their rate.
    pub(crate) async fn apply(&self, address: SocketAddr, connection: &mut PgConnection) -> Result<f64> {
        let mark = Request::mark(PATH, self.upto);
        let begin = Instant::now();
        tokio::task::block_in_place(|| load::send_one(address, &mark))?;
        let seen = until_applied(connection, self.upto).await?;
        Ok(rate(self.rows, seen - begin))
    }
}

/// See the module.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let staged = render(bench.size(1_000_000, 150_000))?;
    let mut pairs = Vec::new();
    for at in 0..bench.pair_count() {
        let first = if at % 2 == 0 { Side::Rival } else { Side::Ours };
        pairs.push(pair(bench, &staged, first).await?);
    }
    let what = "one statement per table by hand, one transaction";
    let figure =
        Figure::ratio("resolve and apply : by hand", what, &pairs, Target::AtLeast(0.8)).note(format!(
            "{} staged rows of {TABLES} tables, {UPDATES} % updates, {DELETES} % deletes; \
                       both results were compared",
            staged.rows
        ));
    Ok(vec![figure])
}

fn render(rows: usize) -> Result<Staged> {
    let (mut rng, mut times, mut body) = (random(), Times::begin()?, Body::new());
    // New keys count up; changed ones are met in order, so that no commit has a key twice.
    let (mut fresh, mut changed) = ([0_i64; TABLES], [0_i64; TABLES]);
    let apart = i64::try_from(COMMIT_ROWS)?;
    let mut requests = Vec::new();
    let mut nanos = times.tick();
    for at in 0..rows {
        if at % COMMIT_ROWS == 0 {
            nanos = times.tick();
        }
        let table = at % TABLES;
        let topic = format!("t{table}");
        let kind = (at / TABLES) % 100;
        if kind < UPDATES + DELETES && changed[table] + apart < fresh[table] {
            let id = changed[table];
            changed[table] += 1;
            let after = if kind < UPDATES { Row::random(&mut rng, id).json() } else { "null".to_owned() };
            body.push(&topic, id, &after, nanos);
        } else {
            let row = Row::random(&mut rng, fresh[table]);
            fresh[table] += 1;
            body.push(&topic, row.id, &row.json(), nanos);
        }
        if body.rows() == BATCH_ROWS {
            requests.push(body.take(PATH));
        }
    }
    if body.rows() > 0 {
        requests.push(body.take(PATH));
    }
    Ok(Staged { requests, rows, upto: times.last() })
}

async fn pair(bench: &Bench, staged: &Staged, first: Side) -> Result<Pair> {
    let tables = |schema: &str| {
        (0..TABLES).map(|at| format!("CREATE TABLE {schema}.t{at} {NARROW};")).collect::<String>()
    };
    let ddl = format!("CREATE SCHEMA rival; {} {}", tables("public"), tables("rival"));
    let database = bench.database(&ddl).await?;
    let service = bench.service("apply", &[]).await?;
    let address = service.address();
    staged.stage(address)?;
    let mut connection = database.connect().await?;
    copy_staging(&mut connection, staged.rows).await?;
    let mut pair = Pair { ours: 0.0, rival: 0.0 };
    for side in [first, if first == Side::Ours { Side::Rival } else { Side::Ours }] {
        bench.checkpoint().await?;
        match side {
            Side::Ours => pair.ours = staged.apply(address, &mut connection).await?,
            Side::Rival => pair.rival = rival(&mut connection, staged).await?,
        }
    }
    for at in 0..TABLES {
        let sum = |schema: &str| {
            format!("SELECT sum(hashtextextended(t::text, 0))::numeric::text FROM {schema}.t{at} t")
        };
        let mut sums: Vec<Option<String>> = Vec::new();
        for schema in ["public", "rival"] {
            sums.push(sqlx::query_scalar(AssertSqlSafe(sum(schema))).fetch_one(&mut connection).await?);
        }
        ensure!(sums[0] == sums[1] && sums[0].is_some(), "both sides disagree on table t{at}: {sums:?}");
    }
    connection.close().await?;
    bench.end(service, &[]).await?;
    Ok(pair)
}

/// The rival reads its own copy, because ours is emptied after it was applied.
async fn copy_staging(connection: &mut PgConnection, rows: usize) -> Result<()> {
    let mut copied = 0;
    for at in 0..TABLES {
        let find = "SELECT staging_table FROM _cdc_sink.staged_tables WHERE target_table = $1";
        let table: String =
            sqlx::query_scalar(find).bind(format!("t{at}")).fetch_one(&mut *connection).await?;
        let statements = [
            format!("CREATE TABLE rival.s{at} (LIKE _cdc_sink.\"{table}\" INCLUDING ALL)"),
            format!("INSERT INTO rival.s{at} SELECT * FROM _cdc_sink.\"{table}\""),
            format!("VACUUM ANALYZE rival.s{at}"),
        ];
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement.clone()))
                .execute(&mut *connection)
                .await
                .context(statement)?;
        }
        copied += number(connection, &format!("SELECT count(*) FROM rival.s{at}")).await?;
    }
    ensure!(usize::try_from(copied)? == rows, "{copied} rows were staged");
    Ok(())
}

async fn rival(connection: &mut PgConnection, staged: &Staged) -> Result<f64> {
    let begin = Instant::now();
    let mut tx = connection.begin().await?;
    // What the service's own sessions have, as far as it helps here.
    sqlx::raw_sql("SET LOCAL work_mem = '32MB'").execute(&mut *tx).await?;
    for at in 0..TABLES {
        let sql = format!(
            "WITH latest AS MATERIALIZED (SELECT DISTINCT ON (key) key, mut FROM rival.s{at} \
             WHERE (nanos, logical) > (0, 0) AND (nanos, logical) <= ({upto}, 0) \
             ORDER BY key, nanos DESC, logical DESC), \
             gone AS (DELETE FROM rival.t{at} t USING latest l \
             WHERE l.mut = 'null' AND t.id = (l.key::json->>0)::int8) \
             INSERT INTO rival.t{at} (id, a, b, c, d) SELECT r.id, r.a, r.b, r.c, r.d FROM latest l, \
             json_to_record(l.mut::json) AS r(id int8, a int4, b text, c float8, d bool) WHERE l.mut <> 'null' \
             ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = excluded.b, c = excluded.c, d = excluded.d",
            upto = staged.upto
        );
        sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut *tx).await.context(sql)?;
    }
    tx.commit().await?;
    Ok(rate(staged.rows, begin.elapsed()))
}
