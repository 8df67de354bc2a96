//! Rows and keys.

use std::sync::{Arc, LazyLock};

use serde_json::Value;
use serde_json::value::RawValue;
use sink_core::model::expression::{Expression, MAX_EXPRESSION_BYTES};
use sink_core::model::{HlcTimestamp, TableSchema};
use sink_core::staging::admission::{IncomingKey, IncomingRow, TableAdmission};
use sink_core::staging::json_text;
use sink_core::staging::key_text::{canonical, canonical_number};

/// Whether a text is JSON, as everything that reaches these functions is.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get() == text)
}

/// Canonical texts are canonical, are JSON, and mean what they meant.
pub(super) fn key_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if !is_json(text) {
        return;
    }
    let once = canonical(text);
    assert_eq!(canonical(&once), once);
    if text.starts_with('"') {
        let value = |text: &str| serde_json::from_str::<String>(text).ok();
        assert_eq!(value(&once), value(text), "{text}");
    }
    if text.starts_with(|c: char| c == '-' || c.is_ascii_digit() || c == '"') {
        let once = canonical_number(text);
        assert_eq!(canonical_number(&once), once, "{text}");
        assert!(is_json(&once), "{text} became {once}");
        // One spelling for each way to write the same number.
        if let Some((whole, fraction)) = text.split_once('.').filter(|_| !text.contains(['e', 'E', '"'])) {
            assert_eq!(canonical_number(&format!("{whole}.{fraction}0")), once, "{text}");
        }
    }
}

/// A text that passes holds no NUL and no half of a character; one that is refused does, or is too deep.
pub(super) fn json_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let checked = json_text::check(text);
    // The parser has its own, lower limit on depth and gives up on lone surrogates.
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    assert_eq!(checked.is_ok(), !holds_nul(&value), "{checked:?}");
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(elements) => elements.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

static TABLES: LazyLock<Vec<Arc<TableSchema>>> =
    LazyLock::new(|| sink_testkit::golden::tables("fuzz").into_iter().map(Arc::new).collect());

/// A row that is admitted has a canonical key, and comes out with the key it would have if it were sent again under
/// that key. The first line of the input is the key, the second the row (nothing: a deletion), the third the row before.
pub(super) fn admission(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(3, '\n');
    let key = lines.next().unwrap_or_default();
    let (after, before) = (lines.next().filter(|text| !text.is_empty()), lines.next());
    // The parser of bodies lets nothing else through.
    if ![Some(key), after, before].into_iter().flatten().all(is_json) {
        return;
    }
    let time = HlcTimestamp::new(1, 0).expect("a time");
    let sent = IncomingKey::Array(key);
    for table in TABLES.iter() {
        let admission = TableAdmission::new(Arc::clone(table));
        let Ok(mutation) = admission.admit(IncomingRow { time, key: sent, after, before }) else { continue };
        let canonical = mutation.key.as_json().to_owned();
        let elements: Vec<&RawValue> = serde_json::from_str(&canonical).expect("a key is an array");
        assert_eq!(elements.len(), table.primary_key.len(), "{canonical}");
        assert!(mutation.key.indexed().len() <= 2_048);
        if after.is_some() {
            let again =
                admission.admit(IncomingRow { time, key: IncomingKey::Array(&canonical), after, before });
            assert_eq!(again.expect("the row was admitted before").key.as_json(), canonical);
        }
    }
}

/// An expression that is understood prints as it came, and nothing that is put around it can be closed by it.
pub(super) fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(expression) = Expression::parse(text) else { return };
    assert_eq!(expression.to_string(), text);
    let around = format!("({text} )");
    assert!(around.len() > MAX_EXPRESSION_BYTES || Expression::parse(&around).is_ok(), "{around:?}");
    assert_eq!(expression.is_constant(), expression.with("a") == expression.with("b"));
}
