//! Every type of PostgreSQL that a feed can fill: what comes in is what the table shows.

use anyhow::{Context as _, Result, ensure};
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::posting::{Feed, webhook};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("types_values_of_every_type_arrive_unchanged", &[Need::Postgres], values),
        scenario("types_immediate_rows_end_as_the_same_bytes_as_staged_ones", &[Need::Postgres], both_ways),
    ]
}

/// A column type, and pairs of a value as JSON and what the column then shows (`None` for NULL).
struct Case {
    sql_type: &'static str,
    values: &'static [(&'static str, Option<&'static str>)],
}

const fn case(sql_type: &'static str, values: &'static [(&'static str, Option<&'static str>)]) -> Case {
    Case { sql_type, values }
}

const TYPES: &str = r#"
CREATE SCHEMA other;
CREATE TYPE other."Mood" AS ENUM ('sad', 'Very Happy', 'it''s "so" so', 'näe');
CREATE TYPE pair AS (f1 int, "F two" text);
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE DOMAIN smaller AS small CHECK (VALUE < 10);
CREATE DOMAIN code AS varchar(5);
CREATE DOMAIN moment AS timestamptz;
CREATE DOMAIN document AS jsonb;
CREATE DOMAIN inner_document AS document;
CREATE DOMAIN instant AS moment;
"#;

