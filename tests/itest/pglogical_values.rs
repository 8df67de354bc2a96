//! What values are in the target: byte for byte what they are at the source, whatever the sessions' defaults.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sqlx::AssertSqlSafe;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::pgoutput_values::VALUES;
use crate::support::pair::{Pair, Story};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const BOTH: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
    vec![
        scenario("pglogical_values_arrive_byte_for_byte", BOTH, types),
        scenario("pglogical_texts_and_keys_of_any_kind_arrive", BOTH, texts),
        scenario("pglogical_rows_of_a_thousand_columns_arrive", BOTH, wide)
            .deadline(Duration::from_secs(240)),
        scenario("pglogical_hostile_names_are_only_names", BOTH, names),
        scenario("pglogical_huge_rows_arrive", BOTH, huge).deadline(Duration::from_secs(240)),
    ]
}

/// Types of one's own.
const TYPES: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'it''s, \"quoted\"', 'Ünï');
    CREATE TYPE pair AS (n int, \"a b\" text, f float8);
    CREATE DOMAIN posint AS int CHECK (VALUE > 0);
    CREATE DOMAIN short AS varchar(5);
    CREATE TYPE span AS RANGE (subtype = float8);
";

/// Type and value of columns beside those whose text on the wire is known.
const MORE: &[(&str, &str)] = &[
    ("mood", "'it''s, \"quoted\"'"),
    ("mood[]", "ARRAY['sad', 'it''s, \"quoted\"', NULL, 'Ünï']::mood[]"),
    ("pair", "ROW(1, E'x,\"y\" (z)\\t', NULL)::pair"),
    ("pair[]", "ARRAY[ROW(1, 'a', 1.5)::pair, NULL, ROW(NULL, '', 'NaN')::pair]"),
    ("posint", "7"),
    ("short", "'ab'"),
    ("short[]", "ARRAY['ab', 'c,d']::short[]"),
    ("span", "'[1.5,)'"),
    ("span[]", "ARRAY['[1,2]', 'empty']::span[]"),
    ("numeric", "'Infinity'"),
    ("numeric[]", "'{NaN,-Infinity,1.10,NULL}'"),
    ("numeric", "repeat('9', 500)::numeric + 0.000000000000000000001"),
    ("float4", "'-0'"),
    ("float8", "5e-324"),
    ("float8", "1.7976931348623157e308"),
    ("timestamptz[]", "'{infinity,-infinity,\"0044-03-15 12:00:00+00 BC\"}'"),
    ("timestamp(0)", "'2020-02-03 04:05:06'"),
    ("interval", "'-1 year -2 mons +3 days -04:05:06.000001'"),
    ("interval day to second(2)", "'1 day 00:00:01.25'"),
    ("char(3)[]", "'{a,bcd}'"),
    ("varbit(9)[]", "'{101,0}'"),
    ("json", "'null'"),
    ("jsonb", "'null'"),
    ("jsonb", "'{\"a\": \"\\u00e4\\\\\\\\\", \"n\": 1e400}'"),
    ("int[]", "'[2:4]={1,2,3}'"),
    ("text[]", "'{}'"),
    ("bytea", "decode(repeat('00ff', 5000), 'hex')"),
    ("text", "repeat(E'é\\U0001F600\\t\\n\\r\\\\\"''', 3000)"),
    ("line", "'{1,2,3}'"),
    ("lseg", "'(1,2),(3,4)'"),
    ("path", "'[(1,2),(3,4)]'"),
    ("polygon", "'(1,2),(3,4),(5,6)'"),
    ("circle", "'<(1,2),3>'"),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'"),
    ("txid_snapshot", "'10:20:10,14,15'"),
    ("pg_snapshot", "'10:20:10,14,15'"),
    ("xid8", "'18446744073709551615'"),
    ("tid", "'(1,2)'"),
    ("cid", "'7'"),
    ("oidvector", "'1 2 3'"),
    ("int2vector", "'1 2 3'"),
    ("datemultirange", "'{[2020-01-01,2020-02-01)}'"),
    ("nummultirange", "'{(1.10,2.20],(3,)}'"),
];

/// What a session of the source prints unlike others, and what a session of the target would read so.
const ODD_SOURCE: &str = "
    CREATE ROLE odd SUPERUSER LOGIN REPLICATION;
    ALTER ROLE odd SET datestyle = 'SQL, DMY';
    ALTER ROLE odd SET timezone = 'Asia/Tokyo';
    ALTER ROLE odd SET intervalstyle = 'iso_8601';
    ALTER ROLE odd SET bytea_output = 'escape';
    ALTER ROLE odd SET extra_float_digits = 0;
    ALTER ROLE odd SET search_path = 'public';
";
const ODD_TARGET: [&str; 6] = [
    "datestyle = 'SQL, DMY'",
    "timezone = 'Asia/Tokyo'",
    "intervalstyle = 'sql_standard'",
    "bytea_output = 'escape'",
    "extra_float_digits = 0",
    "search_path = 'pg_temp'",
];

async fn types(ctx: Ctx) -> Result<()> {
    let known = VALUES.iter().map(|(name, value, _)| (*name, *value)).filter(|(name, _)| *name != "regclass");
    let all: Vec<(&str, &str)> = known.chain(MORE.iter().copied()).collect();
    let (mut columns, mut values, mut copies) = (String::new(), String::new(), String::new());
    for (at, (name, value)) in all.iter().enumerate() {
        write!(columns, ", c{at} {name}")?;
        write!(values, ", {value}")?;
        write!(copies, "{}c{at} = s.c{at}", if at == 0 { "" } else { ", " })?;
    }
    let types = format!(
        "{TYPES} CREATE TABLE vals (id int PRIMARY KEY{columns}); CREATE TABLE whole (LIKE vals INCLUDING ALL); \
         ALTER TABLE whole REPLICA IDENTITY FULL;"
    );
    let pair = Pair::start(&ctx, &types).await?;
    pair.origin.execute(ODD_SOURCE).await?;
    for setting in ODD_TARGET {
        let name = pair.target.name();
        pair.target.execute(&format!("ALTER DATABASE {name} SET {setting}")).await?;
    }
    pair.publish("FOR ALL TABLES").await?;
    let mut process = ServiceProcess::start(pair.service_from("odd"), pair.folder()).await?;
    for table in ["vals", "whole"] {
        let insert =
            format!("INSERT INTO {table} VALUES (1{values}), (2{}), (3{values})", ", NULL".repeat(all.len()));
        // Every value from NULL by an update, and to NULL; a key in between.
        let update = format!("UPDATE {table} t SET {copies} FROM {table} s WHERE t.id = 2 AND s.id = 1");
        let empty = format!(
            "UPDATE {table} t SET {copies} FROM (SELECT * FROM {table} UNION ALL SELECT 4{}) s \
             WHERE t.id = 3 AND s.id = 4",
            ", NULL".repeat(all.len())
        );
        for step in [insert, update, empty, format!("UPDATE {table} SET id = 5 WHERE id = 1")] {
            pair.origin.execute(&step).await?;
            pair.caught_up().await.with_context(|| process.log_tail())?;
            pair.same(&[format!("public.{table}")])
                .await
                .with_context(|| step.chars().take(40).collect::<String>())?;
        }
    }
    ensure!(process.terminate(Duration::from_secs(10)).await? == Some(0), "{}", process.log_tail());
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

async fn texts(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: "
            CREATE TYPE colour AS ENUM ('red', 'green');
            CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, b text, c text[]);
            CREATE TABLE by_text (k text PRIMARY KEY, v int);
            CREATE TABLE by_many (n numeric, at timestamptz, f float8, c colour, b bytea, v int, PRIMARY KEY (n, at, f, c, b));
            CREATE TABLE by_char (k char(5) PRIMARY KEY, v int);
            CREATE TABLE only_key (a int, b text, PRIMARY KEY (b, a));
            CREATE TABLE numbered (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, n int GENERATED BY DEFAULT AS IDENTITY);
        ",
        published: "",
        steps: &[
            r#"INSERT INTO t VALUES (1, E'tab\tnewline\nquote''"\\', '', ARRAY['NULL', NULL, '', ' ', '{', '"']),
                (2, '', NULL, '{}'), (3, 'NULL', 'null', NULL), (4, E'\U0001F600\u00e9\u0001\u007f', E'\\N', ARRAY[E'\\', E'\n'])"#,
            "UPDATE t SET b = NULL WHERE b = ''; UPDATE t SET b = '' WHERE id = 2; UPDATE t SET a = a || a, c = c || c",
            "INSERT INTO by_text VALUES ('', 1), (' ', 2), ('NULL', 3), (E'a\\nb', 4), ('ä', 5), ('Ä', 6)",
            "UPDATE by_text SET k = k || '''', v = v + 1; DELETE FROM by_text WHERE v = 3",
            "INSERT INTO by_many SELECT x, 'infinity', 'NaN', 'red', '\\x00', 1 FROM unnest('{1,1.5,NaN,Infinity}'::numeric[]) x",
            "INSERT INTO by_many VALUES (0, '0044-03-15 12:00:00 BC', '-0', 'green', '', 2), (1.10, '-infinity', 1e-300, 'green', '\\xff', 3)",
            "UPDATE by_many SET n = 1.100 WHERE n = 1.1; UPDATE by_many SET f = 'Infinity', v = 9 WHERE f = 'NaN' AND n > 1",
            "DELETE FROM by_many WHERE n = 'NaN'; UPDATE by_many SET c = 'green' WHERE c = 'red'",
            "INSERT INTO by_char VALUES ('a', 1), ('ab', 2), ('abcde', 3); UPDATE by_char SET k = 'b' WHERE k = 'a'; \
             DELETE FROM by_char WHERE k = 'ab'; INSERT INTO by_char VALUES ('ab', 4)",
            "INSERT INTO only_key VALUES (1, 'x'), (2, 'x'), (1, 'y'); UPDATE only_key SET a = a + 10 WHERE b = 'x'; \
             DELETE FROM only_key WHERE b = 'y'",
            "INSERT INTO numbered (v) SELECT 'x' || i FROM generate_series(1, 50) i; UPDATE numbered SET v = v || '!' WHERE id % 2 = 0; \
             UPDATE numbered SET n = -n WHERE id % 3 = 0; DELETE FROM numbered WHERE id % 7 = 0",
            "INSERT INTO numbered (id, v) OVERRIDING SYSTEM VALUE VALUES (1000, 'given'); UPDATE numbered SET id = DEFAULT WHERE id = 1000",
        ],
        compared: &["t", "by_text", "by_many", "by_char", "only_key", "numbered"],
    };
    story.happens(&ctx, &[]).await.map(drop)
}

