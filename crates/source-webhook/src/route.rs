//! What a path asks for. Pure.

mod file_name;

use sink_core::model::{HlcTimestamp, Ident, SchemaId};

use crate::encoding::Encoding;
use file_name::FileName;

/// Most segments of a path; more is no feed's.
const MAX_SEGMENTS: usize = 7;
/// Longest path, in bytes: far above three names in percent encoding and a file name.
const MAX_PATH_BYTES: usize = 8 * 1024;
/// Longest name of a feed, in bytes.
const MAX_FEED_NAME_BYTES: usize = 200;

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Rows or a resolved mark.
    Feed(FeedPath),
    /// A file of a changefeed in a form that cannot be applied; the text names the option to change.
    Unsupported(&'static str),
    /// `/_/healthz`: does the target answer?
    Healthz,
    /// `/_/readyz`: the state of the process and its schemas.
    Readyz,
    /// `/_/varz`: metrics.
    Varz,
    /// `/_/config/apply`: what `apply_config` says of tables.
    ApplyConfig,
    /// `/_/diag`: what support asks for.
    Diag,
    /// Nothing of ours.
    NotFound,
}

/// Where a feed delivers, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPath {
    /// The target schema.
    pub schema: SchemaId,
    /// The target table, where the path names one; then all rows are its.
    pub table: Option<Ident>,
    /// What the body is.
    pub content: Content,
}

/// What the body of a delivery is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// JSON as webhook sinks send it: rows or a resolved mark.
    Webhook,
    /// A file of rows of one topic, one JSON object per line.
    Rows {
        /// The topic in the file's name.
        topic: String,
        /// How the file is packed, by the end of its name.
        encoding: Encoding,
    },
    /// A resolved mark; the time is in the file's name and the body says nothing new.
    Mark(HlcTimestamp),
}

/// What the query string says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedOptions {
    /// `immediate=true|false`; overrides the process's default for this feed.
    pub immediate: Option<bool>,
    /// `feed=NAME`: the name under which the schema is bound to its feed.
    pub feed: Option<String>,
}

/// A query parameter with a value it cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    /// No boolean.
    #[error("the query parameter `immediate` must be true or false")]
    Immediate,
    /// No name.
    #[error("the query parameter `feed` must be a name of 1 to {MAX_FEED_NAME_BYTES} bytes")]
    Feed,
}

/// Parses a path. Empty segments are passed over, then each segment is percent-decoded; a plus is a plus. Paths under
/// `/_/` are reserved. A segment `.` or `..` is no name, however it is spelled.
///
/// | path | body |
/// |---|---|
/// | `/db/schema` | webhook JSON |
/// | `/db/schema/table` | webhook JSON, every row of this table |
/// | `/db/schema[/table]/YYYY-MM-DD[/HH]/<name>.ndjson[.gz\|.zst]` | rows, one per line |
/// | `/db/schema[/table]/YYYY-MM-DD[/HH]/<33 digits>.RESOLVED` | a mark |
/// | `/db/schema[/table]/<name or mark>` | the same without partition (`partition_format=flat`) |
///
/// Where a path could be two things:
///
/// * Two segments are always a schema and three a schema and a table, so `/db/2020-04-02/x.ndjson` is table
///   `x.ndjson` of schema `2020-04-02`. The only exception is a third segment that is a whole file name of a changefeed,
///   33 digits of a real date included: nobody names a table like that.
/// * A day wins over a table of that name: `/db/schema/2020-04-02/<name>` is a file of the schema.
/// * A day and an hour win over a table and a day.
/// * Endings are compared exactly: `.NDJSON` and `.resolved` are not what a changefeed writes.
#[must_use]
pub fn route(path: &str) -> Route {
    if path.len() > MAX_PATH_BYTES {
        return Route::NotFound;
    }
    let segments: Vec<&str> =
        path.split('/').filter(|segment| !segment.is_empty()).take(MAX_SEGMENTS + 1).collect();
    match segments.as_slice() {
        ["_", "healthz"] => Route::Healthz,
        ["_", "readyz"] => Route::Readyz,
        ["_", "varz"] => Route::Varz,
        ["_", "config", "apply"] => Route::ApplyConfig,
        ["_", "diag"] => Route::Diag,
        ["_", ..] => Route::NotFound,
        segments if (2..=MAX_SEGMENTS).contains(&segments.len()) => {
            let decoded: Option<Vec<String>> = segments.iter().map(|segment| name(segment)).collect();
            decoded.and_then(|decoded| feed(&decoded)).unwrap_or(Route::NotFound)
        }
        _ => Route::NotFound,
    }
}

/// A decoded segment that can be a name.
fn name(segment: &str) -> Option<String> {
    percent_decode(segment).filter(|name| !matches!(name.as_str(), "" | "." | ".."))
}

