//! What a batch of changes leaves in a real target: the same as its changes one by one, once, whatever gets lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sink_core::failure::Disposition;
use sink_core::flow::{
    Advance, Binding, Change, FeedName, FlowApplier, Folder, Limits, Position, PositionStore, Row, Value,
    Written,
};
use sink_core::model::{Ident, SchemaId};
use sink_core::target::Target;
use sqlx::{AssertSqlSafe, Row as _};
use tests::harness::proxy::{Fault, Proxy};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::flow_positions::connect;
use crate::support::seeded;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("changes_folded_end_like_one_by_one", &[Need::Postgres], |ctx| seeded(ctx, folded)),
        scenario("changes_of_every_type_arrive_as_they_are", &[Need::Postgres], types),
        scenario("changes_need_no_order_for_foreign_keys", &[Need::Postgres], foreign_keys),
        scenario("changes_move_unique_values_between_rows", &[Need::Postgres], unique_values),
        scenario("changes_happen_once_whatever_gets_lost", &[Need::Postgres], once),
        scenario("changes_refused_leave_rows_and_position_alone", &[Need::Postgres], refused),
    ]
}

const UPDATE_POSITIONS: &str = "UPDATE \"_cdc_sink\".\"positions\"";

/// A feed that applies what it is told.
struct Log {
    target: Target,
    applier: FlowApplier,
    schema: String,
    feed: FeedName,
    epoch: i64,
    at: u64,
    bindings: BTreeMap<String, Binding>,
    folder: Folder,
}

impl Log {
    async fn start(url: &str, schema: &str) -> Result<Log> {
        let target = connect(url).await?;
        let feed = FeedName { feed: "log".into(), scope: schema.into() };
        let store = PositionStore::new(Arc::clone(target.home()));
        let stored = store.take_over(&feed, "{}", &Position::new("0")).await?;
        let at = stored.position.as_str().parse()?;
        target.home().schema().refresh(target.home()).await?;
        Ok(Log {
            applier: FlowApplier::new(Arc::clone(target.home()))?,
            target,
            schema: schema.into(),
            feed,
            epoch: stored.epoch,
            at,
            bindings: BTreeMap::new(),
            folder: Folder::new(Limits::default()),
        })
    }

    /// Says which columns of a table the source has.
    async fn bind(&mut self, table: &str, columns: &[&str]) -> Result<()> {
        let home = self.target.home();
        let schema = SchemaId { database: home.name().clone(), schema: Ident::new(&self.schema)? };
        let known = home.schema().current(home).await?;
        let found = known.table(&schema, table).context("the table exists")?;
        self.bindings.insert(table.into(), Binding::new(Arc::clone(found), columns)?);
        Ok(())
    }

    fn push(&mut self, table: &str, make: impl FnOnce(&Binding) -> Change) {
        let binding = &self.bindings[table];
        self.folder.push(binding, make(binding));
    }

