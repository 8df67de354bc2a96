//! Immediate mode against a loop that upserts the same rows with binary typed arrays: equal batches, equal
//! connections, one transaction per batch, every key written twice.

use std::time::Duration;

use anyhow::{Result, ensure};
use sqlx::{AssertSqlSafe, Connection};
use tests::harness::database::Database;

use crate::context::{Bench, DATABASE, PATH, Side, number, rate};
use crate::figure::{Figure, Target};
use crate::load::{self, Request};
use crate::rows::{Body, NARROW, Row, Times, random};
use crate::wire::{self, Session, array};

const BATCH_ROWS: usize = 500;
const CONNECTIONS: usize = 4;

const UPSERT: &str = "INSERT INTO t (id, a, b, c, d) \
                      SELECT * FROM unnest($1::int8[], $2::int4[], $3::text[], $4::float8[], $5::bool[]) \
                      ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = excluded.b, c = excluded.c, d = excluded.d";

struct Batches {
    first: Request,
    /// Two rounds over the same keys. The second begins when the first is done: batches of one round share no key.
    rounds: [Vec<(Request, Vec<Row>)>; 2],
    rows: usize,
}

/// See the module.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let batches = render(bench.size(200_000, 50_000))?;
    let forms: [(&'static str, &[&str], f64); 2] = [
        ("immediate, guard : unnest loop", &["--immediate"], 0.6),
        ("immediate, assumeIdempotent : loop", &["--immediate", "--assumeIdempotent"], 0.7),
    ];
    let mut figures = Vec::new();
    for (name, flags, target) in forms {
        let pairs = bench
            .pairs(async |side| match side {
                Side::Ours => ours(bench, &batches, flags).await,
                Side::Rival => rival(bench, &batches).await,
            })
            .await?;
        let what = "unnest upsert loop, binary arrays";
        let note = format!("{} rows in batches of {BATCH_ROWS} over {CONNECTIONS} connections", batches.rows);
        figures.push(Figure::ratio(name, what, &pairs, Target::AtLeast(target)).note(note));
    }
    Ok(figures)
}

fn render(rows: usize) -> Result<Batches> {
    let (mut rng, mut times, mut body) = (random(), Times::begin()?, Body::new());
    let row = Row::random(&mut rng, -1);
    body.push("t", row.id, &row.json(), times.tick());
    let first = body.take(PATH);
    let mut round = || -> Result<Vec<(Request, Vec<Row>)>> {
        let mut batches = Vec::new();
        for batch in 0..rows / 2 / BATCH_ROWS {
            let nanos = times.tick();
            let ids = (0..BATCH_ROWS).map(|at| i64::try_from(batch * BATCH_ROWS + at));
            let rows = ids.map(|id| Ok(Row::random(&mut rng, id?))).collect::<Result<Vec<_>>>()?;
            rows.iter().for_each(|row| body.push("t", row.id, &row.json(), nanos));
            batches.push((body.take(PATH), rows));
        }
        Ok(batches)
    };
    let rounds = [round()?, round()?];
    let rows = rounds.iter().flatten().map(|(_, rows)| rows.len()).sum();
    Ok(Batches { first, rounds, rows })
}

async fn ours(bench: &Bench, batches: &Batches, flags: &[&str]) -> Result<f64> {
    let database = bench.database(&format!("CREATE TABLE t {NARROW}")).await?;
    let service = bench.service("immediate", flags).await?;
    let address = service.address();
    // Sets the mode and makes the guard table.
    tokio::task::block_in_place(|| load::send_one(address, &batches.first))?;
    let took = tokio::task::block_in_place(|| {
        let mut senders =
            (0..CONNECTIONS).map(|_| load::Sender::connect(address)).collect::<Result<Vec<_>>>()?;
        rounds(batches, &mut senders, |sender, (request, _)| sender.send(request))
    })?;
    check(&database, batches, 1).await?;
    bench.end(service, &[]).await?;
    Ok(rate(batches.rows, took))
}

async fn rival(bench: &Bench, batches: &Batches) -> Result<f64> {
    let database = bench.database(&format!("CREATE TABLE t {NARROW}")).await?;
    let address = bench.server.address();
    let took = tokio::task::block_in_place(|| {
        let mut sessions = (0..CONNECTIONS)
            .map(|_| {
                let mut session = Session::connect(address, DATABASE)?;
                session.execute("SET jit = off")?;
                session.prepare(UPSERT)?;
                Ok(session)
            })
            .collect::<Result<Vec<_>>>()?;
        rounds(batches, &mut sessions, |session, (_, rows)| session.run(&arrays(rows)))
    })?;
    check(&database, batches, 0).await?;
    Ok(rate(batches.rows, took))
}

fn rounds<C: Send>(
    batches: &Batches,
    connections: &mut [C],
    work: impl Fn(&mut C, &(Request, Vec<Row>)) -> Result<()> + Sync,
) -> Result<Duration> {
    let mut took = Duration::ZERO;
    for round in &batches.rounds {
        took += load::in_threads(connections, round, &work)?;
    }
    Ok(took)
}

fn arrays(rows: &[Row]) -> Vec<Vec<u8>> {
    vec![
        array(wire::INT8, rows.iter().map(|row| row.id.to_be_bytes())),
        array(wire::INT4, rows.iter().map(|row| row.a.to_be_bytes())),
        array(wire::TEXT, rows.iter().map(|row| row.b.as_bytes())),
        array(wire::FLOAT8, rows.iter().map(|row| row.c.to_be_bytes())),
        array(wire::BOOL, rows.iter().map(|row| [u8::from(row.d)])),
    ]
}

/// The table holds the second round.
async fn check(database: &Database, batches: &Batches, more: usize) -> Result<()> {
    let mut connection = database.connect().await?;
    let count = number(&mut connection, "SELECT count(*) FROM t").await?;
    ensure!(usize::try_from(count)? == batches.rows / 2 + more, "{count} rows were written");
    if let Some(row) = batches.rounds[1].last().and_then(|(_, rows)| rows.last()) {
        let sql = format!("SELECT b FROM t WHERE id = {}", row.id);
        let found: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await?;
        ensure!(found == row.b, "the last row is {found:?} instead of {:?}", row.b);
    }
    Ok(connection.close().await?)
}