fn feed(segments: &[String]) -> Option<Route> {
    let ident = |name: &String| Ident::new(name.as_str()).ok();
    let [database, schema, rest @ ..] = segments else { return None };
    let schema = SchemaId { database: ident(database)?, schema: ident(schema)? };
    let (table, file) = match rest {
        [] => (None, None),
        [last] => match FileName::parse(last) {
            Some(file) if file.is_dated() => (None, Some(file)),
            _ => (Some(ident(last)?), None),
        },
        [folders @ .., last] => {
            let file = FileName::parse(last)?;
            let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
            let table = match folders.as_slice() {
                [day] if is_day(day) => None,
                [day, hour] if is_day(day) && is_hour(hour) => None,
                [table, day] if is_day(day) => Some(table),
                [table, day, hour] if is_day(day) && is_hour(hour) => Some(table),
                [table] if file.is_dated() => Some(table),
                _ => return None,
            };
            let table = match table {
                Some(table) => Some(Ident::new(*table).ok()?),
                None => None,
            };
            (table, Some(file))
        }
    };
    let content = match file {
        None => Content::Webhook,
        Some(FileName::Rows { topic, encoding, .. }) => Content::Rows { topic, encoding },
        Some(FileName::Mark(at)) => Content::Mark(at),
        Some(FileName::Unsupported { advice, .. }) => return Some(Route::Unsupported(advice)),
    };
    Some(Route::Feed(FeedPath { schema, table, content }))
}

/// `YYYY-MM-DD`, a real day.
fn is_day(segment: &str) -> bool {
    let parts: Vec<&str> = segment.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    [year.len(), month.len(), day.len()] == [4, 2, 2]
        && file_name::date(&format!("{year}{month}{day}")).is_some()
}

/// `00` to `23`.
fn is_hour(segment: &str) -> bool {
    segment.len() == 2
        && segment.bytes().all(|b| b.is_ascii_digit())
        && segment.parse::<u8>().is_ok_and(|hour| hour < 24)
}

/// Reads the query string; parameters we do not know are the source's or a proxy's business. Of a parameter that
/// occurs twice the last counts.
///
/// # Errors
/// If `immediate` is neither true nor false, or `feed` is no name.
pub fn feed_options(query: Option<&str>) -> Result<FeedOptions, BadOption> {
    let mut options = FeedOptions::default();
    for pair in query.unwrap_or_default().split('&') {
        if let Some(value) = pair.strip_prefix("immediate=") {
            options.immediate = Some(match value.to_ascii_lowercase().as_str() {
                "true" | "1" | "t" => true,
                "false" | "0" | "f" => false,
                _ => return Err(BadOption::Immediate),
            });
        }
        if let Some(value) = pair.strip_prefix("feed=") {
            let name = percent_decode(value).ok_or(BadOption::Feed)?;
            let legal = (1..=MAX_FEED_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control);
            options.feed = Some(legal.then_some(name).ok_or(BadOption::Feed)?);
        }
    }
    Ok(options)
}