fn joined(numbers: std::ops::Range<usize>, with: &str, of: impl Fn(usize) -> String) -> String {
    numbers.map(of).collect::<Vec<_>>().join(with)
}

/// With values that are stored out of line, so that updates leave out another set of columns each.
async fn wide(ctx: Ctx) -> Result<()> {
    const LONG: &str = "repeat('long', 600)";
    let column = |at: usize| format!("c{at} {}", ["int", "text", "numeric(10,2)"][at % 3]);
    let external = |at: usize| format!("ALTER x{at} SET STORAGE EXTERNAL");
    let tables = format!(
        "CREATE TABLE wide (id int PRIMARY KEY, {}); CREATE TABLE most (id int PRIMARY KEY, {}); \
         CREATE TABLE sets (id int PRIMARY KEY, {}, {}); ALTER TABLE sets {}",
        joined(0..999, ", ", column),
        joined(0..1599, ", ", |at| format!("c{at} int")),
        joined(0..900, ", ", |at| format!("c{at} int")),
        joined(0..8, ", ", |at| format!("x{at} text")),
        joined(0..8, ", ", external),
    );
    let value = |at: usize| if at % 3 == 1 { format!("'t' || {at}") } else { format!("i + {at}") };
    let rows =
        format!("INSERT INTO wide SELECT i, {} FROM generate_series(1, 60) i", joined(0..999, ", ", value));
    let number = |at: usize| format!("i + {at}");
    let most =
        format!("INSERT INTO most SELECT i, {} FROM generate_series(1, 20) i", joined(0..1599, ", ", number));
    let sets = format!(
        "INSERT INTO sets SELECT i, {}, {} FROM generate_series(0, 255) i",
        joined(0..900, ", ", number),
        joined(0..8, ", ", |_| LONG.to_owned())
    );
    // Each of 256 rows changes another set of columns: more parameters than a statement can have.
    let change = |row: usize| {
        let changed = (0..8).filter(|bit| row >> bit & 1 == 1);
        let changed = changed.map(|bit| format!(", x{bit} = repeat('new{row}', 500)"));
        format!("UPDATE sets SET c1 = -1{} WHERE id = {row}", changed.collect::<String>())
    };
    let (one, many) = (joined(0..256, "; ", change), joined(0..256, "; COMMIT; ", change));
    let story = Story {
        tables: &tables,
        published: "",
        steps: &[
            &rows,
            &most,
            &sets,
            "UPDATE wide SET c998 = 7, c0 = NULL, c1 = 'new' WHERE id % 2 = 0; UPDATE wide SET id = -id WHERE id % 5 = 0",
            "UPDATE most SET c1598 = NULL, id = -id",
            &one,
            &many,
        ],
        compared: &["wide", "most", "sets"],
    };
    story.happens(&ctx, &[]).await.map(drop)
}

