//! The initial snapshot: what it copies, what it refuses, and when it is over.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sink_core::failure::Disposition;
use sink_core::flow::copy::store::target_table;
use sink_core::flow::copy::{Fence, Loader, Rows, SnapshotStore, SourceName};
use sink_core::flow::{FeedName, Position, PositionStore};
use sink_core::model::Ident;
use sink_core::target::{Target, TargetConfig};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::support::pair::{Pair, fingerprint};
use crate::support::snapshot::{
    Gate, LIMIT, gate, run_to_end, service, states, wait_for_state, wait_until_done,
};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
    vec![
        scenario("pglogical_snapshot_copies_every_value_as_it_is", NEEDS, values),
        scenario("pglogical_snapshot_follows_column_lists_filters_and_partitions", NEEDS, forms),
        scenario("pglogical_snapshot_only_ends_and_a_done_one_is_not_done_again", NEEDS, once),
        scenario("pglogical_snapshot_makes_tables_and_completes_them_after_the_copy", NEEDS, made),
        scenario("pglogical_snapshot_refuses_what_it_would_spoil", NEEDS, refusals),
        scenario("pglogical_snapshot_outlives_tables_that_come_go_and_change", NEEDS, changing),
        scenario("pglogical_snapshot_names_the_transaction_that_its_slot_waits_for", NEEDS, waiting),
        scenario("pglogical_snapshot_cut_off_in_a_copy_leaves_no_bad_connection", &[Need::Postgres], cut_off),
    ]
}

fn code_and(wanted: i32, part: &str, (code, log): &(Option<i32>, String)) -> Result<()> {
    ensure!(*code == Some(wanted) && log.contains(part), "{code:?} instead of {wanted} with {part:?}: {log}");
    Ok(())
}

