//! `--createTables`: tables made like those of the source, and every type of value carried into them.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sink_core::flow::TableMaker;
use sink_core::model::Definitions;
use sink_core::target::Target;
use source_pglogical::snapshot::{Settings, table_definitions};
use sqlx::{AssertSqlSafe, Row as _};
use tests::harness::database::Database;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::flow_positions::connect;
use crate::pgoutput_values::VALUES;
use crate::support::pair::{Pair, pinned};
use crate::support::replication::{self, LIMIT};

const BOTH: &[Need] = &[Need::Postgres, Need::PostgresBinaries];

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("pglogical_types_every_value_arrives_as_it_is", BOTH, every_value),
        scenario("pglogical_types_users_types_arrive_as_they_are", BOTH, users_types),
        scenario("pglogical_tables_are_made_like_the_source's", BOTH, same_catalogue),
        scenario("pglogical_tables_dry_run_is_a_script_and_changes_nothing", BOTH, dry_run),
        scenario("pglogical_tables_are_made_before_the_copy_and_completed_after", BOTH, with_copy),
        scenario("pglogical_tables_half_made_are_completed", BOTH, half_made),
        scenario("pglogical_tables_made_by_two_at_once", BOTH, two_at_once),
        scenario("pglogical_tables_say_what_is_left_out", BOTH, left_out),
        scenario("pglogical_tables_of_partitions_are_plain", BOTH, partitions),
        scenario("pglogical_tables_of_a_thousand_columns", BOTH, wide),
        scenario("pglogical_tables_need_extensions_first", BOTH, extensions),
    ]
}

/// Types of the reference's table that the decoder's own scenario does not have, with values.
const MORE: &[(&str, &str)] = &[
    ("int4", "-2147483648"),
    ("float4", "'-Infinity'"),
    ("float8", "1e-10"),
    ("numeric", "'Infinity'"),
    ("numeric(5,2)[]", "'{1.50,NULL,-0.10}'"),
    ("varchar", "'no limit'"),
    ("varchar(3)[]", "'{abc,NULL}'"),
    ("char(3)[]", "'{a,bb}'"),
    ("bpchar", "'open  '"),
    ("text COLLATE \"C\"", "'ordered by bytes'"),
    ("text", "E'4 bytes \\U0001F600, a quote '' and a \\\\ backslash'"),
    ("time", "'24:00:00'"),
    ("timetz(2)", "'12:00:00.129-08'"),
    ("timestamp(0)", "'2020-02-03 04:05:06.7'"),
    ("timestamptz(3)[]", "'{2020-02-03 04:05:06.789+00,infinity}'"),
    ("interval day to second(3)", "'1 day 02:03:04.5678'"),
    ("interval(2)", "'1 mon 00:00:01.239'"),
    ("interval year to month", "'1 year 2 mons'"),
    ("bool[]", "'{t,f,NULL}'"),
    ("uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'"),
    ("inet[]", "'{10.0.0.1,::1}'"),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'"),
    ("bit", "B'1'"),
    ("bit varying(7)", "B'1010101'"),
    ("int8range", "'[1,)'"),
    ("numrange", "'(1.5,2.5]'"),
    ("tsrange", "'[2020-01-01,infinity)'"),
    ("daterange[]", "'{\"[2020-01-01,2020-02-01)\",empty}'"),
    ("nummultirange", "'{[1,2),[3,4)}'"),
    ("line", "'{1,2,3}'"),
    ("lseg", "'[(0,0),(1,1)]'"),
    ("path", "'((0,0),(1,1),(2,0))'"),
    ("polygon", "'((0,0),(1,1),(2,0))'"),
    ("circle", "'<(1,2),3>'"),
    ("point[]", "'{\"(1,2)\",\"(3,4)\"}'"),
    ("xid8", "'9'"),
    ("cid", "'3'"),
    ("tid", "'(1,2)'"),
    ("pg_snapshot", "'10:20:10,14'"),
    ("oidvector", "'1 2 3'"),
    ("int2vector", "'1 2 3'"),
    ("aclitem", "'postgres=r/postgres'"),
    ("regtype", "'integer'"),
    ("int[][]", "'{{{1},{2}},{{3},{4}}}'"),
    ("int[]", "'[2:3]={1,2}'"),
    ("json[]", "ARRAY['{\"a\":  1}'::json]"),
];

