//! Every type of PostgreSQL that a feed can fill: what comes in is what the table shows.

use anyhow::{Result, ensure};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::posting::Feed;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![scenario("types_values_of_every_type_arrive_unchanged", &[Need::Postgres], values)]
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

/// One table per type, so that a failure names its type; row 0 is NULL in each.
async fn values(ctx: Ctx) -> Result<()> {
    let cases: Vec<&Case> = [NUMBERS, TEXTS, TIMES, NESTED].into_iter().flatten().collect();
    let mut ddl = TYPES.to_owned();
    for (number, case) in cases.iter().enumerate() {
        ddl.push_str(&format!("CREATE TABLE t{number} (id int PRIMARY KEY, v {});", case.sql_type));
    }
    let mut feed = Feed::start(&ctx, &ddl, &[]).await?;
    for (number, case) in cases.iter().enumerate() {
        let table = format!("t{number}");
        for (id, (json, _)) in case.values.iter().chain(&[("null", None)]).enumerate() {
            feed.put(&table, &format!("[{id}]"), &format!(r#"{{"id": {id}, "v": {json}}}"#));
        }
        feed.send().await?;
    }
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
