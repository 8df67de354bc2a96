//! What scenarios about the initial snapshot share: writers at the source, a gate that a copy waits at, and a strict target.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tests::harness::database::Database;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::wait;
use tokio::task::JoinSet;

use super::pair::Pair;

/// Longest wait for a state of the snapshot.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Writers at the same time; each has keys of its own.
const WRITERS: u64 = 3;
/// Keys that writers choose from.
const KEYS: u64 = 60_000;
/// Number of the lock that a copy waits for at the row with key -1.
const GATE: i64 = 4711;

/// Tables with a version that never falls, not even over a deletion, and rows in them.
pub(crate) const LEDGERS: &str = "
    CREATE SEQUENCE versions;
    CREATE TABLE ledger (id int8 PRIMARY KEY, version int8 NOT NULL, note text);
    CREATE TABLE parts (id int8, version int8 NOT NULL, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
    CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (20000);
    CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (20000) TO (MAXVALUE)";

/// Half of the keys; the row of the gate is in the middle of them.
pub(crate) const FILL: &str = "
    INSERT INTO ledger SELECT i, nextval('versions'), repeat('x', (i % 90)::int) FROM generate_series(0, 29999, 2) i;
    INSERT INTO ledger VALUES (-1, nextval('versions'), 'gate');
    INSERT INTO ledger SELECT i, nextval('versions'), repeat('x', (i % 90)::int) FROM generate_series(30000, 59999, 2) i;
    INSERT INTO parts SELECT i, nextval('versions'), repeat('y', (i % 90)::int) FROM generate_series(1, 59999, 2) i";

/// The target's tables note each version that comes by. One that is not above all earlier ones of its key was replayed,
/// unless the table was emptied meanwhile.
const STRICT: &str = "
    CREATE TABLE seen (tab text, id int8, version int8, PRIMARY KEY (tab, id));
    CREATE TABLE violations (tab text, id int8, version int8, what text);
    CREATE FUNCTION strict() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE noted bool;
    BEGIN
        INSERT INTO public.seen AS s VALUES (TG_TABLE_NAME, NEW.id, NEW.version)
            ON CONFLICT (tab, id) DO UPDATE SET version = excluded.version WHERE s.version < excluded.version
            RETURNING true INTO noted;
        IF noted IS NULL THEN
            INSERT INTO public.violations VALUES (TG_TABLE_NAME, NEW.id, NEW.version, TG_OP);
        END IF;
        RETURN NULL;
    END $$;
    CREATE FUNCTION emptied() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN DELETE FROM public.seen WHERE tab = TG_TABLE_NAME; RETURN NULL; END $$;
    CREATE TRIGGER emptied AFTER TRUNCATE ON ledger FOR EACH STATEMENT EXECUTE FUNCTION emptied();
    CREATE TRIGGER emptied AFTER TRUNCATE ON parts FOR EACH STATEMENT EXECUTE FUNCTION emptied();
    CREATE TRIGGER strict AFTER INSERT OR UPDATE ON ledger FOR EACH ROW EXECUTE FUNCTION strict();
    CREATE TRIGGER strict AFTER INSERT OR UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION strict()";

/// Tables like those of [`LEDGERS`]; the partitioned one is in one piece.
const TARGET: &str = "
    CREATE TABLE ledger (id int8 PRIMARY KEY, version int8 NOT NULL, note text);
    CREATE TABLE parts (id int8 PRIMARY KEY, version int8 NOT NULL, note text)";

/// More rows after that of the gate than the buffers between two servers hold.
pub(crate) const MORE: &str = "INSERT INTO ledger SELECT i, nextval('versions'), repeat(md5(i::text), 50) \
                               FROM generate_series(100000, 130000) i";

/// What a target with triggers is warned of.
pub(crate) const TRIGGERS: &str = "triggers at the target fire";

/// Makes the tables of [`LEDGERS`] on both sides and fills the source's.
pub(crate) async fn ledgers(pair: &Pair) -> Result<()> {
    pair.origin.execute(LEDGERS).await?;
    pair.origin.execute(FILL).await?;
    pair.target.execute(TARGET).await?;
    pair.target.execute(STRICT).await?;
    gate(&pair.target, "ledger").await
}

/// Lets whoever writes the row with key -1 into a table wait while a [`Gate`] is closed.
pub(crate) async fn gate(target: &Database, table: &str) -> Result<()> {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NEW; END $$;
         CREATE TRIGGER gate BEFORE INSERT ON {table} FOR EACH ROW WHEN (NEW.id = -1) EXECUTE FUNCTION gate()"
    );
    target.execute(&sql).await
}

/// A closed gate.
pub(crate) struct Gate {
    connection: PgConnection,
}

impl Gate {
    pub(crate) async fn close(target: &Database) -> Result<Gate> {
        let mut connection = target.connect().await?;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(GATE).execute(&mut connection).await?;
        Ok(Gate { connection })
    }

    /// Waits until a copy has come to it.
    pub(crate) async fn wait_for_copy(&mut self) -> Result<()> {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock' AND wait_event = 'advisory' AND query LIKE 'COPY%'";
        let connection = &mut self.connection;
        wait::eventually(LIMIT, "a copy to come to the gate", async || {
            let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
            ensure!(waiting == 1, "{waiting} wait");
            Ok::<_, anyhow::Error>(())
        })
        .await
    }