const NUMBERS: &[Case] = &[
    case("int2", &[("32767", Some("32767")), ("-32768", Some("-32768"))]),
    case("int4", &[("2147483647", Some("2147483647")), ("-2147483648", Some("-2147483648"))]),
    case(
        "int8",
        &[
            ("9223372036854775807", Some("9223372036854775807")),
            ("-9223372036854775808", Some("-9223372036854775808")),
            ("9007199254740993", Some("9007199254740993")),
        ],
    ),
    case("oid", &[("4294967295", Some("4294967295"))]),
    case(
        "numeric",
        &[
            ("123456789012345678901234567890.123456789", Some("123456789012345678901234567890.123456789")),
            ("26.30", Some("26.30")),
            ("0.00", Some("0.00")),
            ("1E+2", Some("100")),
            ("1E-7", Some("0.0000001")),
            ("-1.5E-3", Some("-0.0015")),
            (r#""NaN""#, Some("NaN")),
            (r#""Infinity""#, Some("Infinity")),
            (r#""-Infinity""#, Some("-Infinity")),
        ],
    ),
    case("numeric(5,2)", &[("1.005", Some("1.01")), ("999.99", Some("999.99")), (r#""NaN""#, Some("NaN"))]),
    case(
        "float8",
        &[
            ("1E+2", Some("100")),
            ("-0", Some("-0")),
            ("5E-324", Some("5e-324")),
            ("1.7976931348623157E+308", Some("1.7976931348623157e+308")),
            ("0.000001", Some("1e-06")),
            (r#""NaN""#, Some("NaN")),
            (r#""Infinity""#, Some("Infinity")),
            (r#""-Infinity""#, Some("-Infinity")),
        ],
    ),
    case("float4", &[("1.1", Some("1.1")), ("1E+20", Some("1e+20")), (r#""NaN""#, Some("NaN"))]),
    case("bool", &[("true", Some("true")), ("false", Some("false"))]),
    case("small", &[("99", Some("99"))]),
    case("smaller", &[("9", Some("9"))]),
    case("money", &[(r#""$1,234.50""#, Some("$1,234.50"))]),
];

const TEXTS: &[Case] = &[
    case(
        "text",
        &[
            (r#""""#, Some("")),
            (
                r#""a \"quote\", it's \\ \n\t\r \u0001 \u007f""#,
                Some("a \"quote\", it's \\ \n\t\r \u{1} \u{7f}"),
            ),
            (r#""😀 ﷽ é \ud83d\ude00 \u00e9""#, Some("😀 ﷽ é 😀 é")),
            (r#""null""#, Some("null")),
            (r#""{\"a\": 1}""#, Some(r#"{"a": 1}"#)),
            (r#""$1 %s ? :x --""#, Some("$1 %s ? :x --")),
        ],
    ),
    case("varchar(3)", &[(r#""äöü""#, Some("äöü")), (r#""""#, Some(""))]),
    case("char(4)", &[(r#""ab""#, Some("ab")), (r#""ab  ""#, Some("ab"))]),
    case("\"char\"", &[(r#""x""#, Some("x"))]),
    case("name", &[(r#""n""#, Some("n"))]),
    case("code", &[(r#""12345""#, Some("12345"))]),
    case("bytea", &[(r#""\\x00ff10""#, Some("\\x00ff10")), (r#""\\x""#, Some("\\x"))]),
    case("bit(5)", &[(r#""10110""#, Some("10110"))]),
    case("bit varying", &[(r#""""#, Some("")), (r#""101""#, Some("101"))]),
    case("bit varying(8)", &[(r#""10110111""#, Some("10110111"))]),
    case(
        "uuid",
        &[(r#""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#, Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"))],
    ),
    case(
        "inet",
        &[
            (r#""192.168.1.10/24""#, Some("192.168.1.10/24")),
            (r#""10.0.0.1""#, Some("10.0.0.1/32")),
            (r#""2001:db8::1/64""#, Some("2001:db8::1/64")),
        ],
    ),
    case("cidr", &[(r#""10.1.0.0/16""#, Some("10.1.0.0/16"))]),
    case(
        "other.\"Mood\"",
        &[
            (r#""Very Happy""#, Some("Very Happy")),
            (r#""it's \"so\" so""#, Some("it's \"so\" so")),
            (r#""n\u00e4e""#, Some("näe")),
        ],
    ),
    case("int4range", &[(r#""[1,5)""#, Some("[1,5)")), (r#""empty""#, Some("empty"))]),
    case("tsvector", &[(r#""'a' 'b'""#, Some("'a' 'b'"))]),
    case("pg_lsn", &[(r#""16/B374D848""#, Some("16/B374D848"))]),
    case("point", &[(r#""(1.5,2)""#, Some("(1.5,2)"))]),
    case("xml", &[(r#""<a>1</a>""#, Some("<a>1</a>"))]),
];

const TIMES: &[Case] = &[
    case(
        "date",
        &[
            (r#""2024-02-29""#, Some("2024-02-29")),
            (r#""infinity""#, Some("infinity")),
            (r#""-infinity""#, Some("-infinity")),
            (r#""0044-03-15 BC""#, Some("0044-03-15 BC")),
            (r#""12345-06-07""#, Some("12345-06-07")),
        ],
    ),
    case("time", &[(r#""24:00:00""#, Some("24:00:00")), (r#""03:04:05.5""#, Some("03:04:05.5"))]),
    case(
        "timetz",
        &[
            (r#""03:04:05.5-08""#, Some("03:04:05.5-08")),
            (r#""24:00:00+03""#, Some("24:00:00+03")),
            (r#""03:04:05+05:30""#, Some("03:04:05+05:30")),
        ],
    ),
    case(
        "timestamp",
        &[
            (r#""2024-01-02T03:04:05.1""#, Some("2024-01-02 03:04:05.1")),
            (r#""12345-06-07T00:00:00""#, Some("12345-06-07 00:00:00")),
            (r#""29427-06-07T00:00:00""#, Some("29427-06-07 00:00:00")),
            (r#""294276-12-31T23:59:59""#, Some("294276-12-31 23:59:59")),
            (r#""-0043-03-15T12:00:00.25""#, Some("0044-03-15 12:00:00.25 BC")),
            (r#""0000-01-01T00:00:00""#, Some("0001-01-01 00:00:00 BC")),
            (r#""0001-01-01T00:00:00""#, Some("0001-01-01 00:00:00")),
            (r#""-4000-03-15T12:00:00""#, Some("4001-03-15 12:00:00 BC")),
            (r#""294276-12-31T23:59:59.999999""#, Some("infinity")),
            (r#""294277-01-01T23:59:59.999999""#, Some("infinity")),
            (r#""-4713-11-24T00:00:00""#, Some("-infinity")),
            (r#""-4714-11-24T00:00:00""#, Some("-infinity")),
            (r#""infinity""#, Some("infinity")),
            (r#""-infinity""#, Some("-infinity")),
        ],
    ),
    case(
        "timestamptz",
        &[
            (r#""2024-01-02T11:04:05.000001Z""#, Some("2024-01-02 11:04:05.000001+00")),
            (r#""-0043-03-15T12:00:00Z""#, Some("0044-03-15 12:00:00+00 BC")),
            (r#""12345-06-07T00:00:00Z""#, Some("12345-06-07 00:00:00+00")),
            (r#""294276-12-31T23:59:59.999999Z""#, Some("infinity")),
            (r#""294277-01-01T23:59:59.999999Z""#, Some("infinity")),
            (r#""-4713-11-24T00:00:00Z""#, Some("-infinity")),
            (r#""-4714-11-24T00:00:00Z""#, Some("-infinity")),
        ],
    ),
    case("timestamp(0)", &[(r#""2024-01-02T03:04:05.6""#, Some("2024-01-02 03:04:06"))]),
    case("moment", &[(r#""-0043-03-15T12:00:00Z""#, Some("0044-03-15 12:00:00+00 BC"))]),
    case("instant", &[(r#""-0043-03-15T12:00:00Z""#, Some("0044-03-15 12:00:00+00 BC"))]),
    case(
        "interval",
        &[
            (r#""1 year 2 mons 3 days 04:05:06.789""#, Some("1 year 2 mons 3 days 04:05:06.789")),
            (r#""-1 mons +2 days -03:04:05""#, Some("-1 mons +2 days -03:04:05")),
            (r#""00:00:00""#, Some("00:00:00")),
        ],
    ),
];

const NESTED: &[Case] = &[
    case("int[]", &[("[1, null, 3]", Some("{1,NULL,3}")), ("[]", Some("{}"))]),
    case(
        "text[]",
        &[
            (r#"["a", "it's \"q\", {}", null, "NULL", ""]"#, Some(r#"{a,"it's \"q\", {}",NULL,"NULL",""}"#)),
            ("[]", Some("{}")),
        ],
    ),
    case("bytea[]", &[(r#"["\\x01ff", null]"#, Some(r#"{"\\x01ff",NULL}"#))]),
    case("other.\"Mood\"[]", &[(r#"["sad", null, "Very Happy"]"#, Some(r#"{sad,NULL,"Very Happy"}"#))]),
    case(
        "timestamptz[]",
        &[
            (r#"["2024-01-02T11:04:05Z", null]"#, Some(r#"{"2024-01-02 11:04:05+00",NULL}"#)),
            (r#"["-0043-03-15T12:00:00Z"]"#, Some(r#"{"0044-03-15 12:00:00+00 BC"}"#)),
            (
                r#"["294276-12-31T23:59:59.999999Z", null, "-4714-11-24T00:00:00Z"]"#,
                Some("{infinity,NULL,-infinity}"),
            ),
            ("[]", Some("{}")),
        ],
    ),
    case("numeric[]", &[(r#"[1E+2, "NaN", null]"#, Some("{100,NaN,NULL}"))]),
    case("jsonb[]", &[(r#"[{"a": 1}, "x"]"#, Some(r#"{"{\"a\": 1}","\"x\""}"#))]),
    case(
        "pair",
        &[
            (r#"{"F two": "x, \"y\"", "f1": 1}"#, Some(r#"(1,"x, ""y""")"#)),
            (r#"{"F two": null, "f1": null}"#, Some("(,)")),
            (r#""(2,b)""#, Some("(2,b)")),
        ],
    ),
    case("pair[]", &[(r#"[{"F two": "x", "f1": 1}, null]"#, Some(r#"{"(1,x)",NULL}"#))]),
    case(
        "json",
        &[
            (r#"{"b": 1E+2, "a": 2.50}"#, Some(r#"{"b": 1E+2, "a": 2.50}"#)),
            (r#"{"__crdb_json_null__": true}"#, Some("null")),
            (r#""text""#, Some(r#""text""#)),
        ],
    ),
    case(
        "jsonb",
        &[
            (
                r#"{"b": 1E+2, "a": 2.50, "ü": ["\n", null]}"#,
                Some(r#"{"a": 2.50, "b": 100, "ü": ["\n", null]}"#),
            ),
            (r#"{"__crdb_json_null__": true}"#, Some("null")),
            (r#"{"__crdb_json_null__": false}"#, Some(r#"{"__crdb_json_null__": false}"#)),
            ("7", Some("7")),
            (r#""text""#, Some(r#""text""#)),
            ("[]", Some("[]")),
            ("true", Some("true")),
            (r#"{"a": {"__crdb_json_null__": true}}"#, Some(r#"{"a": {"__crdb_json_null__": true}}"#)),
        ],
    ),
    case(
        "document",
        &[(r#"{"__crdb_json_null__": true}"#, Some("null")), (r#"{"a": 1}"#, Some(r#"{"a": 1}"#))],
    ),
    case(
        "inner_document",
        &[(r#"{"__crdb_json_null__": true}"#, Some("null")), (r#"{"a": 1}"#, Some(r#"{"a": 1}"#))],
    ),
];

/// Values whose JSON is of another kind than the column, or written in an odd way. Only that both ways
/// agree is checked; the second half of a pair is for readers.
const ODD: &[Case] = &[
    case(
        "text",
        &[
            ("1E+2", Some("1E+2")),
            ("-0.00", Some("-0.00")),
            ("true", Some("true")),
            (r#"{"a" :  [1, "\u00e9"] }"#, Some(r#"{"a" :  [1, "\u00e9"] }"#)),
            (r#"[ ]"#, Some("[ ]")),
            (r#"  "spaces around"  "#, Some("spaces around")),
            (r#""\/\b\f\ud83d\ude00""#, Some("/\u{8}\u{c}😀")),
        ],
    ),
    case("varchar(3)", &[(r#""abc   ""#, Some("abc")), ("100", Some("100"))]),
    case("varchar", &[(r#""a  ""#, Some("a  ")), ("null", None)]),
    case("char(4)", &[("7", Some("7")), (r#""abcd  ""#, Some("abcd"))]),
    case("int4", &[("-0", Some("0")), ("  12 ", Some("12"))]),
    case("float8", &[("7", Some("7")), ("0.1000000000000000055", Some("0.1"))]),
    case("numeric", &[("-0.00", Some("0.00")), ("0e0", Some("0"))]),
    case("timestamp(3)", &[(r#""2024-01-02T03:04:05.6789""#, Some("2024-01-02 03:04:05.679"))]),
    case("time(0)", &[(r#""03:04:05.6""#, Some("03:04:06"))]),
    case("interval(0)", &[(r#""1 day 00:00:01.5""#, Some("1 day 00:00:02"))]),
    case("interval day to minute", &[(r#""1 day 01:02:03""#, Some("1 day 01:02:00"))]),
    case("bool", &[(" true ", Some("true"))]),
    case("jsonb", &[(r#"{"a": 1, "a": 2}"#, Some(r#"{"a": 2}"#)), (r#""\u00e9""#, Some(r#""é""#))]),
    case("json", &[(r#""\u00e9""#, Some(r#""é""#))]),
];

fn tables(cases: &[&Case]) -> String {
    let tables = cases
        .iter()
        .enumerate()
        .map(|(number, case)| format!("CREATE TABLE t{number} (id int PRIMARY KEY, v {});", case.sql_type));
    TYPES.to_owned() + &tables.collect::<String>()
}

/// Sends each value in a row of its own, and a NULL after them.
async fn fill(feed: &mut Feed, cases: &[&Case]) -> Result<()> {
    for (number, case) in cases.iter().enumerate() {
        let table = format!("t{number}");
        for (id, (json, _)) in case.values.iter().chain(&[("null", None)]).enumerate() {
            feed.put(&table, &format!("[{id}]"), &format!(r#"{{"id": {id}, "v": {json}}}"#));
        }
        feed.send().await.with_context(|| case.sql_type)?;
    }
    Ok(())
}

/// What a value is, padding and all, and whether it is one.
const SHOWN: &str = "SELECT format('%s|%s|%s', v, v IS NULL, pg_column_size(v))";

/// Every value of the cases as it is shown, with its type.
async fn all_shown(feed: &mut Feed, cases: &[&Case]) -> Result<Vec<(&'static str, String)>> {
    let mut all = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for id in 0..=case.values.len() {
            let shown = feed.value(&format!("{SHOWN} FROM t{number} WHERE id = {id}")).await;
            let shown = shown.with_context(|| format!("{} number {id}", case.sql_type))?;
            all.push((case.sql_type, shown.context("no text")?));
        }
    }
    Ok(all)
}

/// Immediate rows travel as arrays of values where they can, staged ones as JSON.
async fn both_ways(ctx: Ctx) -> Result<()> {
    let cases: Vec<&Case> = [NUMBERS, TEXTS, TIMES, NESTED, ODD].into_iter().flatten().collect();
    let ddl = tables(&cases) + "CREATE TABLE s (id int PRIMARY KEY, short varchar(3) DEFAULT 'd', n int);";
    let mut feed = Feed::start(&ctx, &ddl, &[]).await?;
    fill(&mut feed, &cases).await?;
    feed.settle().await?;
    let staged = all_shown(&mut feed, &cases).await?;
    let unguarded = webhook(ctx.target(), &["--assumeIdempotent"]).named("unguarded");
    let unguarded = ServiceProcess::start(unguarded, ctx.folder()).await?;
    for mut at_once in [feed, Feed::of(ctx.target(), unguarded).await?] {
        "?immediate=true".clone_into(&mut at_once.query);
        let names: Vec<String> = (0..cases.len()).map(|number| format!("t{number}")).collect();
        at_once.execute(&format!("TRUNCATE s, {}", names.join(", "))).await?;
        fill(&mut at_once, &cases).await?;
        let found = all_shown(&mut at_once, &cases).await?;
        let wrong: Vec<_> = staged.iter().zip(&found).filter(|(one, other)| one != other).collect();
        ensure!(wrong.is_empty(), "staged, and at once: {wrong:#?}");
        // What is too long is refused, not cut; a member that is not there is no NULL.
        at_once.put("s", "[1]", r#"{"id": 1, "short": "abcd"}"#);
        let (status, text) = at_once.offer().await?;
        ensure!(!status.is_success(), "a text that is too long: {status} {text}");
        at_once.put("s", "[2]", r#"{"n": 2, "id": 2}"#);
        at_once.put("s", "[3]", r#"{"id": 3, "short": null}"#);
        at_once.send().await?;
        at_once.put("s", "[2]", r#"{"id": 2, "n": 3}"#);
        at_once.put("s", "[3]", r#"{"id": 3, "n": null}"#);
        at_once.send().await?;
        at_once.shows("SELECT * FROM s ORDER BY 1", "(2,d,3) (3,,)").await?;
    }
    Ok(())
}

/// One table per type, so that a failure names its type; the last row is NULL in each.
async fn values(ctx: Ctx) -> Result<()> {
    let cases: Vec<&Case> = [NUMBERS, TEXTS, TIMES, NESTED].into_iter().flatten().collect();
    let mut feed = Feed::start(&ctx, &tables(&cases), &[]).await?;
    fill(&mut feed, &cases).await?;
    feed.settle().await?;
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for (id, (json, expected)) in case.values.iter().chain(&[("null", None)]).enumerate() {
            let found = feed.value(&format!("SELECT v::text FROM t{number} WHERE id = {id}")).await?;
            if found.as_deref() != *expected {
                wrong.push(format!("{} of {json}: expected {expected:?}, found {found:?}", case.sql_type));
            }
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