const VALUES: &str = r#"
    CREATE SCHEMA "My ""S'\";
    CREATE TYPE "My ""S'\"."Mood" AS ENUM ('it''s, "quoted"', 'sad');
    CREATE DOMAIN posint AS int CHECK (VALUE > 0);
    CREATE TABLE "My ""S'\"."sel.ect" ("Id ""x" int PRIMARY KEY, "from" text, "b\n" bytea, "Mood" "My ""S'\"."Mood", d posint,
        n numeric, f float8, t timestamptz, i interval, j json, a text[], m money, ts tsvector, r int4range, x xml,
        doubled int GENERATED ALWAYS AS ("Id ""x" * 2) STORED);
    CREATE TABLE empty (id int PRIMARY KEY);
    CREATE TABLE numbered (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
    CREATE TABLE wide (id int PRIMARY KEY, v text);
    CREATE TABLE pages (id int PRIMARY KEY, v text);
    ALTER TABLE pages ALTER v SET STORAGE PLAIN"#;

const FILL_VALUES: &str = r#"
    INSERT INTO "My ""S'\"."sel.ect" VALUES
        (1, E'\t\n\r\b\f\v\\ \\N \\. ''"', '\x00ff5c0a0d09', 'it''s, "quoted"', 7, 'NaN', '-Infinity', '-infinity',
         '1 year 2 mons -3 days +04:05:06.789', '{"a": 1, "a":  2}', '{NULL,"NULL","","{}"," sp"}', -1234.56, '''a b'':1 c', '[1,10]', '<a>b</a>'),
        (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (3, '\N', '', 'sad', 1, 123456789.120, 0.30000000000000004, '4713-01-01 00:00:00 BC', '0', 'null', '{{1,2},{3,4}}', 0, '', 'empty', ''),
        (4, '', '\x5c4e', NULL, NULL, -0.00, 1e-310, '294276-12-31 23:59:59.999999+00', '-1 mon', '"\\"', '{}', 1, 'x', '(,5)', ''),
        (5, '\.', '\x', NULL, NULL, 'Infinity', 'NaN', 'infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (6, '𝄞 ü' || chr(1) || chr(127), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    INSERT INTO numbered (v) SELECT 'n' || i FROM generate_series(1, 100) i;
    INSERT INTO wide SELECT i, repeat(md5(i::text), 10000) FROM generate_series(1, 60) i;
    INSERT INTO pages SELECT i, repeat(md5(i::text), 200) FROM generate_series(1, 6000) i;
    DELETE FROM pages WHERE id % 7 = 0;
    INSERT INTO wide VALUES (0, repeat(E'\\\t', 10000000))"#;

/// By a role whose defaults change the text of values, and by several workers; the table of one row per page is cut into
/// two pieces.
async fn values(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, VALUES).await?;
    pair.origin.execute(FILL_VALUES).await?;
    for setting in [
        "datestyle = 'SQL, DMY'",
        "timezone = 'Asia/Tokyo'",
        "intervalstyle = iso_8601",
        "bytea_output = escape",
        "extra_float_digits = 0",
        "row_security = on",
        "statement_timeout = '1min'",
    ] {
        pair.origin.execute(&format!("ALTER ROLE postgres IN DATABASE origin SET {setting}")).await?;
    }
    let mut process =
        ServiceProcess::start(service(&pair, "initial", &["--snapshotWorkers", "3"]), pair.folder()).await?;
    wait_until_done(&pair.target).await?;
    let tables =
        [r#""My ""S'\"."sel.ect""#, "public.empty", "public.numbered", "public.wide", "public.pages"];
    pair.same(&tables).await?;
    pair.origin.execute("INSERT INTO numbered (v) VALUES ('later'); INSERT INTO empty VALUES (1)").await?;
    pair.caught_up().await?;
    pair.same(&tables).await?;
    ensure!(process.terminate(Duration::from_secs(10)).await? == Some(0));
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

const PARTITIONED: &str = "(id int PRIMARY KEY, v text) PARTITION BY RANGE (id)";

async fn forms(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "").await?;
    let partitions = |root: &str| {
        format!(
            "CREATE TABLE {root} {PARTITIONED};
             CREATE TABLE {root}_1 PARTITION OF {root} FOR VALUES FROM (0) TO (100);
             CREATE TABLE {root}_2 PARTITION OF {root} FOR VALUES FROM (100) TO (1000) PARTITION BY RANGE (id);
             CREATE TABLE {root}_3 (v text, gone int, id int NOT NULL PRIMARY KEY);
             ALTER TABLE {root}_3 DROP COLUMN gone;
             ALTER TABLE {root}_2 ATTACH PARTITION {root}_3 FOR VALUES FROM (100) TO (1000);
             INSERT INTO {root} SELECT i, 'v' || i FROM generate_series(1, 999) i"
        )
    };
    for ddl in [partitions("leaves"), partitions("rooted")] {
        pair.origin.execute(&ddl).await?;
    }
    pair.origin
        .execute(
            "CREATE TABLE listed (id int PRIMARY KEY, secret text, v text);
             CREATE TABLE filtered (id int PRIMARY KEY, v text);
             CREATE TABLE parent (id int PRIMARY KEY, v text);
             CREATE TABLE child (w text, PRIMARY KEY (id)) INHERITS (parent);
             INSERT INTO listed SELECT i, 's', 'v' FROM generate_series(1, 10) i;
             INSERT INTO filtered SELECT i, 'v' FROM generate_series(1, 100) i;
             INSERT INTO parent VALUES (1, 'parent'); INSERT INTO child VALUES (2, 'child', 'w');
             CREATE PUBLICATION my_pub FOR TABLE ONLY leaves, listed (id, v), filtered WHERE (id % 3 = 0 OR id > 90), parent;
             CREATE PUBLICATION root_pub FOR TABLE rooted WITH (publish_via_partition_root = true)",
        )
        .await?;
    pair.target
        .execute(
            "CREATE TABLE leaves_1 (id int PRIMARY KEY, v text); CREATE TABLE leaves_3 (v text, id int PRIMARY KEY);
             CREATE TABLE rooted (v text, id int PRIMARY KEY) PARTITION BY HASH (id);
             CREATE TABLE rooted_a PARTITION OF rooted FOR VALUES WITH (modulus 2, remainder 0);
             CREATE TABLE rooted_b PARTITION OF rooted FOR VALUES WITH (modulus 2, remainder 1);
             CREATE TABLE listed (v text, more text DEFAULT 'more', id int PRIMARY KEY);
             CREATE TABLE filtered (id int PRIMARY KEY, v text);
             CREATE TABLE parent (id int PRIMARY KEY, v text);
             CREATE TABLE child (w text, PRIMARY KEY (id)) INHERITS (parent)",
        )
        .await?;
    code_and(0, "", &run_to_end(&pair, service(&pair, "only", &[])).await?)?;
    let second = Service::new("cdc-pglogical").named("second").bind_flag("--metricsAddr").args([
        "start",
        "--sourceConn",
        pair.origin.url(),
        "--targetConn",
        pair.target.url(),
        "--loopName",
        "second",
        "--slotName",
        "second",
        "--publicationName",
        "root_pub",
        "--snapshotMode",
        "only",
    ]);
    code_and(0, "", &run_to_end(&pair, second).await?)?;
    pair.same(&["public.leaves_1", "public.leaves_3", "public.rooted", "public.parent", "public.child"])
        .await?;
    let listed = fingerprint(&pair.target, "public.listed").await?;
    ensure!(listed.len() == 10 && listed.contains(&"(7,more,v)".to_owned()), "{listed:?}");
    let mut target = pair.target.connect().await?;
    let filtered: i64 = sqlx::query_scalar("SELECT sum(id) FROM filtered").fetch_one(&mut target).await?;
    // 3 + 6 + … + 90, and 91 to 100.
    ensure!(filtered == 1395 + 955, "{filtered}");
    Ok(())
}

async fn once(ctx: Ctx) -> Result<()> {
    let pair =
        Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY)")
            .await?;
    pair.origin
        .execute("INSERT INTO t SELECT i, 'v' FROM generate_series(1, 1000) i; CREATE TABLE keyless (v int)")
        .await?;
    let only = service(&pair, "only", &["--tables", "t, \"public\".\"u\""]);
    code_and(0, "the snapshot is done", &run_to_end(&pair, only.clone()).await?)?;
    ensure!(
        states(&pair.target).await? == [("t", "copied"), ("u", "copied")].map(|(a, b)| (a.into(), b.into()))
    );
    pair.same(&["public.t", "public.u"]).await?;
    // Rows of others in the target stay: nothing is copied or emptied again.
    pair.target.execute("INSERT INTO u VALUES (7)").await?;
    pair.origin.execute("DELETE FROM t WHERE id > 10; UPDATE t SET v = 'w'").await?;
    code_and(0, "", &run_to_end(&pair, only).await?)?;
    let process = ServiceProcess::start(service(&pair, "initial", &[]), pair.folder()).await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    ensure!(fingerprint(&pair.target, "public.u").await? == ["(7)"]);
    drop(process);
    let process = ServiceProcess::start(service(&pair, "never", &[]), pair.folder()).await?;
    pair.origin.execute("INSERT INTO t VALUES (-5, 'never')").await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    drop(process);
    Ok(())
}

async fn made(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "").await?;
    pair.origin
        .execute(
            "CREATE TABLE child (id int PRIMARY KEY, parent int NOT NULL, v text UNIQUE);
             CREATE TABLE parent (id int PRIMARY KEY, next int REFERENCES parent);
             ALTER TABLE child ADD CONSTRAINT to_parent FOREIGN KEY (parent) REFERENCES parent;
             INSERT INTO parent SELECT i, NULL FROM generate_series(1, 1000) i; UPDATE parent SET next = 1001 - id;
             INSERT INTO child SELECT i, i, 'v' || i FROM generate_series(1, 1000) i",
        )
        .await?;
    let mut process =
        ServiceProcess::start(service(&pair, "initial", &["--createTables"]), pair.folder()).await?;
    let constraints = "SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'u', 'p')";
    let mut target = pair.target.connect().await?;
    wait::eventually(LIMIT, "the tables to be complete", async || {
        let made: i64 = sqlx::query_scalar(constraints).fetch_one(&mut target).await?;
        ensure!(made >= 4, "{made} constraints");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    pair.origin.execute("INSERT INTO parent VALUES (5000); INSERT INTO child VALUES (5000, 5000)").await?;
    pair.caught_up().await?;
    pair.same(&["public.parent", "public.child"]).await?;
    ensure!(process.terminate(Duration::from_secs(10)).await? == Some(0));
    // Once more: nothing is left to be made or copied.
    process.start_again().await?;
    pair.caught_up().await?;
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

async fn refusals(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(
        &ctx,
        "CREATE TABLE p (id int PRIMARY KEY, v text); CREATE TABLE c (id int PRIMARY KEY, p int)",
    )
    .await?;
    pair.origin.execute("CREATE TABLE missing (id int PRIMARY KEY); CREATE TABLE keyless (id int); INSERT INTO p VALUES (1)").await?;
    pair.target
        .execute("INSERT INTO p VALUES (2, 'of others'); ALTER TABLE c ADD CONSTRAINT \"to p\" FOREIGN KEY (p) REFERENCES p")
        .await?;
    let run = async |name: &str, tables: &[&str]| {
        run_to_end(&pair, service(&pair, "initial", tables).named(name)).await
    };

    code_and(2, "--tables", &run("malformed", &["--tables", "a..b"]).await?)?;
    code_and(4, "the source has no table public.nothing", &run("nothing", &["--tables", "nothing"]).await?)?;
    code_and(4, "public.keyless has no key", &run("keyless", &["--tables", "keyless"]).await?)?;
    // All findings at once, each with what to do; and nothing was made but the publication, which comes first.
    let (code, log) = run("all", &[]).await?;
    for part in [
        "holds rows that this feed did not copy",
        "ALTER TABLE public.c DROP CONSTRAINT \"to p\"",
        "ALTER TABLE public.c ADD CONSTRAINT \"to p\" FOREIGN KEY (p) REFERENCES p(id)",
        "the target has no table public.missing",
    ] {
        ensure!(code == Some(4) && log.contains(part), "{code:?} without {part:?}: {log}");
    }
    let mut origin = pair.origin.connect().await?;
    let slots: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_replication_slots").fetch_one(&mut origin).await?;
    ensure!(slots == 0 && fingerprint(&pair.target, "public.p").await? == ["(2,\"of others\")"]);

    // A row that appears after the look: the table is left alone.
    pair.target.execute("DELETE FROM p; ALTER TABLE c DROP CONSTRAINT \"to p\"; CREATE TABLE missing (id int PRIMARY KEY)").await?;
    pair.origin.execute("INSERT INTO c VALUES (-1)").await?;
    pair.origin.execute("ALTER PUBLICATION my_pub DROP TABLE missing").await?;
    gate(&pair.target, "c").await?;
    let mut gate = Gate::close(&pair.target).await?;
    pair.origin.execute("INSERT INTO c SELECT generate_series(1, 200000)").await?;
    let mut process =
        ServiceProcess::spawn(service(&pair, "only", &["--snapshotWorkers", "1"]), pair.folder())?;
    gate.wait_for_copy().await?;
    pair.target.execute("INSERT INTO p VALUES (3, 'late')").await?;
    gate.open().await?;
    ensure!(process.wait_for_exit(LIMIT).await?.code() == Some(4));
    ensure!(process.log_tail().contains("holds rows that this feed did not copy"), "{}", process.log_tail());
    ensure!(fingerprint(&pair.target, "public.p").await? == ["(3,late)"]);
    pair.target.execute("DELETE FROM p").await?;
    code_and(0, "", &run_to_end(&pair, service(&pair, "only", &[])).await?)?;
    pair.same(&["public.p", "public.c"]).await?;

    // The slot is gone, and with it the changes since.
    pair.origin.execute("SELECT pg_drop_replication_slot('cdc_sink'); UPDATE p SET v = 'lost'").await?;
    pair.target.execute("UPDATE _cdc_sink.snapshots SET state = 'pending', consistent_point = NULL WHERE source_table = 'p'").await?;
    code_and(4, "is gone, and with it the changes since", &run("gone", &[]).await?)
}

/// One worker, which waits at the gate in the largest table; what happens to the others meanwhile happened after the
/// snapshot was taken.
async fn changing(ctx: Ctx) -> Result<()> {
    let tables = ["big", "dropped", "renewed", "rewritten", "truncated", "emptied"];
    let ddl = tables.map(|table| format!("CREATE TABLE {table} (id int8 PRIMARY KEY, v text)")).join(";");
    let pair = Pair::start(&ctx, &ddl).await?;
    for table in tables {
        let fill = format!("INSERT INTO {table} SELECT i, '{table}' FROM generate_series(1, 1000) i");
        pair.origin.execute(&fill).await?;
    }
    pair.origin.execute("INSERT INTO big VALUES (-1, repeat('x', 100))").await?;
    gate(&pair.target, "big").await?;
    let mut gate = Gate::close(&pair.target).await?;
    // Sorted by the number of pieces, which is one each, then by name.
    let more = ["--snapshotWorkers", "1", "--onTruncate", "apply"];
    let process = ServiceProcess::start(service(&pair, "initial", &more), pair.folder()).await?;
    gate.wait_for_copy().await?;
    pair.target.execute("CREATE TABLE created (id int8 PRIMARY KEY, v text)").await?;
    for statement in [
        "CREATE TABLE created (id int8 PRIMARY KEY, v text)",
        "ALTER PUBLICATION my_pub ADD TABLE created",
        "INSERT INTO created VALUES (1, 'created')",
        "DROP TABLE dropped",
        "INSERT INTO renewed VALUES (5000, 'old')",
        "DROP TABLE renewed",
        "CREATE TABLE renewed (id int8 PRIMARY KEY, v text)",
        "ALTER PUBLICATION my_pub ADD TABLE renewed",
        "INSERT INTO renewed VALUES (1, 'new')",
        "ALTER TABLE rewritten ALTER v TYPE varchar(50) USING v || '!'",
        "INSERT INTO rewritten VALUES (5000, 'later')",
        "TRUNCATE truncated",
        "INSERT INTO truncated VALUES (1, 'again')",
        "DELETE FROM emptied",
    ] {
        pair.origin.execute(statement).await.context(statement)?;
    }
    gate.open().await?;
    wait_until_done(&pair.target).await?;
    pair.caught_up().await?;
    let same = ["big", "renewed", "rewritten", "truncated", "emptied", "created"];
    pair.same(&same.map(|table| format!("public.{table}")).each_ref().map(String::as_str)).await?;
    wait_for_state(&pair.target, "dropped", "gone").await?;
    ensure!(fingerprint(&pair.target, "public.dropped").await?.is_empty());
    drop(process);
    Ok(())
}

async fn waiting(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY)").await?;
    let mut open = pair.origin.connect().await?;
    open.execute("SET application_name = 'the open one'").await?;
    let mut tx = open.begin().await?;
    tx.execute("INSERT INTO t VALUES (1)").await?;
    let ended =
        run_to_end(&pair, service(&pair, "only", &["--snapshotSlotTimeout", "3s"]).named("short")).await?;
    code_and(4, "the slot was not made within 3 s", &ended)?;
    ensure!(ended.1.contains("application \"the open one\""), "{}", ended.1);
    // Neither the session that waited nor a half-made slot is left.
    let left =
        "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_stat_replication)";
    let mut origin = pair.origin.connect().await?;
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut origin).await?;
    ensure!(left == 0, "{left} are left");

    // Within the time it goes on by itself, and the transaction is in the copy.
    let process = ServiceProcess::start(service(&pair, "initial", &[]), pair.folder()).await?;
    wait::eventually(LIMIT, "the wait to be named", async || {
        process.log_tail().contains("making the slot waits for").then_some(())
    })
    .await?;
    tx.commit().await?;
    wait_for_state(&pair.target, "t", "copied").await?;
    pair.same(&["public.t"]).await
}

/// Some rows, then nothing more for ever.
struct Stuck {
    rows: u64,
}

impl Rows for Stuck {
    async fn next(&mut self) -> Result<Option<&[u8]>, sink_core::failure::Failure> {
        self.rows += 1;
        if self.rows > 1 {
            std::future::pending::<()>().await;
        }
        Ok(Some(b"1\tone\n"))
    }

    fn rows(&self) -> u64 {
        self.rows
    }
}

/// The reader's text is no row.
struct Nonsense(bool);

impl Rows for Nonsense {
    async fn next(&mut self) -> Result<Option<&[u8]>, sink_core::failure::Failure> {
        Ok(std::mem::take(&mut self.0).then_some(b"no number\tat all\n".as_slice()))
    }

    fn rows(&self) -> u64 {
        1
    }
}

async fn cut_off(ctx: Ctx) -> Result<()> {
    let database = ctx.target();
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await?;
    let config = TargetConfig {
        url: database.url().to_owned(),
        staging: Ident::new("_cdc_sink")?,
        create_staging: true,
        // The connection that is cut off and the one after it are the same place in the pool.
        max_connections: 2,
    };
    let target = Target::connect(config).await?;
    let home = target.home();
    let feed = FeedName::whole("f");
    let stored =
        PositionStore::new(std::sync::Arc::clone(home)).take_over(&feed, "{}", &Position::new("0/1")).await?;
    let fence = Fence { feed: feed.clone(), epoch: stored.epoch };
    let source = SourceName { schema: "public".into(), name: "t".into() };
    let table = target_table(home, &source, &["id", "v"]).await?;
    let store = SnapshotStore::new(std::sync::Arc::clone(home))?;
    store.register(&fence, std::slice::from_ref(&source)).await?;
    store.begin(&fence, &source, &table.schema.id).await?;

    for round in 0..4 {
        let mut loader = Loader::new(std::sync::Arc::clone(home), fence.clone());
        if round % 2 == 0 {
            let mut reader = Stuck { rows: 0 };
            let copy = loader.copy(&table, &mut reader, &|_| {});
            let cut = tokio::time::timeout(Duration::from_millis(300), copy).await;
            ensure!(cut.is_err(), "the copy ended");
        } else {
            let refused = loader.copy(&table, &mut Nonsense(true), &|_| {}).await.err().context("taken")?;
            ensure!(
                refused.sqlstate() == Some("22P02") && refused.disposition() == Disposition::Halt,
                "{refused}"
            );
            ensure!(!sink_core::failure::chain(&refused).contains("no number"), "{refused:?}");
        }
        drop(loader);
        for number in 0..4_i32 {
            let mut connection = home.connection().await?;
            let answer: i32 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {number}")))
                .fetch_one(&mut *connection)
                .await?;
            ensure!(answer == number, "asked for {number}, got {answer}");
        }
    }
    // Nothing of it is there, and whoever was replaced can write nothing.
    store.restart(&fence, &source, &table.schema.id).await?;
    PositionStore::new(std::sync::Arc::clone(home)).take_over(&feed, "{}", &Position::new("0/1")).await?;
    let mut loader = Loader::new(std::sync::Arc::clone(home), fence.clone());
    let fenced = loader.copy(&table, &mut Stuck { rows: 0 }, &|_| {}).await.err().context("it wrote")?;
    ensure!(fenced.disposition() == Disposition::Fenced, "{fenced}");
    let fenced = store.begin(&fence, &source, &table.schema.id).await.err().context("it began")?;
    ensure!(fenced.disposition() == Disposition::Fenced, "{fenced}");
    ensure!(fingerprint(database, "public.t").await?.is_empty());
    target.close().await;
    Ok(())
}
