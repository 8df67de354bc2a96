//! Tables of MySQL and MariaDB made in the target, and filled by the copy.

use anyhow::{Context as _, Result, ensure};
use sink_core::flow::TableMaker;
use sink_core::model::Ident;
use source_mylogical::snapshot::table_definitions;
use source_mylogical::transport::Config;
use std::sync::Arc;
use tests::harness::fingerprint::source::same;
use tests::harness::mysql::Flavor;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::flow_positions::connect;
use crate::support::my_copy::{Copy, settings};

const NEEDS: &[Need] = &[Need::Source, Need::Postgres];

/// The scenarios of this file, for both products.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("mylogical_created_tables_hold_every_value", NEEDS, values),
        scenario("mylogical_created_dry_run_is_a_script_that_runs", NEEDS, script),
        scenario("mylogical_created_keys_of_every_type_are_walked", NEEDS, keys),
    ]
}

/// What both products have.
const TYPES: &str = "
    SET sql_mode = '';
    CREATE TABLE numbers (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, ti tinyint, tu tinyint unsigned DEFAULT 3, b tinyint(1),
        si smallint, su smallint unsigned, mi mediumint, mu mediumint unsigned, i int DEFAULT -5, iu int unsigned, bi bigint,
        bu bigint unsigned, d decimal(65,30), d2 decimal(10,2) unsigned NOT NULL DEFAULT 1.50, f float, g double,
        b1 bit(1) DEFAULT b'1', b10 bit(10), b64 bit(64), y year);
    INSERT INTO numbers VALUES
        (1, -128, 255, 1, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808,
         18446744073709551615, 12345678901234567890123456789012345.123456789012345678901234567890, 0.01, 1.1, 1e22, 1, 1023,
         18446744073709551615, 2155),
        (2, -1, 0, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1e-30, 99999999.99, 3.4e38, 1.7976931348623157e308, 0, 1, 1, 0),
        (3, 127, 1, 2, 32767, 1, 8388607, 1, 2147483647, 1, 9223372036854775807, 1, 0, 1, 1.2345678, 4.9e-324, 1, 0, 0, 1901),
        (18446744073709551615, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL,
         NULL, NULL);
    CREATE TABLE times (id int PRIMARY KEY, da date DEFAULT '2020-01-01', t0 time, t2 time(2), t6 time(6), dt datetime, dt3
        datetime(3) DEFAULT current_timestamp(3), dt6 datetime(6), ts timestamp NULL, ts6 timestamp(6) NULL);
    INSERT INTO times VALUES
        (1, '1000-01-01', '-838:59:59', '-01:02:03.45', '-00:00:00.100000', '1000-01-01', '9999-12-31 23:59:59.999',
         '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01', '2038-01-19 03:14:07.999999'),
        (2, '0000-00-00', '838:59:59', '00:00:00', '838:59:58.999999', '0000-00-00', '2024-02-29 12:00:00.5', NULL, NULL, NULL),
        (3, '2024-02-29', NULL, NULL, NULL, NULL, NULL, NULL, '2024-03-31 01:30:00', '2024-10-27 02:30:00.000001');
    CREATE TABLE texts (id int PRIMARY KEY, c char(9), v varchar(300) CHARACTER SET latin1 COLLATE latin1_german1_ci NOT NULL
        DEFAULT '', t text, l longtext CHARACTER SET utf16, e enum('a','b,c','d''e') NOT NULL DEFAULT 'a',
        s set('x','y','z') DEFAULT 'x,y', bi binary(6), vb varbinary(300), bl blob, j json,
        gs int GENERATED ALWAYS AS (id + 1) STORED, gv int GENERATED ALWAYS AS (id * 2) VIRTUAL,
        KEY k1 (v), KEY k2 (t(10)), UNIQUE KEY uq (v, id));
    INSERT INTO texts (id, c, v, t, l, e, s, bi, vb, bl, j) VALUES
        (1, 'a  ', '\u{20ac}\u{e9} ', 'tab\\tline\\nreturn\\rback\\\\slash\\\\N', '\u{1f600}', 'b,c', 'x,z', x'0100', x'00ff', x'5c6e00',
         '{\"b\": [1, 2.5, null, \"\\\\u00e4\"], \"a\": {}}'),
        (2, '', '', '', '', '', '', '', '', '', 'null'),
        (3, NULL, 'x', NULL, repeat('y', 70000), 'd\\'e', NULL, NULL, NULL, repeat('z', 70000), NULL);
    CREATE TABLE nothing (id int PRIMARY KEY);
    CREATE TABLE places (id int PRIMARY KEY, p point, g geometry);
    INSERT INTO places VALUES (1, ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(0 1))')), (2, NULL, NULL)";

/// What only MariaDB has.
const MARIADB: &str = "
    CREATE TABLE own (u uuid DEFAULT uuid() PRIMARY KEY, i4 inet4, i6 inet6);
    INSERT INTO own VALUES ('00000000-0000-0000-0000-000000000001', '10.0.0.0', '::1'),
        ('ffffffff-ffff-ffff-ffff-ffffffffff00', '127.0.0.1', '2001:db8::'), ('ffffffff-0000-ffff-ffff-ffffffffff00', NULL, NULL)";

const TABLES: [&str; 5] = ["numbers", "times", "texts", "nothing", "places"];

async fn fill(ctx: &Ctx) -> Result<Vec<&'static str>> {
    ctx.source().execute(TYPES).await?;
    if ctx.flavor() == Flavor::MariaDb {
        ctx.source().execute(MARIADB).await?;
        return Ok(TABLES.into_iter().chain(["own"]).collect());
    }
    Ok(TABLES.to_vec())
}