/// Starts with empty sides: all tables are made by the program.
async fn pair(ctx: &Ctx, ddl: &str) -> Result<Pair> {
    let pair = Pair::start(ctx, "SELECT 1").await?;
    pair.origin.execute(ddl).await?;
    Ok(pair)
}

async fn run(pair: &Pair) -> Result<ServiceProcess> {
    ServiceProcess::start(pair.service().args(["--createTables"]), pair.folder()).await
}

async fn stop(mut process: ServiceProcess) -> Result<()> {
    let status = process.terminate(Duration::from_secs(10)).await?;
    ensure!(status == Some(0), "ended with {status:?}");
    let unexpected = process.unexpected_lines(&[])?;
    ensure!(unexpected.is_empty(), "{unexpected:?}");
    Ok(())
}

/// Runs the program to its end.
fn command(pair: &Pair, flags: &[&str]) -> Result<Output> {
    let program = pair.service().path()?;
    let flags = ["start", "--publicationName", "my_pub", "--sourceConn", pair.origin.url()]
        .into_iter()
        .chain(["--targetConn", pair.target.url()])
        .chain(flags.iter().copied());
    Ok(std::process::Command::new(program).args(flags).output()?)
}

fn script(pair: &Pair) -> Result<String> {
    let output = command(pair, &["--createTables", "--dryRun"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// What the catalogue says about all tables but ours and about the types they use, as lines. Numbers are counted in one
/// way at both sides, whichever way it is.
async fn catalogue(database: &Database) -> Result<Vec<String>> {
    const HIDDEN: &str = "nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', '_cdc_sink')";
    let columns = format!(
        "SELECT concat_ws(' | ', n.nspname, c.relname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname, \
         format_type(a.atttypid, a.atttypmod), a.attndims, a.attnotnull, l.collname, a.attgenerated, \
         CASE WHEN a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%' THEN 'counted ' \
         || q.seqstart || ' ' || q.seqincrement ELSE pg_get_expr(d.adbin, d.adrelid) END) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND c.relkind IN ('r', 'c') AND n.{HIDDEN} \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
         LEFT JOIN pg_collation l ON l.oid = a.attcollation \
         LEFT JOIN pg_depend p ON p.refobjid = c.oid AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i') \
         AND p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass \
         AND p.objid IN (SELECT seqrelid FROM pg_sequence) \
         LEFT JOIN pg_sequence q ON q.seqrelid = p.objid ORDER BY 1"
    );
    let constraints = format!(
        "SELECT concat_ws(' | ', n.nspname, k.conname, k.contype, k.conrelid::regclass, k.contypid::regtype, \
         pg_get_constraintdef(k.oid)) FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace AND n.{HIDDEN} \
         WHERE k.contype <> 'n' ORDER BY 1"
    );
    let indexes = format!(
        "SELECT pg_get_indexdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.{HIDDEN} \
         WHERE c.relkind = 'i' ORDER BY 1"
    );
    let types = format!(
        "SELECT concat_ws(' | ', n.nspname, t.typname, t.typtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull, \
         t.typdefault, (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), \
         (SELECT r.rngsubtype::regtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid))) \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace AND n.{HIDDEN} WHERE t.typtype <> 'b' ORDER BY 1"
    );
    let mut connection = pinned(database).await?;
    let mut lines = Vec::new();
    for sql in [columns, constraints, indexes, types] {
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
        lines.extend(rows.iter().map(|row| row.get::<String, _>(0)));
    }
    Ok(lines)
}

async fn same(origin: &Database, target: &Database) -> Result<()> {
    let (origin, target) = (catalogue(origin).await?, catalogue(target).await?);
    let missing: Vec<_> = origin.iter().filter(|line| !target.contains(line)).collect();
    let surplus: Vec<_> = target.iter().filter(|line| !origin.contains(line)).collect();
    ensure!(
        missing.is_empty() && surplus.is_empty(),
        "missing at the target: {missing:#?}\nonly at the target: {surplus:#?}"
    );
    ensure!(origin.len() > 3, "there is nothing to compare");
    Ok(())
}

/// Columns of every type, a row of values for them, and an assignment for each.
fn all_values() -> (String, String, Vec<String>) {
    let known = VALUES.iter().map(|(name, value, _)| (*name, *value));
    let all: Vec<(&str, &str)> = known.chain(MORE.iter().copied()).collect();
    let columns: Vec<_> = all.iter().enumerate().map(|(at, (name, _))| format!("c{at} {name}")).collect();
    let values: Vec<_> = all.iter().map(|(_, value)| *value).collect();
    let sets = all.iter().enumerate().map(|(at, (_, value))| format!("c{at} = {value}")).collect();
    (columns.join(", "), values.join(", "), sets)
}

async fn every_value(ctx: Ctx) -> Result<()> {
    let (columns, values, sets) = all_values();
    let nulls = vec!["NULL"; sets.len()].join(", ");
    let ddl = format!("CREATE TABLE vals (id int PRIMARY KEY, {columns})");
    let pair = pair(&ctx, &ddl).await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = run(&pair).await?;
    same(&pair.origin, &pair.target).await?;
    let insert = format!("INSERT INTO vals VALUES (1, {values}), (2, {nulls}), (3, {values})");
    pair.origin.execute(&insert).await?;
    pair.caught_up().await?;
    pair.same(&["public.vals"]).await?;
    // Into values from nothing, to nothing from values, one by one.
    pair.origin.execute(&format!("UPDATE vals SET {} WHERE id = 2", sets.join(", "))).await?;
    let sets: Vec<_> = (0..sets.len()).map(|at| format!("c{at} = NULL")).collect();
    pair.origin.execute(&format!("UPDATE vals SET {} WHERE id = 3", sets.join(", "))).await?;
    pair.caught_up().await?;
    pair.same(&["public.vals"]).await?;
    stop(process).await
}

/// Types of users in all combinations, with hostile names and labels.
const USERS_TYPES: &str = r#"
    CREATE SCHEMA "Sch ""ema";
    CREATE TYPE "Sch ""ema"."mo'od" AS ENUM ('sad', 'it''s, "quoted"', E'back\\slash', '{}', ' ');
    CREATE DOMAIN posint AS int4 DEFAULT 7 CONSTRAINT "is positive" CHECK (VALUE > 0);
    CREATE DOMAIN small AS posint NOT NULL DEFAULT 3 CHECK (VALUE < 100) CHECK (VALUE <> 50);
    CREATE DOMAIN word AS varchar(9) COLLATE "C";
    CREATE DOMAIN list AS int4[] CHECK (array_length(VALUE, 1) < 9);
    CREATE TYPE pair AS (a posint, b "Sch ""ema"."mo'od"[], c text COLLATE "C", "d e" numeric(5,2));
    CREATE TYPE nested AS (p pair, q pair[], r timestamptz(3));
    CREATE TYPE span AS RANGE (SUBTYPE = numeric);
    CREATE TYPE posspan AS RANGE (SUBTYPE = int8, MULTIRANGE_TYPE_NAME = posspans);
    CREATE TABLE users_types (
        id int PRIMARY KEY, m "Sch ""ema"."mo'od" NOT NULL DEFAULT 'it''s, "quoted"',
        ms "Sch ""ema"."mo'od"[], d posint, s small, w word, l list, ds posint[],
        p pair, ps pair[], n nested, r span, rs span[], x posspans
    );
    CREATE TABLE by_mood (m "Sch ""ema"."mo'od", s small, v text, PRIMARY KEY (m, s));
"#;

async fn users_types(ctx: Ctx) -> Result<()> {
    let pair = pair(&ctx, USERS_TYPES).await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = run(&pair).await?;
    same(&pair.origin, &pair.target).await?;
    let values = r#"
        INSERT INTO users_types VALUES
            (1, 'sad', ARRAY['{}', NULL, E'back\\slash', ' ', 'it''s, "quoted"']::"Sch ""ema"."mo'od"[], 1, 2,
             'word', '{1,2}', '{1,NULL,3}', ROW(1, ARRAY['sad', NULL]::"Sch ""ema"."mo'od"[], E'x,"y" \\ (z)', 1.50),
             ARRAY[ROW(1, NULL, NULL, NULL)::pair, NULL, ROW(2, '{}', '', 0)::pair],
             ROW(ROW(1, NULL, '', 2), ARRAY[ROW(3, NULL, '"', 1)::pair], '2020-01-01 00:00:00.1234+00'),
             '[1.5,2]', ARRAY['empty', '(,3]']::span[], '{[1,2],[5,6]}'),
            (2, DEFAULT, NULL, NULL, 5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
        INSERT INTO by_mood VALUES ('sad', 1, 'a'), (E'back\\slash', 2, 'b'), (' ', 3, 'c');
        UPDATE by_mood SET m = 'it''s, "quoted"' WHERE s = 1;
        DELETE FROM by_mood WHERE m = ' ';
        UPDATE users_types SET p.c = 'new', ms[2] = 'sad' WHERE id = 1;
    "#;
    pair.origin.execute(values).await?;
    pair.caught_up().await?;
    pair.same(&["public.users_types", "public.by_mood"]).await?;
    stop(process).await
}

/// Keys, constraints, indexes and defaults of every kind that goes over, names of every kind that is allowed.
fn everything() -> String {
    let long = "n".repeat(63);
    let umlauts = "ü".repeat(31);
    format!(
        r#"
    CREATE SCHEMA "Up Per";
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TABLE things (
        id bigint GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 5) PRIMARY KEY,
        n serial, small smallserial, other int8 GENERATED BY DEFAULT AS IDENTITY,
        m mood DEFAULT 'sad' NOT NULL, t text COLLATE "C" DEFAULT E'it''s \\ here', at timestamptz DEFAULT now(),
        day date DEFAULT CURRENT_DATE, u uuid DEFAULT gen_random_uuid(), num numeric(10,2) DEFAULT 1.50,
        calc numeric GENERATED ALWAYS AS (num * 2) STORED, arr int[] DEFAULT '{{}}', minus int DEFAULT -1,
        flag bool DEFAULT true, nothing varchar(5) DEFAULT NULL, span interval DEFAULT '01:00:00',
        later timestamp DEFAULT (now() AT TIME ZONE 'utc') + '1 day', r int4range, doc jsonb DEFAULT '{{"a": 1}}',
        gone int, ts tsvector GENERATED ALWAYS AS (to_tsvector('english', doc)) STORED,
        CONSTRAINT "num positive" CHECK (num > 0), CHECK (m <> 'ok' OR num > 1), CHECK (t ~ '^i'),
        UNIQUE (u), UNIQUE NULLS NOT DISTINCT (t, day) INCLUDE (num), UNIQUE (minus) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT apart EXCLUDE USING gist (r WITH &&)
    );
    ALTER TABLE things DROP COLUMN gone;
    ALTER TABLE things ADD CONSTRAINT "not yet" CHECK (num < 1000) NOT VALID;
    CREATE INDEX things_lower ON things (lower(t) text_pattern_ops);
    CREATE INDEX things_some ON things (num DESC NULLS LAST, day) INCLUDE (u) WHERE m = 'sad';
    CREATE UNIQUE INDEX "things one" ON things (at) NULLS NOT DISTINCT WHERE flag;
    CREATE INDEX things_arr ON things USING gin (arr);
    CREATE INDEX things_doc ON things USING gin (doc jsonb_path_ops);
    CREATE INDEX things_hash ON things USING hash (t);
    CREATE INDEX things_brin ON things USING brin (at) WITH (pages_per_range = 8);
    CREATE TABLE "Up Per"."sel ect" ("select" int, "a""b" text, PRIMARY KEY ("a""b", "select"), "Parent" text, "up" int);
    CREATE TABLE "Up Per".{long} (id int PRIMARY KEY, {long} int NOT NULL, "{umlauts}" text UNIQUE);
    CREATE INDEX " ON ONLY " ON "Up Per"."sel ect" ("up");
    ALTER TABLE "Up Per"."sel ect" ADD CONSTRAINT "to itself" FOREIGN KEY ("Parent", "up")
        REFERENCES "Up Per"."sel ect" ON DELETE SET NULL ("up") ON UPDATE CASCADE;
    CREATE TABLE hens (id int PRIMARY KEY, egg int NOT NULL);
    CREATE TABLE eggs (id int PRIMARY KEY, hen int NOT NULL REFERENCES hens DEFERRABLE INITIALLY DEFERRED);
    ALTER TABLE hens ADD FOREIGN KEY (egg) REFERENCES eggs ON DELETE CASCADE;
    CREATE TABLE shaky (id int PRIMARY KEY, hen int);
    ALTER TABLE shaky ADD FOREIGN KEY (hen) REFERENCES hens NOT VALID;
    CREATE TABLE keyless (a int, b text);
"#
    )
}

async fn same_catalogue(ctx: Ctx) -> Result<()> {
    let pair = pair(&ctx, &everything()).await?;
    pair.origin.execute("INSERT INTO things (t, num) VALUES ('i before', 5)").await?;
    pair.origin.execute("DROP TABLE keyless").await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = run(&pair).await?;
    same(&pair.origin, &pair.target).await?;
    // What is made takes rows.
    let changes = r#"
        INSERT INTO things (t, num, minus, doc) VALUES ('i one', 5, -2, '{"a": "foxes jump"}');
        BEGIN; INSERT INTO eggs VALUES (1, 1); INSERT INTO hens VALUES (1, 1); COMMIT;
        INSERT INTO "Up Per"."sel ect" VALUES (1, 'x', NULL, NULL), (2, 'y', 'x', 1);
        UPDATE "Up Per"."sel ect" SET "select" = 9 WHERE "a""b" = 'x';
    "#;
    pair.origin.execute(changes).await?;
    pair.caught_up().await?;
    pair.same(&["public.hens", "public.eggs", "\"Up Per\".\"sel ect\""]).await?;
    stop(process).await?;
    // Nothing is left to do, and nothing is done.
    let nothing = script(&pair)?;
    ensure!(!nothing.contains("CREATE") && !nothing.contains("ALTER"), "the second time: {nothing}");
    Ok(())
}

async fn dry_run(ctx: Ctx) -> Result<()> {
    let pair = pair(&ctx, &(everything() + USERS_TYPES)).await?;
    pair.publish("FOR ALL TABLES").await?;
    let refused = command(&pair, &["--dryRun"])?;
    ensure!(refused.status.code() == Some(2), "--dryRun alone ended with {}", refused.status);
    let text = script(&pair)?;
    ensure!(text.contains("has no primary key"), "keyless: {text}");
    let mut target = pair.target.connect().await?;
    let made = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";
    let made: i64 = sqlx::query_scalar(made).fetch_one(&mut target).await?;
    ensure!(made == 0, "the dry run made {made} relations");
    let scratch = pair.source.create_database("scratch").await?;
    scratch.execute(&text).await?;
    same(&pair.origin, &scratch).await
}

/// One command on an empty target: nothing is there beforehand, not even a publication.
async fn with_copy(ctx: Ctx) -> Result<()> {
    let (columns, values, _) = all_values();
    let values_table = format!(
        "CREATE TABLE vals (id int PRIMARY KEY, {columns}); INSERT INTO vals VALUES (1, {values}), (2, {values});"
    );
    let pair = pair(&ctx, &(everything() + USERS_TYPES + PARTITIONED + &values_table)).await?;
    let rows = r#"
        DROP TABLE keyless;
        INSERT INTO things (t, num, minus, at, doc)
            SELECT 'i ' || i, 5, i, now() + i * interval '1s', '{"a": "foxes jump"}' FROM generate_series(1, 3000) i;
        BEGIN; INSERT INTO eggs VALUES (1, 1); INSERT INTO hens VALUES (1, 1); COMMIT;
        INSERT INTO "Up Per"."sel ect" VALUES (1, 'x', NULL, NULL), (2, 'y', 'x', 1);
        INSERT INTO parent VALUES (1);
        INSERT INTO p VALUES (1, '2005-01-01', 'a', 1), (2, '2015-01-01', 'b', NULL);
        INSERT INTO child VALUES (1, 2, '2015-01-01');
        INSERT INTO users_types (id, s, ms, p, r) VALUES (1, 2, '{sad,NULL}', ROW(1, '{sad}', 'c', 1.5), '[1,2]');
    "#;
    pair.origin.execute(rows).await?;
    let planned = command(&pair, &["--createTables", "--dryRun", "--snapshotMode=initial"])?;
    let planned = String::from_utf8(planned.stdout)?;
    ensure!(planned.contains("CREATE TABLE \"public\".\"things\""), "the dry run shows {planned}");
    let service = pair.service().args(["--createTables", "--snapshotMode", "initial"]);
    let process = ServiceProcess::start(service, pair.folder()).await?;
    pair.origin.execute("INSERT INTO p VALUES (3, '2016-01-01', 'c', 1); UPDATE hens SET id = id").await?;
    pair.caught_up().await?;
    let tables =
        ["public.vals", "public.hens", "public.eggs", "public.p", "public.child", "public.users_types"];
    pair.same(&tables).await?;
    let things = "SELECT count(*) || ' ' || sum(id) || ' ' || sum(minus) || ' ' || sum(calc) FROM things";
    let count = async |of: &Database| -> Result<String> {
        Ok(sqlx::query_scalar(things).fetch_one(&mut of.connect().await?).await?)
    };
    ensure!(count(&pair.origin).await? == count(&pair.target).await?, "things differ");
    stop(process).await?;
    // The partitioned table is a plain one there; all others are the same.
    let drop = "DROP TABLE child, p, parent CASCADE";
    pair.origin.execute(drop).await?;
    pair.target.execute(drop).await?;
    same(&pair.origin, &pair.target).await
}

/// What the source has, as the program reads it.
async fn read(pair: &Pair, target: &Target) -> Result<Definitions> {
    let settings = Settings {
        publication: "my_pub".to_owned(),
        slot: "cdc_sink".to_owned(),
        tables: Vec::new(),
        workers: 1,
        slot_patience: LIMIT,
        question_limit: LIMIT,
    };
    let config = replication::config(&pair.origin)?;
    Ok(table_definitions(&config, &settings, target.home().name(), false).await?)
}

async fn half_made(ctx: Ctx) -> Result<()> {
    let pair = pair(&ctx, &everything()).await?;
    pair.origin.execute("DROP TABLE keyless; CREATE TABLE mine (id int PRIMARY KEY, a int UNIQUE)").await?;
    pair.publish("FOR ALL TABLES").await?;
    // One that somebody else made stays as it is.
    pair.target.execute("CREATE TABLE mine (id int PRIMARY KEY, a int)").await?;
    let target = connect(pair.target.url()).await?;
    let maker = TableMaker::new(Arc::clone(target.home()));
    let wanted = read(&pair, &target).await?;
    let made = maker.before_copy(&wanted).await?;
    ensure!(made.len() == wanted.tables.len() - 1, "made {made:?}");
    // As if the process died among the statements of the second phase.
    pair.target.execute("CREATE INDEX things_arr ON things USING gin (arr)").await?;
    pair.target.execute("ALTER TABLE hens ADD FOREIGN KEY (egg) REFERENCES eggs ON DELETE CASCADE").await?;
    target.close().await;
    stop(run(&pair).await?).await?;
    let mine = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'mine'::regclass AND contype = 'u'";
    let mine: i64 = sqlx::query_scalar(mine).fetch_one(&mut pair.target.connect().await?).await?;
    ensure!(mine == 0, "a table of somebody else was changed");
    pair.target.execute("DROP TABLE mine").await?;
    pair.origin.execute("DROP TABLE mine").await?;
    same(&pair.origin, &pair.target).await
}

async fn two_at_once(ctx: Ctx) -> Result<()> {
    let pair = pair(&ctx, &(everything() + USERS_TYPES)).await?;
    pair.publish("FOR ALL TABLES").await?;
    let targets = [connect(pair.target.url()).await?, connect(pair.target.url()).await?];
    let wanted = read(&pair, &targets[0]).await?;
    let makers = targets.each_ref().map(|target| TableMaker::new(Arc::clone(target.home())));
    let (one, two) = tokio::join!(makers[0].before_copy(&wanted), makers[1].before_copy(&wanted));
    let (one, two) = (one.context("the first")?, two.context("the second")?);
    ensure!(!one.is_empty() || !two.is_empty(), "nobody made anything");
    let (one, two) = tokio::join!(makers[0].after_copy(&wanted), makers[1].after_copy(&wanted));
    one.context("the first")?;
    two.context("the second")?;
    for target in &targets {
        target.close().await;
    }
    same(&pair.origin, &pair.target).await
}

async fn left_out(ctx: Ctx) -> Result<()> {
    let ddl = r#"
        CREATE SEQUENCE shared;
        CREATE FUNCTION one() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
        CREATE COLLATION mine (provider = libc, locale = 'C');
        CREATE TABLE t (id int PRIMARY KEY DEFAULT nextval('shared'), a int DEFAULT one() CHECK (a > one()),
            b int GENERATED ALWAYS AS (a + one()) STORED, c text COLLATE mine, elsewhere int);
        CREATE INDEX by_one ON t ((a + one()));
        CREATE TABLE not_published (id int PRIMARY KEY);
        ALTER TABLE t ADD CONSTRAINT away FOREIGN KEY (elsewhere) REFERENCES not_published;
        CREATE TABLE listed (id int PRIMARY KEY, shown text, hidden int NOT NULL);
    "#;
    let pair = pair(&ctx, ddl).await?;
    pair.publish("FOR TABLE t, listed (id, shown)").await?;
    let text = script(&pair)?;
    for note in [
        "column \"id\": its default is left out, for it uses sequence public.shared",
        "column \"a\": its default is left out, for it uses function public.one()",
        "column \"b\": is not computed here and stays empty, for it uses function public.one()",
        "column \"c\": collation public.mine is left out",
        "check \"t_a_check\" is left out: it uses function public.one()",
        "index \"by_one\" is left out: it uses function public.one()",
        "constraint \"away\" of \"public\".\"t\": left out: it points at \"public\".\"not_published\"",
        "column \"hidden\" is not published, so it stays empty",
    ] {
        ensure!(text.contains(note), "{note:?} is missing in:\n{text}");
    }
    let process = run(&pair).await?;
    pair.origin
        .execute("INSERT INTO t (a, c) VALUES (5, 'x'); INSERT INTO listed VALUES (1, 'a', 2)")
        .await?;
    pair.caught_up().await?;
    let row: String = sqlx::query_scalar("SELECT (t.*)::text || (l.*)::text FROM t, listed l")
        .fetch_one(&mut pair.target.connect().await?)
        .await?;
    ensure!(row == "(1,5,,x,)(1,a,)", "the rows are {row}");
    stop(process).await
}

const PARTITIONED: &str = "
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE p (id int, at date, v text CHECK (v <> ''), up int REFERENCES parent, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE INDEX p_v ON p (v);
    CREATE TABLE p_old PARTITION OF p FOR VALUES FROM ('2000-01-01') TO ('2010-01-01');
    CREATE TABLE p_new PARTITION OF p FOR VALUES FROM ('2010-01-01') TO ('2030-01-01');
    CREATE TABLE child (id int PRIMARY KEY, p int, at date, FOREIGN KEY (p, at) REFERENCES p);
";

async fn partitions(ctx: Ctx) -> Result<()> {
    let pair = pair(&ctx, PARTITIONED).await?;
    pair.publish("FOR TABLE p, parent, child").await?;
    let leaves = script(&pair)?;
    ensure!(
        leaves.contains("CREATE TABLE \"public\".\"p_old\"") && !leaves.contains("\"public\".\"p\" ("),
        "{leaves}"
    );
    ensure!(leaves.contains("left out: it points at \"public\".\"p\""), "{leaves}");
    let scratch = pair.source.create_database("scratch").await?;
    scratch.execute(&leaves).await?;

    pair.origin.execute("ALTER PUBLICATION my_pub SET (publish_via_partition_root = true)").await?;
    let process = run(&pair).await?;
    let changes = "INSERT INTO parent VALUES (1); INSERT INTO p VALUES (1, '2005-01-01', 'a', 1), (2, '2015-01-01', 'b', NULL);
                   INSERT INTO child VALUES (1, 2, '2015-01-01'); UPDATE p SET at = '2016-01-01' WHERE id = 1";
    pair.origin.execute(changes).await?;
    pair.caught_up().await?;
    pair.same(&["public.p", "public.parent", "public.child"]).await?;
    let plain = "SELECT string_agg(c.relname || c.relkind::text, ' ' ORDER BY c.relname) || ' ' \
                 || (SELECT count(*) FROM pg_constraint WHERE contype = 'f') || ' ' \
                 || (SELECT count(*) FROM pg_indexes WHERE indexname = 'p_v') \
                 FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')";
    let plain: String = sqlx::query_scalar(plain).fetch_one(&mut pair.target.connect().await?).await?;
    ensure!(plain == "childr pr parentr 2 1", "the target has {plain}");
    stop(process).await
}

async fn wide(ctx: Ctx) -> Result<()> {
    let columns: Vec<_> = (1..1000).map(|at| format!("\"Column {at}\" int DEFAULT {at}")).collect();
    let pair = pair(&ctx, &format!("CREATE TABLE wide (id int PRIMARY KEY, {})", columns.join(", "))).await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = run(&pair).await?;
    same(&pair.origin, &pair.target).await?;
    pair.origin
        .execute("INSERT INTO wide (id, \"Column 7\") SELECT i, NULL FROM generate_series(1, 20) i")
        .await?;
    pair.caught_up().await?;
    pair.same(&["public.wide"]).await?;
    stop(process).await
}

async fn extensions(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "SELECT 1").await?;
    let ddl = "CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE EXTENSION citext;
               CREATE DOMAIN label AS citext CHECK (VALUE <> ''::citext);
               CREATE TABLE t (id citext PRIMARY KEY, h ext.hstore, hs ext.hstore[], l label, e text DEFAULT 'x')";
    pair.origin.execute(ddl).await?;
    pair.publish("FOR ALL TABLES").await?;
    let text = script(&pair)?;
    let statements = [
        "CREATE EXTENSION IF NOT EXISTS \"citext\" WITH SCHEMA \"public\";",
        "CREATE EXTENSION IF NOT EXISTS \"hstore\" WITH SCHEMA \"ext\";",
    ];
    let refused = command(&pair, &["--createTables"])?;
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(3), "ended with {}: {error}", refused.status);
    ensure!(error.contains(statements[0].trim_end_matches(';')), "{error}");
    pair.target.execute("CREATE SCHEMA ext").await?;
    for statement in statements {
        ensure!(text.contains(statement), "{statement} is missing in {text}");
        pair.target.execute(statement).await?;
    }
    let process = run(&pair).await?;
    pair.origin
        .execute(
            "INSERT INTO t VALUES ('Key', '\"a\"=>\"1\", \"b c\"=>NULL', ARRAY['a=>1'::ext.hstore], 'L')",
        )
        .await?;
    pair.origin
        .execute("UPDATE t SET id = 'KEY', h = 'x=>y, z=>NULL'; UPDATE t SET l = 'M' WHERE id = 'key'")
        .await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    stop(process).await
}