    pub(crate) async fn open(self) -> Result<()> {
        self.connection.close().await.context("cannot open the gate")
    }
}

/// Writers that insert, update, delete and roll back at random until they are stopped.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    tasks: JoinSet<Result<()>>,
}

impl Writers {
    pub(crate) fn start(source: &Database) -> Writers {
        let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let (source, stop, committed) = (source.clone(), Arc::clone(&stop), Arc::clone(&committed));
            tasks.spawn(async move {
                let mut connection = source.connect().await?;
                // Nothing here depends on commits outliving a crash of the source.
                connection.execute("SET synchronous_commit = off").await?;
                let mut rng = StdRng::seed_from_u64(writer);
                while !stop.load(Ordering::SeqCst) {
                    connection.execute(sqlx::raw_sql(AssertSqlSafe(transaction(&mut rng, writer)))).await?;
                    committed.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            });
        }
        Writers { stop, committed, tasks }
    }

    /// Waits for so many more transactions.
    pub(crate) async fn wait_for(&self, more: u64) -> Result<()> {
        let goal = self.committed.load(Ordering::SeqCst) + more;
        wait::eventually(LIMIT, "the writers to write", async || {
            let now = self.committed.load(Ordering::SeqCst);
            if now >= goal { Ok(()) } else { Err(format!("{now} of {goal}")) }
        })
        .await
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(writer) = self.tasks.join_next().await {
            writer.context("a writer panicked")??;
        }
        Ok(())
    }
}

/// One transaction of a few steps on keys of this writer.
fn transaction(rng: &mut StdRng, writer: u64) -> String {
    let mut sql = "BEGIN;".to_owned();
    for _ in 0..rng.random_range(1..=4) {
        let table = if rng.random_bool(0.5) { "ledger" } else { "parts" };
        let id = rng.random_range(0..KEYS / WRITERS) * WRITERS + writer;
        let note = "n".repeat(rng.random_range(0..40));
        sql.push_str(&match rng.random_range(0..10) {
            0..3 => {
                format!(
                    "INSERT INTO {table} VALUES ({id}, nextval('versions'), '{note}') ON CONFLICT DO NOTHING;"
                )
            }
            3..8 => {
                format!("UPDATE {table} SET version = nextval('versions'), note = '{note}' WHERE id = {id};")
            }
            _ => format!("DELETE FROM {table} WHERE id = {id};"),
        });
    }
    sql.push_str(if rng.random_bool(0.1) { "ROLLBACK" } else { "COMMIT" });
    sql
}

/// How many changes came to the target that it had already, or had newer.
pub(crate) async fn violations(target: &Database) -> Result<i64> {
    let mut connection = target.connect().await?;
    Ok(sqlx::query_scalar("SELECT count(*) FROM violations").fetch_one(&mut connection).await?)
}

/// Tables of the feed with their states, by name.
pub(crate) async fn states(target: &Database) -> Result<Vec<(String, String)>> {
    let mut connection = target.connect().await?;
    let sql = "SELECT source_table, state FROM _cdc_sink.snapshots ORDER BY source_table";
    Ok(sqlx::query_as(sql).fetch_all(&mut connection).await?)
}

/// The point of a table's copy.
pub(crate) async fn point(target: &Database, table: &str) -> Result<String> {
    let mut connection = target.connect().await?;
    let sql = "SELECT consistent_point FROM _cdc_sink.snapshots WHERE source_table = $1";
    let point: Option<String> = sqlx::query_scalar(sql).bind(table).fetch_one(&mut connection).await?;
    point.with_context(|| format!("{table} has no point"))
}

/// Waits until a table is in a state.
pub(crate) async fn wait_for_state(target: &Database, table: &str, state: &str) -> Result<()> {
    let wanted = (table.to_owned(), state.to_owned());
    wait::eventually(LIMIT, &format!("{table} to be {state}"), async || {
        let states = states(target).await?;
        ensure!(states.contains(&wanted), "{states:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await
}

/// Waits until everything is copied. A position alone says nothing: the first one is where the snapshot was taken.
pub(crate) async fn wait_until_done(target: &Database) -> Result<()> {
    wait::eventually(LIMIT, "the snapshot to be done", async || {
        let states = states(target).await?;
        let done = !states.is_empty() && states.iter().all(|(_, state)| state == "copied" || state == "gone");
        ensure!(done, "{states:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await
}

/// The program with a snapshot mode and more flags.
pub(crate) fn service(pair: &Pair, mode: &str, more: &[&str]) -> Service {
    pair.service().args(["--snapshotMode", mode]).args(more.iter().copied())
}

/// Starts the program, expects it to end by itself, and answers its exit code and what it printed.
pub(crate) async fn run_to_end(pair: &Pair, service: Service) -> Result<(Option<i32>, String)> {
    let mut process = ServiceProcess::spawn(service, pair.folder())?;
    let status = process.wait_for_exit(LIMIT).await.with_context(|| process.log_tail())?;
    Ok((status.code(), process.log_tail()))
}