const HOSTILE: &str = r#"
    CREATE SCHEMA "Sche ma""x.y'z";
    CREATE TABLE "Sche ma""x.y'z"."Ta ble; DROP" ("Id""" int, "select" text, "a b" int, "A B" int, "$1" text, "ünï" text,
        "x'); --" text, PRIMARY KEY ("Id""", "select"));
    CREATE TABLE "Sche ma""x.y'z"."order" ("table" int PRIMARY KEY, "end" text, "v.k0" text, c0 text, k0 text, u text, t text,
        excluded text, o text, fence text, g0 text);
    CREATE TABLE "T" (id int PRIMARY KEY, v text);
    CREATE TABLE t (id int PRIMARY KEY, v text);
    CREATE TABLE "a%s{}\" ("%1$s" int PRIMARY KEY, "{}" text, "\" text);
"#;

async fn names(ctx: Ctx) -> Result<()> {
    let longest = "n".repeat(63);
    let ddl = format!("{HOSTILE} CREATE TABLE {longest} (id int PRIMARY KEY, {} text)", "m".repeat(63));
    let mut pair = Pair::start(&ctx, &ddl).await?;
    pair.publication = "Pub Mixed,X \"y\" 'z'".to_owned();
    pair.publish("FOR ALL TABLES").await?;
    let process = pair.run().await?;
    let steps = [
        r#"INSERT INTO "Sche ma""x.y'z"."Ta ble; DROP" SELECT i, 's' || i, i, -i, 'd', 'ü', 'x' FROM generate_series(1, 9) i"#,
        r#"UPDATE "Sche ma""x.y'z"."Ta ble; DROP" SET "select" = 'new', "a b" = 0 WHERE "Id""" < 4"#,
        r#"DELETE FROM "Sche ma""x.y'z"."Ta ble; DROP" WHERE "Id""" = 9"#,
        r#"INSERT INTO "Sche ma""x.y'z"."order" SELECT i, 'e', 'v', 'c', 'k', 'u', 't', 'x', 'o', 'f', 'g' FROM generate_series(1, 5) i"#,
        r#"UPDATE "Sche ma""x.y'z"."order" SET "table" = -"table", "end" = NULL WHERE "table" > 2"#,
        r#"INSERT INTO "T" VALUES (1, 'upper'); INSERT INTO t VALUES (1, 'lower'); UPDATE t SET v = 'l' WHERE id = 1"#,
        r#"INSERT INTO "a%s{}\" VALUES (1, '%', '\'); UPDATE "a%s{}\" SET "{}" = '{}'"#,
    ];
    for step in steps {
        pair.origin.execute(step).await?;
    }
    pair.origin.execute(&format!("INSERT INTO {longest} VALUES (1, 'x')")).await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    let tables = [
        r#""Sche ma""x.y'z"."Ta ble; DROP""#,
        r#""Sche ma""x.y'z"."order""#,
        r#"public."T""#,
        "public.t",
        r#"public."a%s{}\""#,
        &format!("public.{longest}"),
    ];
    pair.same(&tables).await?;
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

/// Rows much larger than a batch, and than the bytes in flight.
async fn huge(ctx: Ctx) -> Result<()> {
    let megabytes = if ctx.is_long() { 200 } else { 48 };
    let pair = Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, a text, b bytea, v int)").await?;
    pair.publish("FOR ALL TABLES").await?;
    let mut process = pair.run().await?;
    let million = "repeat('0123456789abcdef', 65536)";
    let large =
        format!("INSERT INTO t VALUES (1, repeat({million}, {megabytes}), NULL, 1), (2, 'small', NULL, 1)");
    let bytes =
        format!("INSERT INTO t SELECT 3, NULL, decode(repeat({million}, {}), 'hex'), 1", megabytes / 2);
    for step in [&large, "UPDATE t SET v = 2", "UPDATE t SET id = 4 WHERE id = 1", &bytes] {
        pair.origin.execute(step).await?;
        pair.caught_up().await.with_context(|| process.log_tail())?;
        let sql = "SELECT string_agg(id || ' ' || v || ' ' || coalesce(md5(a), '-') || ' ' || coalesce(md5(b), '-'), ',' ORDER BY id) FROM t";
        let mut found = Vec::new();
        for side in [&pair.origin, &pair.target] {
            let text: String =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut side.connect().await?).await?;
            found.push(text);
        }
        ensure!(found[0] == found[1], "{found:?} after {}", &step[..20.min(step.len())]);
    }
    let held = process.rss_bytes()?;
    ensure!(held < 12 * megabytes * (1 << 20), "{held} bytes are held after rows of {megabytes} MB");
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}
