//! What values look like on the wire, whatever the role's own settings are.

use anyhow::{Context as _, Result, ensure};
use source_pglogical::pgoutput::{Message, Value, decode};
use sqlx::{AssertSqlSafe, Executor as _};
use tests::harness::runner::{Need, Scenario, scenario};

use crate::support::replication::{config, create_slot, end_of_log, messages_until, server, stream};

pub(crate) fn all() -> Vec<Scenario> {
    vec![scenario(
        "pgoutput::values_have_one_text_whatever_the_role_prefers",
        &[Need::PostgresBinaries],
        |_| values(),
    )]
}

/// Type, value as SQL, text on the wire.
pub(crate) const VALUES: &[(&str, &str, &str)] = &[
    ("int2", "-32768", "-32768"),
    ("int8", "9223372036854775807", "9223372036854775807"),
    ("oid", "4294967295", "4294967295"),
    ("float4", "1.1", "1.1"),
    ("float4", "16777216", "1.6777216e+07"),
    ("float8", "0.1 + 0.2::float8", "0.30000000000000004"),
    ("float8", "'NaN'", "NaN"),
    ("float8", "'-Infinity'", "-Infinity"),
    ("numeric(12,3)", "123456789.12", "123456789.120"),
    ("numeric", "'NaN'", "NaN"),
    ("numeric", "'-Infinity'", "-Infinity"),
    ("numeric(3,-2)", "12345", "12300"),
    ("money", "'-1234.56'::numeric::money", "-$1,234.56"),
    ("bool", "true", "t"),
    ("char(5)", "'ab'", "ab   "),
    ("varchar(10)", "E'a\\tb\\nc'", "a\tb\nc"),
    ("text", "''", ""),
    ("text", "'NULL'", "NULL"),
    ("name", "'n'", "n"),
    ("\"char\"", "'a'", "a"),
    ("bytea", "'\\x00ff5c41'", "\\x00ff5c41"),
    ("date", "'2020-02-03'", "2020-02-03"),
    ("date", "'infinity'", "infinity"),
    ("date", "'0001-01-01 BC'", "0001-01-01 BC"),
    ("time(3)", "'23:59:59.1234'", "23:59:59.123"),
    ("timetz", "'24:00:00+05:30'", "24:00:00+05:30"),
    ("timestamp", "'4713-01-01 00:00:00 BC'", "4713-01-01 00:00:00 BC"),
    ("timestamptz", "'2020-02-03 04:05:06.7+00'", "2020-02-03 04:05:06.7+00"),
    ("timestamptz", "'-infinity'", "-infinity"),
    ("timestamptz", "'294276-12-31 23:59:59.999999+00'", "294276-12-31 23:59:59.999999+00"),
    ("interval", "'1 year 2 mons -3 days 04:05:06.789'", "1 year 2 mons -3 days +04:05:06.789"),
    ("interval[]", "'{1 day,-02:03:00}'", "{\"1 day\",-02:03:00}"),
    ("uuid", "'A0EEBC999C0B4EF8BB6D6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("inet", "'10.0.0.1/8'", "10.0.0.1/8"),
    ("cidr", "'10.0.0.0/8'", "10.0.0.0/8"),
    ("macaddr", "'08-00-2b-01-02-03'", "08:00:2b:01:02:03"),
    ("json", "'{\"a\": 1,  \"a\": 2}'", "{\"a\": 1,  \"a\": 2}"),
    ("jsonb", "'{\"b\":1.10,\"a\":null}'", "{\"a\": null, \"b\": 1.10}"),
    ("jsonpath", "'$.a[*]?(@ > 1)'", "$.\"a\"[*]?(@ > 1)"),
    ("bit(3)", "B'101'", "101"),
    ("varbit", "B'10'", "10"),
    ("xml", "'<a b=\"1\"/>'", "<a b=\"1\"/>"),
    ("tsvector", "'fox:3 quick:2'", "'fox':3 'quick':2"),
    ("tsquery", "'quick & fox'", "'quick' & 'fox'"),
    ("int[]", "'{1,NULL,3}'", "{1,NULL,3}"),
    ("int[][]", "'{{1,2},{3,4}}'", "{{1,2},{3,4}}"),
    (
        "text[]",
        "ARRAY['a,b', 'c\"d', NULL, 'NULL', '', '{}', ' sp']",
        "{\"a,b\",\"c\\\"d\",NULL,\"NULL\",\"\",\"{}\",\" sp\"}",
    ),
    ("bytea[]", "ARRAY['\\x01'::bytea]", "{\"\\\\x01\"}"),
    ("jsonb[]", "ARRAY['{\"a\":1}'::jsonb]", "{\"{\\\"a\\\": 1}\"}"),
    ("int4range", "'[1,10]'", "[1,11)"),
    ("int4range", "'empty'", "empty"),
    ("int4multirange", "'{[7,9],[1,3]}'", "{[1,4),[7,10)}"),
    ("tstzrange", "'[2020-01-01 00:00+00,)'", "[\"2020-01-01 00:00:00+00\",)"),
    ("point", "'(1,2)'", "(1,2)"),
    ("box", "'(0,0),(1,1)'", "(1,1),(0,0)"),
    ("regclass", "'public.vals'", "public.vals"),
    ("pg_lsn", "'0/1A'", "0/1A"),
    ("xid", "'7'", "7"),
    ("text", "NULL", "NULL!"),
];

/// What stands for a null above.
const NULL: &str = "NULL!";

/// A role whose settings spoil every text they can.
pub(crate) const ROLE: &str = "
    CREATE ROLE odd LOGIN REPLICATION;
    ALTER ROLE odd SET datestyle = 'SQL, DMY';
    ALTER ROLE odd SET timezone = 'Asia/Tokyo';
    ALTER ROLE odd SET intervalstyle = 'iso_8601';
    ALTER ROLE odd SET bytea_output = 'escape';
    ALTER ROLE odd SET extra_float_digits = 0;
    ALTER ROLE odd SET search_path = 'public';
    CREATE PUBLICATION p FOR TABLE vals;
";

async fn values() -> Result<()> {
    let server = server().await?;
    let database = server.create_database("values").await?;
    let mut connection = database.connect().await?;
    let columns: Vec<_> = VALUES.iter().enumerate().map(|(at, (name, ..))| format!("c{at} {name}")).collect();
    let values: Vec<_> = VALUES.iter().map(|(_, value, _)| *value).collect();
    let table = format!("CREATE TABLE vals (id int PRIMARY KEY, {});", columns.join(", "));
    let insert = format!("INSERT INTO vals VALUES (1, {})", values.join(", "));
    connection.execute(sqlx::raw_sql(AssertSqlSafe(format!("{table} {ROLE}")))).await?;
    for slot in ["plain", "odd"] {
        create_slot(&mut connection, slot).await?;
    }
    connection.execute(AssertSqlSafe(insert)).await?;
    let end = end_of_log(&mut connection).await?;

    let plain = config(&database)?;
    let mut odd = plain.clone();
    odd.user = "odd".to_owned();
    for (config, slot) in [(&plain, "plain"), (&odd, "odd")] {
        let messages = messages_until(stream(config, slot, &["p"]).await?, end).await?;
        compare(&messages).with_context(|| format!("as role {}", config.user))?;
    }
    Ok(())
}

fn compare(messages: &[Vec<u8>]) -> Result<()> {
    let insert = messages.iter().find(|message| message.first() == Some(&b'I')).context("no insert")?;
    let Message::Insert(insert) = decode(insert)? else { anyhow::bail!("not an insert") };
    let found = &insert.new.values()[1..];
    ensure!(found.len() == VALUES.len(), "{} values", found.len());
    for ((name, value, expected), found) in VALUES.iter().zip(found) {
        let found = match found {
            Value::Text(text) => *text,
            Value::Null => NULL,
            Value::Unchanged | Value::Binary(_) => anyhow::bail!("{name} {value} came as {found:?}"),
        };
        ensure!(found == *expected, "{name} {value} came as {found:?}, expected {expected:?}");
    }
    Ok(())
}
