//! Times, names, paths and connection strings.

use sink_core::model::{HlcTimestamp, Ident, SchemaId};
use sink_core::target::dialect::quote;
use sink_service::secret::masked_url;
use source_webhook::route::{self, Content, Route, feed_options};

/// A time that is understood is printed in its full form, which means the same.
pub(super) fn hlc(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(time) = text.parse::<HlcTimestamp>() else { return };
    let printed = time.to_string();
    assert_eq!(printed.parse::<HlcTimestamp>(), Ok(time));
    assert!(HlcTimestamp::ZERO <= time && time <= HlcTimestamp::MAX);
    assert_eq!(HlcTimestamp::new(time.nanos(), time.logical()), Some(time));
    if time > HlcTimestamp::ZERO {
        assert!(time.predecessor() < time);
    }
}

/// A name is kept as it is, and its quoted form is one SQL identifier from which it can be read back.
pub(super) fn ident(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let made = Ident::new(text);
    assert_eq!(made.is_ok(), !text.is_empty() && !text.contains('\0'));
    let Ok(ident) = made else { return };
    assert_eq!(ident.as_str(), text);
    let quoted = quote(ident.as_str());
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect("in quotes");
    // Every quote inside is one of a pair: none ends the identifier.
    assert!(!inner.replace("\"\"", "").contains('"'), "{quoted}");
    assert_eq!(inner.replace("\"\"", "\""), text);
}

/// A path that names a schema is found again from the names alone; reserved paths never name one.
fn route_of(path: &str) {
    let Route::Feed(found) = route::route(path) else { return };
    let first = path.split('/').find(|segment| !segment.is_empty());
    assert_ne!(first, Some("_"), "{path:?}");
    // Encoded in full, a long path is longer than a path may be.
    if found.content != Content::Webhook || path.len() > 2_000 {
        return;
    }
    let encoded = |name: &Ident| name.as_str().bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let table = found.table.as_ref().map(|table| format!("/{}", encoded(table))).unwrap_or_default();
    let SchemaId { database, schema } = &found.schema;
    let again = route::route(&format!("/{}/{}{table}", encoded(database), encoded(schema)));
    assert_eq!(again, Route::Feed(found));
}

/// As [`route_of`], with a query string behind a question mark.
pub(super) fn route(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    route_of(path);
    let said = query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("immediate=")));
    if let Ok(options) = feed_options(query) {
        assert_eq!(options.immediate.is_some(), said, "{text:?}");
    }
}

/// A password is not shown, whatever else is in a connection string. The first line is the password.
pub(super) fn secret(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (password, rest) = text.split_once('\n').unwrap_or((text, ""));
    let marked = format!("Q7xV{password}");
    for url in [format!("postgresql://u:{marked}@{rest}"), format!("postgresql://h/d?password={marked}")] {
        let shown = masked_url(&url);
        assert!(rest.contains("Q7xV") || !shown.contains("Q7xV"), "{shown}");
    }
    let _ = masked_url(text);
}
