//! What a path asks for. Pure.

use sink_core::model::{Ident, SchemaId};

/// Most segments of a path; more is no feed's.
const MAX_SEGMENTS: usize = 7;

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/database/schema`: rows or a resolved mark.
    Feed(SchemaId),
    /// `/_/healthz`: does the target answer?
    Healthz,
    /// `/_/readyz`: the state of the process and its schemas.
    Readyz,
    /// `/_/varz`: metrics.
    Varz,
    /// `/_/config/apply`: what `apply_config` says of tables.
    ApplyConfig,
    /// Nothing of ours.
    NotFound,
}

/// What the query string says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedOptions {
    /// `immediate=true|false`; overrides the process's default for this feed.
    pub immediate: Option<bool>,
}

/// A query parameter with a value it cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the query parameter `immediate` must be true or false")]
pub struct BadOption;

/// Parses a path. Empty segments are passed over, each segment is percent-decoded; paths under `/_/` are reserved.
#[must_use]
pub fn route(path: &str) -> Route {
    let segments: Vec<&str> =
        path.split('/').filter(|segment| !segment.is_empty()).take(MAX_SEGMENTS + 1).collect();
    match segments.as_slice() {
        ["_", "healthz"] => Route::Healthz,
        ["_", "readyz"] => Route::Readyz,
        ["_", "varz"] => Route::Varz,
        ["_", "config", "apply"] => Route::ApplyConfig,
        ["_", ..] => Route::NotFound,
        [database, schema] => {
            let ident = |segment| percent_decode(segment).and_then(|name| Ident::new(name).ok());
            match (ident(database), ident(schema)) {
                (Some(database), Some(schema)) => Route::Feed(SchemaId { database, schema }),
                _ => Route::NotFound,
            }
        }
        _ => Route::NotFound,
    }
}

/// Reads the query string; parameters we do not know are the source's or a proxy's business.
///
/// # Errors
/// If `immediate` is neither true nor false.
pub fn feed_options(query: Option<&str>) -> Result<FeedOptions, BadOption> {
    let mut options = FeedOptions::default();
    for pair in query.unwrap_or_default().split('&') {
        if let Some(value) = pair.strip_prefix("immediate=") {
            options.immediate = Some(match value.to_ascii_lowercase().as_str() {
                "true" | "1" | "t" => true,
                "false" | "0" | "f" => false,
                _ => return Err(BadOption),
            });
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

    fn feed(database: &str, schema: &str) -> Route {
        let ident = |name| Ident::new(name).unwrap();
        Route::Feed(SchemaId { database: ident(database), schema: ident(schema) })
    }

    #[test]
    fn paths_name_a_schema() {
        assert_eq!(route("/ycsb/public"), feed("ycsb", "public"));
        assert_eq!(route("/db///schema/"), feed("db", "schema"));
        assert_eq!(route("/My%20Db/%F0%9F%93%A6"), feed("My Db", "📦"));
        assert_eq!(route("/a+b/c%2Fd"), feed("a+b", "c/d"));
    }

    #[test]
    fn everything_else_is_not_found() {
        for path in [
            "/",
            "",
            "/db",
            "/a/b/c",
            "/_/",
            "/_/nothing",
            "/_/healthz/x",
            "/a/%00",
            "/a/%zz",
            "/a/%ff",
            "/a/%2",
        ] {
            assert_eq!(route(path), Route::NotFound, "{path}");
        }
    }

    #[test]
    fn immediate_is_a_boolean() {
        assert_eq!(feed_options(Some("a=b&immediate=true")).unwrap().immediate, Some(true));
        assert_eq!(feed_options(Some("immediate=false")).unwrap().immediate, Some(false));
        assert_eq!(feed_options(None).unwrap().immediate, None);
        assert_eq!(feed_options(Some("immediate=maybe")), Err(BadOption));
    }

    proptest! {
        #[test]
        fn never_panics(path in "\\PC*|[/%_.a-f0-9]*") {
            let _ = route(&path);
            let _ = feed_options(Some(&path));
        }
    }
}