    fn insert(&mut self, table: &str, row: &[Value<'_>]) {
        self.push(table, |to| Change::Insert { key: key(to, row), row: to.row(row) });
    }

    fn update(&mut self, table: &str, row: &[Value<'_>]) {
        self.push(table, |to| Change::Update { key: key(to, row), row: to.row(row) });
    }

    fn rekey(&mut self, table: &str, from: &[Value<'_>], row: &[Value<'_>]) {
        self.push(table, |to| Change::Rekey { from: key(to, from), to: key(to, row), row: to.row(row) });
    }

    fn delete(&mut self, table: &str, row: &[Value<'_>]) {
        self.push(table, |to| Change::Delete { key: key(to, row) });
    }

    /// Applies what was collected, again as long as that may help.
    async fn commit(&mut self) -> Result<Written> {
        let nets = self.folder.take();
        let (from, to) = (Position::new(self.at.to_string()), Position::new((self.at + 1).to_string()));
        let advance =
            Advance { feed: &self.feed, from: &from, to: &to, epoch: self.epoch, source_time_micros: None };
        loop {
            match self.applier.apply(&nets, advance).await {
                Ok(written) => {
                    self.at += 1;
                    return Ok(written);
                }
                Err(error) if error.disposition() == Disposition::Retry => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn key(binding: &Binding, row: &[Value<'_>]) -> Row {
    binding.key(row).expect("the key is given")
}

/// `-` is not given, `~` is NULL.
fn values<'a>(texts: &[&'a str]) -> Vec<Value<'a>> {
    let value = |text: &&'a str| match *text {
        "-" => Value::Absent,
        "~" => Value::Null,
        text => Value::Text(text),
    };
    texts.iter().map(value).collect()
}

async fn shown(ctx: &Ctx, query: &str) -> Result<String> {
    let mut connection = ctx.target().connect().await?;
    let sql = format!("SELECT COALESCE(string_agg(r::text, ' '), '') FROM ({query}) r");
    Ok(sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut connection).await?.get(0))
}

async fn shows(ctx: &Ctx, query: &str, expected: &str) -> Result<()> {
    let found = shown(ctx, query).await?;
    ensure!(found == expected, "{query} shows {found}, expected {expected}");
    Ok(())
}

const TABLES: [(&str, [&str; 6]); 2] =
    [("plain", ["1", "2", "3", "4", "50", "600"]), ("by_price", ["1", "1.0", "1.00", "2", "2.0", "3"])];

async fn folded(ctx: Ctx, seed: u64) -> Result<()> {
    for schema in ["single", "batch"] {
        let ddl = format!(
            "CREATE SCHEMA {schema}; \
             CREATE TABLE {schema}.plain (id int8 PRIMARY KEY, a text DEFAULT 'd', b int4, own text DEFAULT 'o', \
             twice int4 GENERATED ALWAYS AS (b * 2) STORED); \
             CREATE TABLE {schema}.by_price (a text, id numeric, b int4, own text DEFAULT 'o', PRIMARY KEY (id))"
        );
        ctx.target().execute(&ddl).await?;
    }
    let (url, columns) = (ctx.target().url(), ["id", "a", "b"]);
    let (mut single, mut batch) = (Log::start(url, "single").await?, Log::start(url, "batch").await?);
    for (table, _) in TABLES {
        single.bind(table, &columns).await?;
        batch.bind(table, &columns).await?;
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut live: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let number = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    for step in 0..400 {
        let (table, keys) = TABLES[rng.random_range(0..2)];
        let (at, to) = (keys[rng.random_range(0..6)], keys[rng.random_range(0..6)]);
        let there = live.entry(table).or_default();
        // Two spellings of a number are one key.
        let same = |a: &str, b: &str| if table == "plain" { a == b } else { number(a) == number(b) };
        let a = [step.to_string(), "-".into(), "~".into()][rng.random_range(0..3)].clone();
        let b = [step.to_string(), "-".into()][rng.random_range(0..2)].clone();
        let exact = there.iter().position(|key| *key == at);
        let taken = |key: &str, but: &str| there.iter().any(|k| *k != but && same(k, key));
        for log in [&mut single, &mut batch] {
            match (rng.clone().random_range(0..30), exact) {
                (0, _) => log.push(table, |_| Change::Truncate),
                (1..=14, None) if !taken(at, "") => log.insert(table, &values(&[at, &a, &b])),
                (1..=12, Some(_)) => log.update(table, &values(&[at, &a, &b])),
                (13..=22, Some(_)) if !taken(to, at) => {
                    log.rekey(table, &values(&[at]), &values(&[to, &a, &b]));
                }
                (23..=29, Some(_)) => log.delete(table, &values(&[at])),
                _ => {}
            }
        }
        match (rng.random_range(0..30), exact) {
            (0, _) => there.clear(),
            (1..=14, None) if !taken(at, "") => there.push(at),
            (13..=22, Some(place)) if !taken(to, at) => there[place] = to,
            (23..=29, Some(place)) => drop(there.remove(place)),
            _ => {}
        }
        let written = single.commit().await?;
        ensure!(written.missing.iter().all(|count| *count == 0), "step {step}: {written:?}");
        if rng.random_range(0..12) == 0 || step == 399 {
            let written = batch.commit().await?;
            ensure!(written.missing.iter().all(|count| *count == 0), "step {step}: {written:?}");
            // What only the target has comes along with its row.
            for schema in ["single", "batch"] {
                let sql = format!("UPDATE {schema}.plain SET own = '{step}' WHERE id = {}", keys[0]);
                if table == "plain" {
                    ctx.target().execute(&sql).await?;
                }
            }
            for (table, _) in TABLES {
                let rows = |schema: &str| format!("SELECT * FROM {schema}.{table} ORDER BY id");
                shows(&ctx, &rows("batch"), &shown(&ctx, &rows("single")).await?)
                    .await
                    .with_context(|| format!("step {step}"))?;
            }
        }
    }
    ensure!(batch.at > 10 && batch.folder.skipped() == 0, "{} batches", batch.at);
    Ok(())
}

async fn types(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('it''s'); CREATE TYPE app.pair AS (a int, b text); \
        CREATE DOMAIN app.posint AS int CHECK (value > 0); \
        CREATE TABLE app.t (id char(5) PRIMARY KEY, n numeric(12,3), v varchar(5), vs varchar(5)[], m app.mood, p app.pair, \
        d app.posint, j json, b bytea, ts timestamptz, r int4range, ints int[], f float8, bits bit(3), i interval)";
    ctx.target().execute(ddl).await?;
    let mut log = Log::start(ctx.target().url(), "app").await?;
    let columns = ["id", "n", "v", "vs", "m", "p", "d", "j", "b", "ts", "r", "ints", "f", "bits", "i"];
    log.bind("t", &columns).await?;
    let row = [
        "ab   ",
        "123456789.120",
        "éàü€x",
        "{\"a,b\",NULL,\"\"}",
        "it's",
        "(1,\"x,\"\"y\"\"\")",
        "7",
        "{\"a\": 1, \"a\":2}",
        "\\x00ff5c",
        "0044-03-15 00:00:00+00 BC",
        "[1,11)",
        "{{1,2},{3,NULL}}",
        "0.30000000000000004",
        "101",
        "1 year 2 mons -3 days +04:05:06.789",
    ];
    log.insert("t", &values(&row));
    log.commit().await?;
    for (column, expected) in columns.iter().zip(row) {
        let session = "SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres'";
        let mut connection = ctx.target().connect().await?;
        sqlx::raw_sql(session).execute(&mut connection).await?;
        let sql = format!("SELECT format('%s', {column}) FROM app.t");
        let found: String = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut connection).await?.get(0);
        ensure!(found == expected, "{column}: {found:?}, sent {expected:?}");
    }
    // A row without its large values keeps them, under a new key as well; blanks at the end of a key mean nothing.
    let kept: Vec<&str> =
        row.iter().enumerate().map(|(at, text)| if at == 0 { *text } else { "-" }).collect();
    let (mut update, mut rekey) = (kept.clone(), kept);
    (update[1], rekey[0], rekey[6]) = ("~", "cd   ", "8");
    log.update("t", &values(&update));
    log.rekey("t", &values(&["ab   "]), &values(&rekey));
    log.commit().await?;
    shows(&ctx, "SELECT id, n, v, d, ints FROM app.t", "(\"cd   \",,éàü€x,8,\"{{1,2},{3,NULL}}\")").await?;
    // What is too long is refused, not cut.
    let mut long = row;
    long[2] = "123456";
    log.insert("t", &values(&long));
    let error = log.commit().await.err().context("a text that is too long was taken")?;
    ensure!(format!("{error:#}").contains("22001"), "{error:#}");
    shows(&ctx, "SELECT position FROM _cdc_sink.positions", "(2)").await
}

async fn foreign_keys(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE SCHEMA app; CREATE TABLE app.hen (id int PRIMARY KEY, egg int NOT NULL); \
        CREATE TABLE app.egg (id int PRIMARY KEY, hen int NOT NULL REFERENCES app.hen); \
        ALTER TABLE app.hen ADD FOREIGN KEY (egg) REFERENCES app.egg; \
        CREATE TABLE app.parent (id int PRIMARY KEY, note text, own text DEFAULT 'o'); \
        CREATE TABLE app.child (id int PRIMARY KEY, p int NOT NULL REFERENCES app.parent ON DELETE CASCADE); \
        CREATE TABLE app.price (id numeric PRIMARY KEY, note text); \
        CREATE TABLE app.line (id int PRIMARY KEY, p numeric REFERENCES app.price ON DELETE CASCADE)";
    ctx.target().execute(ddl).await?;
    let mut log = Log::start(ctx.target().url(), "app").await?;
    for (table, columns) in [
        ("hen", &["id", "egg"][..]),
        ("egg", &["id", "hen"]),
        ("parent", &["id", "note"]),
        ("child", &["id", "p"]),
    ] {
        log.bind(table, columns).await?;
    }
    log.insert("child", &values(&["1", "1"]));
    log.insert("egg", &values(&["1", "1"]));
    log.insert("hen", &values(&["1", "1"]));
    log.insert("parent", &values(&["1", "large"]));
    log.commit().await?;
    ctx.target().execute("UPDATE app.parent SET own = 'mine'").await?;
    // The parent changes its key, without its large value; the child follows. The circle is replaced.
    log.rekey("parent", &values(&["1"]), &values(&["2", "-"]));
    log.update("child", &values(&["1", "2"]));
    log.delete("hen", &values(&["1"]));
    log.delete("egg", &values(&["1"]));
    log.insert("hen", &values(&["2", "2"]));
    log.insert("egg", &values(&["2", "2"]));
    log.commit().await?;
    shows(&ctx, "SELECT * FROM app.parent", "(2,large,mine)").await?;
    shows(&ctx, "SELECT * FROM app.child", "(1,2)").await?;
    shows(&ctx, "SELECT h.id, e.id FROM app.hen h JOIN app.egg e ON e.hen = h.id AND h.egg = e.id", "(2,2)")
        .await?;
    // A key of the same value in another spelling: nothing is removed, so nothing goes with it.
    for (table, columns) in [("price", ["id", "note"]), ("line", ["id", "p"])] {
        log.bind(table, &columns).await?;
    }
    log.insert("price", &values(&["1.0", "large"]));
    log.insert("line", &values(&["1", "1.0"]));
    log.commit().await?;
    log.rekey("price", &values(&["1.0"]), &values(&["1.00", "-"]));
    log.commit().await?;
    shows(&ctx, "SELECT * FROM app.price", "(1.00,large)").await?;
    shows(&ctx, "SELECT * FROM app.line", "(1,1.0)").await?;
    // A row that should be there and is not.
    ctx.target().execute("DELETE FROM app.parent").await?;
    log.rekey("parent", &values(&["2"]), &values(&["3", "-"]));
    let written = log.commit().await?;
    ensure!(written.missing == [1], "{written:?}");
    shows(&ctx, "SELECT * FROM app.parent", "").await
}

async fn unique_values(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, u int UNIQUE, v text, own text DEFAULT 'o'); \
        CREATE TABLE app.seat (id int PRIMARY KEY, n int NOT NULL UNIQUE)";
    ctx.target().execute(ddl).await?;
    let mut log = Log::start(ctx.target().url(), "app").await?;
    log.bind("t", &["id", "u", "v"]).await?;
    log.bind("seat", &["id", "n"]).await?;
    for id in ["1", "2", "3", "4"] {
        log.insert("t", &values(&[id, id, "large"]));
        log.insert("seat", &values(&[id, id]));
    }
    log.commit().await?;
    ctx.target().execute("UPDATE app.t SET own = id::text").await?;
    let all = "SELECT * FROM app.t ORDER BY id";
    // A row of another key keeps its value, and a new one takes that of a row that is gone.
    log.rekey("t", &values(&["4"]), &values(&["5", "-", "-"]));
    log.delete("t", &values(&["3"]));
    log.insert("t", &values(&["6", "3", "new"]));
    log.commit().await?;
    shows(&ctx, all, "(1,1,large,1) (2,2,large,2) (5,4,large,4) (6,3,new,o)").await?;
    // Two rows exchange their values by way of a third value, one of them without its large value; seats as well.
    log.update("t", &values(&["1", "9", "-"]));
    log.update("t", &values(&["2", "1", "small"]));
    log.update("t", &values(&["1", "2", "-"]));
    for (id, n) in [("1", "9"), ("2", "1"), ("1", "2")] {
        log.update("seat", &values(&[id, n]));
    }
    let written = log.commit().await?;
    ensure!(written.missing == [0, 0], "{written:?}");
    shows(&ctx, all, "(1,2,large,1) (2,1,small,2) (5,4,large,4) (6,3,new,o)").await?;
    shows(&ctx, "SELECT * FROM app.seat ORDER BY id", "(1,2) (2,1) (3,3) (4,4)").await?;
    // What is there twice is refused as ever, and nothing of it stays.
    log.insert("seat", &values(&["7", "4"]));
    log.insert("seat", &values(&["8", "8"]));
    let error = log.commit().await.err().context("a value was taken twice")?;
    ensure!(format!("{error:#}").contains("23505"), "{error:#}");
    shows(&ctx, "SELECT * FROM app.seat ORDER BY id", "(1,2) (2,1) (3,3) (4,4)").await?;
    shows(&ctx, "SELECT position FROM _cdc_sink.positions", "(3)").await
}

/// Every write of a row leaves a line, so that what is done twice shows.
const WITNESS: &str = "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, v int); \
    CREATE TABLE app.seen (line bigserial, op text, id int); \
    CREATE FUNCTION app.witness() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN INSERT INTO app.seen (op, id) VALUES (tg_op, COALESCE(new.id, old.id)); RETURN NULL; END $$; \
    CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON app.t FOR EACH ROW EXECUTE FUNCTION app.witness()";

async fn once(ctx: Ctx) -> Result<()> {
    ctx.target().execute(WITNESS).await?;
    let proxy = Proxy::start(ctx.target().address()?).await?;
    let url = ctx.target().url_through(proxy.address());
    let mut log = Log::start(&url, "app").await?;
    log.bind("t", &["id", "v"]).await?;
    let mut rng = StdRng::seed_from_u64(1);
    for id in 0..30_u64 {
        let text = id.to_string();
        log.insert("t", &values(&[&text, "1"]));
        match rng.random_range(0..3) {
            0 => proxy.lose_answer(UPDATE_POSITIONS),
            1 => proxy.arm(Fault::LoseRequest, UPDATE_POSITIONS),
            _ => {}
        }
        log.commit().await.with_context(|| format!("batch {id}"))?;
        if id % 7 == 0 {
            // The process dies and starts again where the target says.
            log = Log::start(&url, "app").await?;
            log.bind("t", &["id", "v"]).await?;
            ensure!(log.at == id + 1, "it went on at {}", log.at);
        }
    }
    ensure!(proxy.fired() > 10, "only {} faults", proxy.fired());
    shows(&ctx, "SELECT count(*), count(DISTINCT id) FROM app.seen", "(30,30)").await?;

    // Somebody else takes over while the answer gets lost: the loser writes nothing more.
    let mut winner = Log::start(ctx.target().url(), "app").await?;
    log.insert("t", &values(&["100", "1"]));
    let error = log.commit().await.err().context("the older holder wrote")?;
    let fenced = error.downcast_ref::<sink_core::failure::Failure>().map(|e| e.disposition());
    ensure!(fenced == Some(Disposition::Fenced), "{error:#}");
    winner.bind("t", &["id", "v"]).await?;
    winner.insert("t", &values(&["101", "1"]));
    winner.commit().await?;
    shows(&ctx, "SELECT id FROM app.t WHERE id >= 100", "(101)").await
}

async fn refused(ctx: Ctx) -> Result<()> {
    ctx.target()
        .execute("CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, v int CHECK (v > 0))")
        .await?;
    let mut log = Log::start(ctx.target().url(), "app").await?;
    log.bind("t", &["id", "v"]).await?;
    log.insert("t", &values(&["1", "1"]));
    log.insert("t", &values(&["2", "-1"]));
    let error = log.commit().await.err().context("a refused row was taken")?;
    let failure = error.downcast_ref::<sink_core::failure::Failure>().context("a failure")?;
    ensure!(failure.disposition() == Disposition::Halt && failure.sqlstate() == Some("23514"), "{error:#}");
    shows(&ctx, "SELECT * FROM app.t", "").await?;
    shows(&ctx, "SELECT position FROM _cdc_sink.positions", "(0)").await
}