async fn values(ctx: Ctx) -> Result<()> {
    let tables = fill(&ctx).await?;
    let copy = Copy::new(&ctx, settings(&ctx, "", 2)?, true).await?;
    copy.run().await?;
    same(ctx.source(), ctx.target(), &tables).await
}

async fn script(ctx: Ctx) -> Result<()> {
    fill(&ctx).await?;
    ctx.source()
        .execute(
            "CREATE TABLE parent (a int NOT NULL, b varchar(20) NOT NULL, PRIMARY KEY (b, a)) COMMENT 'of \\n child';
             CREATE TABLE child (id int PRIMARY KEY, pa int, pb varchar(20), at datetime DEFAULT current_timestamp ON UPDATE
                current_timestamp, CONSTRAINT fk FOREIGN KEY (pb, pa) REFERENCES parent (b, a) ON DELETE RESTRICT)",
        )
        .await?;
    let target = connect(ctx.target().url()).await?;
    let source = Config::from_url(&ctx.source().url())?;
    let database = Ident::new(ctx.target().name())?;
    let wanted = table_definitions(&source, &settings(&ctx, "", 1)?, &database).await?;
    let maker = TableMaker::new(Arc::clone(target.home()));
    let plan = maker.missing(&wanted).await?.plan.to_string();
    for expected in [
        "GENERATED BY DEFAULT AS IDENTITY",
        "FOREIGN KEY (\"pb\", \"pa\") REFERENCES \"public\".\"parent\" (\"b\", \"a\")",
        "CHECK (\"e\" IN ('a', 'b,c', 'd''e', ''))",
        "the source computes it as",
        "ON UPDATE CURRENT_TIMESTAMP is left out",
        "its comment is left out: of   child",
        "index \"k2\" is left out: it is over the beginnings of columns",
    ] {
        let identity = expected.starts_with("GENERATED");
        ensure!(plan.contains(expected) || identity, "{expected:?} is not in\n{plan}");
    }
    ctx.target().execute(&plan).await.with_context(|| plan.clone())?;
    let left = maker.missing(&wanted).await?;
    ensure!(left.tables.is_empty(), "{:?}", left.tables);
    Ok(())
}

/// Each in small chunks, so that every place is behind another.
async fn keys(ctx: Ctx) -> Result<()> {
    let mut tables = Vec::new();
    for (name, key, rows) in [
        ("k_signed", "bigint", "n - 1500"),
        ("k_unsigned", "bigint unsigned", "18446744073709551615 - n"),
        ("k_decimal", "decimal(30,5)", "(n - 1500) / 7"),
        ("k_double", "double", "(n - 1500) * 1.1e-3"),
        (
            "k_text",
            "varchar(40) CHARACTER SET utf8mb4",
            "concat(char(65 + n % 26), char(97 + n % 25), n, '\u{e4}\\'\\\\')",
        ),
        ("k_latin", "varchar(40) CHARACTER SET latin1 COLLATE latin1_german1_ci", "concat('\u{e4}o', n)"),
        ("k_binary", "binary(8)", "unhex(substr(sha2(n, 256), 1, 16))"),
        ("k_varbinary", "varbinary(20)", "unhex(substr(sha2(n, 256), 1, 32))"),
        ("k_date", "date", "date_add('1000-01-01', interval n * 900 day)"),
        ("k_datetime", "datetime(3)", "date_add('1000-01-01', interval n * 1000001000 microsecond)"),
        ("k_timestamp", "timestamp(6)", "date_add('1990-01-01', interval n * 1000001 microsecond)"),
        ("k_time", "time(2)", "sec_to_time(n - 1500 + 0.25)"),
        ("k_bit", "bit(20)", "n"),
    ] {
        let sql = format!(
            "CREATE TABLE {name} (k {key} NOT NULL PRIMARY KEY, v int); INSERT INTO {name} WITH RECURSIVE seq (n) AS \
             (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 999) SELECT {rows}, n FROM seq"
        );
        ctx.source().execute(&sql).await.with_context(|| sql.clone())?;
        tables.push(name);
    }
    ctx.source()
        .execute(
            "CREATE TABLE k_composite (a enum('z','y','x'), b varchar(10), c bigint unsigned, d binary(2), v int,
                PRIMARY KEY (b, a, c, d));
             INSERT INTO k_composite WITH RECURSIVE seq (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 999)
                SELECT 1 + n % 3, concat('b', n % 5), n % 7, unhex(lpad(hex(n), 4, '0')), n FROM seq;
             CREATE TABLE k_unique (a int NOT NULL, b varchar(10) NOT NULL, v int, UNIQUE KEY (b, a));
             INSERT INTO k_unique WITH RECURSIVE seq (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 999)
                SELECT n, concat('b', n % 5), n FROM seq",
        )
        .await?;
    tables.extend(["k_composite", "k_unique"]);
    let mut settings = settings(&ctx, "", 2)?;
    settings.chunk_bytes = 1000;
    let copy = Copy::new(&ctx, settings, true).await?;
    copy.run().await?;
    same(ctx.source(), ctx.target(), &tables).await
}
