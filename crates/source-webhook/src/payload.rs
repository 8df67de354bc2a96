//! The body of a webhook request. Pure: borrows from the body, copies nothing, never panics.
//!
//! Formats as CockroachDB v21.2 to v26.2 document and emit them: `{"payload":[row, …],"length":n}` with rows of the
//! wrapped envelope, or `{"resolved":"<time>"}`. Members we do not know are passed over; what would change the
//! meaning of a row is refused with the option to change.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sink_core::model::HlcTimestamp;
use sink_core::model::time::HlcError;

/// A parsed body.
#[derive(Debug, Default)]
pub struct Payload<'a> {
    /// Rows in the order in which they came.
    pub rows: Vec<Row<'a>>,
    /// The promise that every row up to this time has been delivered.
    pub resolved: Option<HlcTimestamp>,
}

/// One row of the wrapped envelope.
#[derive(Debug)]
pub struct Row<'a> {
    /// The table, possibly qualified.
    pub topic: Cow<'a, str>,
    /// Commit time.
    pub time: HlcTimestamp,
    /// The primary key, as JSON.
    pub key: &'a str,
    /// The row, as JSON; `None` for a deletion.
    pub after: Option<&'a str>,
    /// The row before the change, as JSON.
    pub before: Option<&'a str>,
}

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not UTF-8.
    #[error("the body is not UTF-8 (byte {0})")]
    Utf8(usize),
    /// Not JSON of the expected form. Holds the parser's position, never its message, which may quote values.
    #[error("the body is not a changefeed's JSON: {what} at line {line} column {column}")]
    Json {
        /// What kind of problem.
        what: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A time cannot be read.
    #[error("{place}: {error}")]
    Time {
        /// `resolved`, or the number of the row.
        place: String,
        /// What is wrong with it.
        error: HlcError,
    },
    /// A row lacks a member.
    #[error("row {row} has no `{member}`; {advice}")]
    Missing {
        /// Number of the row, from 0.
        row: usize,
        /// What it lacks.
        member: &'static str,
        /// What to change.
        advice: &'static str,
    },
    /// A row is of a form that cannot be applied safely.
    #[error("row {row} is of the {envelope} envelope; create the changefeed with envelope=wrapped")]
    Envelope {
        /// Number of the row, from 0.
        row: usize,
        /// Which form.
        envelope: &'static str,
    },
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    payload: Option<Rows<'a>>,
    #[serde(borrow, default)]
    resolved: Option<Text<'a>>,
    #[serde(borrow, default, rename = "__crdb__")]
    bare: Option<Object<Bare<'a>>>,
}

#[derive(Deserialize)]
struct Bare<'a> {
    #[serde(borrow, default)]
    resolved: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct RawRow<'a> {
    /// Outside: whether the member is there; inside: null or a row.
    #[serde(borrow, default, deserialize_with = "present")]
    after: Option<Option<&'a RawValue>>,
    #[serde(borrow, default)]
    before: Option<&'a RawValue>,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    topic: Option<Text<'a>>,
    #[serde(borrow, default)]
    updated: Option<Text<'a>>,
    #[serde(borrow, default, rename = "__crdb__")]
    bare: Option<&'a RawValue>,
    #[serde(borrow, default)]
    op: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<&'de RawValue>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Rows, checked one by one as they are read: what a body costs does not depend on how much rubbish is in it.
#[derive(Default)]
struct Rows<'a> {
    rows: Vec<Row<'a>>,
    refused: Option<PayloadError>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Rows<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor(PhantomData))
    }
}

struct RowsVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for RowsVisitor<'a> {
    type Value = Rows<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut rows = Rows::default();
        while let Some(Object(raw)) = seq.next_element::<Object<RawRow<'a>>>()? {
            match row(rows.rows.len(), raw) {
                Ok(row) => rows.rows.push(row),
                Err(refused) => {
                    rows.refused = Some(refused);
                    break;
                }
            }
        }
        // The rest only has to be JSON.
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(rows)
    }
}

/// A struct written as an object; the derived code alone would take an array of its members as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A string that borrows where it has no escapes; `Cow` alone would always copy.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Parses a body. An empty one has no effect.
///
/// # Errors
/// See [`PayloadError`].
pub fn parse(body: &[u8]) -> Result<Payload<'_>, PayloadError> {
    let text = std::str::from_utf8(body).map_err(|e| PayloadError::Utf8(e.valid_up_to()))?;
    if text.trim_ascii().is_empty() {
        return Ok(Payload::default());
    }
    let Object(body): Object<Body<'_>> = serde_json::from_str(text).map_err(|error| PayloadError::Json {
        what: match error.classify() {
            serde_json::error::Category::Data => "a member of the wrong kind, or one that occurs twice",
            serde_json::error::Category::Eof => "an early end",
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "a syntax error",
        },
        line: error.line(),
        column: error.column(),
    })?;
    let resolved =
        body.resolved.or(body.bare.and_then(|Object(bare)| bare.resolved)).filter(|text| !text.0.is_empty());
    let resolved = resolved.map(|text| time(&text.0, || "resolved".into())).transpose()?;
    match body.payload.unwrap_or_default() {
        Rows { refused: Some(refused), .. } => Err(refused),
        Rows { rows, refused: None } => Ok(Payload { rows, resolved }),
    }
}