/// Undoes percent encoding; `None` if it is malformed or not UTF-8. A plus is a plus in a path.
pub(crate) fn percent_decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a path is, in short; `-` is not found.
    fn short(path: &str) -> String {
        match route(path) {
            Route::Feed(FeedPath { schema, table, content }) => {
                let table = table.map_or(String::new(), |table| format!(" {table}"));
                let content = match content {
                    Content::Webhook => String::new(),
                    Content::Rows { topic, encoding } => format!(" rows {topic} {encoding:?}"),
                    Content::Mark(at) => format!(" mark {at}"),
                };
                format!("{}|{}{table}{content}", schema.database, schema.schema)
            }
            Route::Unsupported(advice) => format!("unsupported {advice}"),
            Route::Healthz => "healthz".into(),
            Route::Readyz => "readyz".into(),
            Route::Varz => "varz".into(),
            Route::ApplyConfig => "apply config".into(),
            Route::Diag => "diag".into(),
            Route::NotFound => "-".into(),
        }
    }

    const ROWS: &str = "202405060708090000000000000000000-a1b2c3d4e5f60718-1-4-00000002-people-1.ndjson";
    const MARK: &str = "202004042351304139680000000000003.RESOLVED";

    #[test]
    fn paths_name_a_schema_and_perhaps_a_table() {
        assert_eq!(short("/ycsb/public"), "ycsb|public");
        assert_eq!(short("/db///schema/"), "db|schema");
        assert_eq!(short("//db/schema//table/"), "db|schema table");
        assert_eq!(short("/My%20Db/%F0%9F%93%A6"), "My Db|📦");
        assert_eq!(short("/a+b/c%2Fd/E%25F"), "a+b|c/d E%F");
        assert_eq!(short("/DB/Public/T"), "DB|Public T");
        assert_eq!(short("/db/schema/_"), "db|schema _");
    }

    #[test]
    fn files_are_found_in_every_layout() {
        let rows = "db|s rows people Identity";
        let mark = "db|s mark 1586044290413968000.0000000003";
        for folders in ["/2024-05-06", "/2024-05-06/07", ""] {
            assert_eq!(short(&format!("/db/s{folders}/{ROWS}")), rows, "{folders}");
            assert_eq!(short(&format!("/db/s{folders}/{MARK}")), mark, "{folders}");
            assert_eq!(short(&format!("/db/s{folders}/{ROWS}.gz")), "db|s rows people Gzip");
            assert_eq!(short(&format!("/db/s{folders}/{ROWS}.zst")), "db|s rows people Zstd");
            assert_eq!(short(&format!("/db/s/t{folders}/{ROWS}")), "db|s t rows people Identity");
            assert_eq!(short(&format!("/db/s/t{folders}/{MARK}")), mark.replace("|s", "|s t"));
            let csv = short(&format!("/db/s{folders}/{}", ROWS.replace("ndjson", "csv")));
            assert!(csv.contains("format=json"), "{folders}: {csv}");
        }
        // A uniquer of other clients than CockroachDB, as the original takes it.
        assert_eq!(
            short("/db/s/2024-05-06/a-b-c-d-e-x.y.REAL-42-9f.ndjson"),
            "db|s rows x.y.REAL-42 Identity"
        );
    }

    #[test]
    fn what_could_be_two_things_is_decided() {
        assert_eq!(short("/db/2020-04-02/x.ndjson"), "db|2020-04-02 x.ndjson");
        assert_eq!(short("/db/s/a-b-c-d-e-t-1.ndjson"), "db|s a-b-c-d-e-t-1.ndjson");
        assert_eq!(short("/db/s/t/a-b-c-d-e-t-1.ndjson"), "-");
        assert_eq!(short("/db/2024-05-06"), "db|2024-05-06");
        assert_eq!(short("/db/s/2024-05-06"), "db|s 2024-05-06");
        assert_eq!(
            short(&format!("/db/s/2024-05-06/2024-05-07/{ROWS}")),
            "db|s 2024-05-06 rows people Identity"
        );
        assert_eq!(short(&format!("/db/s/t/2024-05-06/24/{ROWS}")), "-");
        assert_eq!(short(&format!("/db/s/2024-02-30/{ROWS}")), "db|s 2024-02-30 rows people Identity");
    }

    #[test]
    fn everything_else_is_not_found() {
        let deep = format!("/a/b/c/2024-05-06/07/{ROWS}/x");
        let long = format!("/a/{}", "b".repeat(MAX_PATH_BYTES));
        for path in [
            "/",
            "",
            "/db",
            "/_/",
            "/_/nothing",
            "/_/Healthz",
            "/_/healthz/x",
            "/_/healthz/../x/y",
            "/a/%00",
            "/a/%zz",
            "/a/%ff",
            "/a/%2",
            "/a/..",
            "/../b",
            "/a/%2e%2E",
            "/a/b/../c",
            "/a/./b",
            "/a/b/%2e",
            "/a/b/c/d",
            "/a/b/c/d/e/f/g/h",
            "/a/b/2024-05-06/x.ndjson",
            "/a/b/2024-05-06/x.RESOLVED",
            "/a/b/2024-05-06/202013012351304139680000000000000.RESOLVED",
            "/a/b/2024-05-06/1.RESOLVED",
            "/a/b/2024-05-06/202004042351304139680000000000000.resolved",
            "/a/b/2024-05-06/a-b-c-d-e--1.ndjson",
            "/a/b/2024-05-06/a-b-c-d-e-t-1.NDJSON",
            &deep,
            &long,
        ] {
            assert_eq!(short(path), "-", "{path}");
        }
    }

    #[test]
    fn options_are_read() {
        assert_eq!(feed_options(Some("a=b&immediate=true")).unwrap().immediate, Some(true));
        assert_eq!(feed_options(Some("immediate=false")).unwrap().immediate, Some(false));
        assert_eq!(feed_options(None).unwrap(), FeedOptions::default());
        assert_eq!(feed_options(Some("immediate=maybe")), Err(BadOption::Immediate));
        assert_eq!(feed_options(Some("feed=a%20b")).unwrap().feed.as_deref(), Some("a b"));
        for bad in ["feed=", "feed=%00", "feed=%ff", &format!("feed={}", "x".repeat(201))] {
            assert_eq!(feed_options(Some(bad)), Err(BadOption::Feed), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(path in "\\PC*|[/%_.a-f0-9]*|/a/b/[-0-9]{0,12}/[-.0-9a-zA-Z+]*") {
            let _ = route(&path);
            let _ = feed_options(Some(&path));
        }

        #[test]
        fn names_survive_the_path(names in proptest::collection::vec("[^\0]{1,12}", 2..=3)) {
            prop_assume!(names.iter().all(|name| name != "." && name != ".." && Ident::new(name.as_str()).is_ok()));
            prop_assume!(names[0] != "_");
            let encode = |name: &String| name.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
            let path: String = names.iter().map(|name| format!("/{}", encode(name))).collect();
            let Route::Feed(feed) = route(&path) else { panic!("{path}") };
            prop_assert_eq!(feed.schema.database.as_str(), &names[0]);
            prop_assert_eq!(feed.schema.schema.as_str(), &names[1]);
            prop_assert_eq!(feed.table.as_ref().map(Ident::as_str), names.get(2).map(String::as_str));
        }
    }
}
