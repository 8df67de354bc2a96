//! Bodies of requests, packed and unpacked.

use bytes::Bytes;
use serde_json::value::RawValue;
use sink_core::staging::admission::IncomingKey;
use source_webhook::encoding::Encoding;
use source_webhook::payload::{Payload, Row, parse, parse_for_table, parse_lines};

/// Longest body after unpacking.
const LIMIT_BYTES: usize = 1 << 20;

/// What is understood of a body, written down again as a changefeed would, is understood as the same.
pub(super) fn webhook(bytes: &[u8]) {
    let Ok(payload) = parse(bytes) else { return };
    expect_json(&payload);
    let Some(rows) = print(&payload) else { return };
    let resolved = payload.resolved.map(|at| format!(r#","resolved":"{at}""#)).unwrap_or_default();
    let printed = format!(r#"{{"payload":[{}],"length":{}{resolved}}}"#, rows.join(","), rows.len());
    expect_same(&parse(printed.as_bytes()).expect("what was understood once"), &payload);
}

/// As [`webhook`], for the body of a feed whose table stands in the URL.
pub(super) fn table_body(bytes: &[u8]) {
    let Ok(payload) = parse_for_table(bytes) else { return };
    expect_json(&payload);
    let Some(rows) = print(&payload) else { return };
    let resolved = payload.resolved.map(|at| format!(r#","resolved":"{at}""#)).unwrap_or_default();
    let printed = format!(r#"{{"payload":[{}]{resolved}}}"#, rows.join(","));
    expect_same(&parse_for_table(printed.as_bytes()).expect("what was understood once"), &payload);
}

/// As [`webhook`], for an uploaded file of rows.
pub(super) fn lines(bytes: &[u8]) {
    let Ok(payload) = parse_lines(bytes) else { return };
    expect_json(&payload);
    assert_eq!(payload.resolved, None);
    let Some(rows) = print(&payload) else { return };
    // A member may hold line breaks in its JSON; in a file it must not.
    let printed = rows.join("\n");
    if !rows.iter().any(|row| row.contains(['\n', '\r'])) {
        expect_same(&parse_lines(printed.as_bytes()).expect("what was understood once"), &payload);
    }
}

fn expect_json(payload: &Payload<'_>) {
    for row in &payload.rows {
        let key = match row.key {
            IncomingKey::Array(key) | IncomingKey::Object(key) => Some(key),
            IncomingKey::OfRow => None,
        };
        for json in [key, row.after, row.before].into_iter().flatten() {
            assert!(serde_json::from_str::<&RawValue>(json).is_ok(), "a part of a row is no JSON");
        }
        assert!(row.topic.as_ref().is_none_or(|topic| !topic.is_empty()));
        assert!(row.time.is_some() || row.after.is_some(), "a deletion without a time");
    }
}

fn expect_same(again: &Payload<'_>, payload: &Payload<'_>) {
    assert_eq!(again.resolved, payload.resolved);
    assert_eq!(again.rows.len(), payload.rows.len());
    for (one, other) in again.rows.iter().zip(&payload.rows) {
        assert_eq!(
            (&one.topic, one.time, one.key, one.after, one.before),
            (&other.topic, other.time, other.key, other.after, other.before)
        );
    }
}

/// Rows of the wrapped envelope; none if some row was of another one.
fn print(payload: &Payload<'_>) -> Option<Vec<String>> {
    let row = |row: &Row<'_>| {
        let key = match row.key {
            IncomingKey::Array(key) => format!(r#","key":{key}"#),
            IncomingKey::OfRow => String::new(),
            IncomingKey::Object(_) => return None,
        };
        let text = |name: &str, text: &str| format!(r#","{name}":{}"#, serde_json::Value::from(text));
        let topic = row.topic.as_ref().map(|topic| text("topic", topic)).unwrap_or_default();
        let updated = row.time.map(|time| text("updated", &time.to_string())).unwrap_or_default();
        let before = row.before.map(|before| format!(r#","before":{before}"#)).unwrap_or_default();
        Some(format!(r#"{{"after":{}{before}{key}{topic}{updated}}}"#, row.after.unwrap_or("null")))
    };
    payload.rows.iter().map(row).collect()
}

/// Unpacking never gives more than the limit, and never holds more than it asked for.
pub(super) fn encoding(bytes: &[u8]) {
    for name in ["gzip", "zstd"] {
        let encoding = Encoding::from_header(name).expect("a known encoding");
        let mut granted = 0_usize;
        let grow = |more: usize| {
            granted += more;
            true
        };
        if let Ok(unpacked) = encoding.unpack(Bytes::copy_from_slice(bytes), LIMIT_BYTES, grow) {
            assert!(unpacked.len() <= LIMIT_BYTES, "{} bytes", unpacked.len());
            assert!(unpacked.len() <= granted + bytes.len(), "{} of {granted} bytes", unpacked.len());
        }
        // Whoever is granted nothing gets nothing that is larger than what came.
        if let Ok(unpacked) = encoding.unpack(Bytes::copy_from_slice(bytes), LIMIT_BYTES, |_| false) {
            assert!(unpacked.is_empty(), "{} bytes were held without leave", unpacked.len());
        }
    }
}