fn time(text: &str, place: impl FnOnce() -> String) -> Result<HlcTimestamp, PayloadError> {
    text.parse().map_err(|error| PayloadError::Time { place: place(), error })
}

fn row(at: usize, raw: RawRow<'_>) -> Result<Row<'_>, PayloadError> {
    let missing = |member, advice| PayloadError::Missing { row: at, member, advice };
    if raw.bare.is_some() {
        return Err(PayloadError::Envelope { row: at, envelope: "bare" });
    }
    if raw.updated.is_none() && (raw.op.is_some() || raw.payload.is_some()) {
        return Err(PayloadError::Envelope { row: at, envelope: "enriched" });
    }
    let updated = raw.updated.ok_or_else(|| missing("updated", "create the changefeed WITH updated"))?;
    let topic = raw.topic.filter(|topic| !topic.0.is_empty());
    let topic = topic
        .ok_or_else(|| missing("topic", "create the changefeed with envelope=wrapped, topic_in_value"))?;
    let key =
        raw.key.ok_or_else(|| missing("key", "create the changefeed with envelope=wrapped, key_in_value"))?;
    // Only a null says that the row is gone; with `diff` the old row says it as well.
    if raw.after.is_none() && raw.before.is_none() {
        return Err(missing("after", "create the changefeed with envelope=wrapped"));
    }
    Ok(Row {
        topic: topic.0,
        time: time(&updated.0, || format!("`updated` of row {at}"))?,
        key: key.get(),
        after: raw.after.flatten().map(RawValue::get),
        before: raw.before.map(RawValue::get),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_keep_their_text() {
        let body = br#"{"payload":[{"after": {"id": 1, "n": 1E+2}, "key": [1], "topic": "people", "updated": "5.0000000003"},
            {"after": null, "before": {"id": 2}, "key": [2], "topic": "people", "updated": "6.0", "mvcc_timestamp": "1.0"}],"length":2}"#;
        let payload = parse(body).unwrap();
        assert_eq!(payload.rows[0].after, Some(r#"{"id": 1, "n": 1E+2}"#));
        assert_eq!(payload.rows[0].time.to_string(), "5.0000000003");
        assert_eq!((payload.rows[1].after, payload.rows[1].before), (None, Some(r#"{"id": 2}"#)));
        assert_eq!(payload.resolved, None);
    }

    #[test]
    fn marks_are_read_in_both_forms() {
        for body in [r#"{"resolved":"7.0000000000"}"#, r#"{"__crdb__":{"resolved":"7.0000000000"}}"#] {
            assert_eq!(parse(body.as_bytes()).unwrap().resolved, HlcTimestamp::new(7, 0));
        }
        assert!(parse(b"").unwrap().resolved.is_none());
        assert!(parse(br#"{"resolved":""}"#).unwrap().resolved.is_none());
    }

    #[test]
    fn what_cannot_be_applied_is_refused_with_the_option_to_change() {
        for (body, hint) in [
            (r#"{"payload":[{"after": {"id": 1}, "key": [1], "topic": "t"}]}"#, "WITH updated"),
            (r#"{"payload":[{"after": {"id": 1}, "updated": "1.0", "topic": "t"}]}"#, "key_in_value"),
            (r#"{"payload":[{"after": {"id": 1}, "updated": "1.0", "key": [1]}]}"#, "topic_in_value"),
            (r#"{"payload":[{"__crdb__": {"updated": "1.0"}, "id": 1}]}"#, "envelope=wrapped"),
            (
                r#"{"payload":[{"after": {"id": 1}, "key": {"id": 1}, "op": "c", "ts_ns": 1}]}"#,
                "envelope=wrapped",
            ),
            (r#"{"payload":[{"after": {}, "key": [1], "topic": "t", "updated": "1"}]}"#, "row 0"),
            (r#"{"payload":[{"key": [1], "topic": "t", "updated": "1.0"}]}"#, "no `after`"),
            (r#"{"payload":[{},{},{}]}"#, "row 0"),
            (r#"{"payload":7}"#, "wrong kind"),
            ("[]", "wrong kind"),
            (r#"{"payload":[[{"id": 1}, null, [1], "t", "5.0"]]}"#, "wrong kind"),
            (r#"{"payload":[]"#, "early end"),
            (r#"{"payload":[]} x"#, "syntax"),
            (r#"{"payload":[],"payload":[]}"#, "twice"),
            ("\u{feff}{}", "syntax"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(hint), "{body}: {error}");
        }
        assert_eq!(parse(b"{\"payload\":\"\xff\"}").unwrap_err(), PayloadError::Utf8(12));
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!(r#"{{"payload":[{{"after": {}"#, "[".repeat(100_000));
        assert!(parse(deep.as_bytes()).is_err());
        let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body =
            format!(r#"{{"payload":[{{"after": {closed}, "key": [1], "topic": "t", "updated": "1.0"}}]}}"#);
        assert!(parse(body.as_bytes()).is_ok(), "depth is judged when the row is matched with its table");
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&body);
        }

        #[test]
        fn mutated_bodies_never_panic(at in 0_usize..200, byte in any::<u8>()) {
            let mut body = br#"{"payload":[{"after": {"id": 1, "n": 1E+2}, "key": [1], "topic": "t", "updated": "5.0000000003"}],"length":1,"resolved":"1.0"}"#.to_vec();
            let at = at % body.len();
            body[at] = byte;
            let _ = parse(&body);
        }
    }
}
