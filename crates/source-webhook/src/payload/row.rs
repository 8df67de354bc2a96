//! One row of a changefeed.
//!
//! ```text
//! wrapped    {"after": …, "before": …, "key": [ … ], "topic": "t", "updated": "<time>"}
//! query      {"after": …, "before": …, "updated": "<time>"}
//! enriched   {"after": …, "before": …, "key": { … }, "op": "u", "source": {"table_name": "t", "ts_hlc": "<time>", …}}
//!            or that as {"payload": …, "schema": …}
//! ```

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sink_core::staging::admission::IncomingKey;

use super::body::Object;
use super::{At, PayloadError, Row, time};

/// The members of a row that mean something to us.
#[derive(Deserialize)]
pub(super) struct RawRow<'a> {
    /// Outside: whether the member is there; inside: null or a row.
    #[serde(borrow, default, deserialize_with = "present")]
    after: Option<Option<&'a RawValue>>,
    #[serde(borrow, default, deserialize_with = "present")]
    before: Option<Option<&'a RawValue>>,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    topic: Option<Text<'a>>,
    #[serde(borrow, default)]
    updated: Option<Text<'a>>,
    #[serde(borrow, default)]
    mvcc_timestamp: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "__crdb__")]
    bare: Option<&'a RawValue>,
    #[serde(borrow, default)]
    op: Option<&'a RawValue>,
    #[serde(borrow, default)]
    source: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<&'de RawValue>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A string that borrows where it has no escapes; `Cow` alone would always copy.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// What the enriched envelope says of a row's origin. Its database and schema are the source's; where rows go is said
/// by the URL.
#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow, default)]
    table_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    ts_hlc: Option<Text<'a>>,
    #[serde(borrow, default)]
    job_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    mvcc_timestamp: Option<&'a RawValue>,
}

/// A row, and the job that sends it if it tells.
pub(super) struct Parsed<'a> {
    pub(super) row: Row<'a>,
    pub(super) job: Option<Cow<'a, str>>,
}

/// What the envelopes say in different places.
struct Origin<'a> {
    topic: Option<Cow<'a, str>>,
    time: Option<Text<'a>>,
    job: Option<Cow<'a, str>>,
    key: IncomingKey<'a>,
    /// The feed has an option that goes with `updated` only.
    wants_time: bool,
}

/// Reads a row. `None` for the deletion of a row that the feed never showed (a phantom of query changefeeds): it has
/// neither an image nor a key.
pub(super) fn parse(at: At, raw: RawRow<'_>) -> Result<Option<Parsed<'_>>, PayloadError> {
    if raw.bare.is_some() {
        return Err(PayloadError::Bare(at));
    }
    if let Some(inner) = raw.payload.filter(|_| raw.after.is_none()) {
        // With `enriched_properties='schema'` the row is one level deeper. Only one: what is inside again is no row.
        let Ok(Object(inner)) = serde_json::from_str::<Object<RawRow<'_>>>(inner.get()) else {
            return Err(missing(
                at,
                "payload.after",
                "create the changefeed with envelope=enriched or wrapped",
            ));
        };
        return row(at, inner);
    }
    row(at, raw)
}

fn row(at: At, raw: RawRow<'_>) -> Result<Option<Parsed<'_>>, PayloadError> {
    let (after, before) = (raw.after.flatten(), raw.before.flatten());
    // Only a null says that the row is gone; with `diff` the old row says it as well.
    if raw.after.is_none() && raw.before.is_none() {
        return Err(missing(at, "after", "create the changefeed with envelope=wrapped"));
    }
    let has_before = raw.before.is_some();
    let origin = origin(at, raw)?;
    let time = match &origin.time {
        Some(text) => Some(time(&text.0, || format!("`updated` of {at}"))?),
        None => None,
    };
    match time {
        Some(time) if time.is_untimed() => {
            return Err(PayloadError::TimeZero(format!("`updated` of {at}")));
        }
        // Only an initial scan goes without, and it has neither deletions nor old rows.
        None if after.is_none() || has_before || origin.wants_time => return Err(no_time(at)),
        _ => {}
    }
    if after.is_none() && before.is_none() && origin.key == IncomingKey::OfRow {
        if has_before {
            return Ok(None);
        }
        let advice = "a deletion has to say which row; create the changefeed with diff or with key_in_value";
        return Err(missing(at, "key", advice));
    }
    let row = Row {
        topic: origin.topic,
        time,
        key: origin.key,
        after: after.map(RawValue::get),
        before: before.map(RawValue::get),
    };
    Ok(Some(Parsed { row, job: origin.job }))
}

/// Table, time, key and job of a row, by its envelope.
fn origin(at: At, raw: RawRow<'_>) -> Result<Origin<'_>, PayloadError> {
    let Some(source) = raw.source else {
        if raw.op.is_some() && raw.updated.is_none() {
            let advice = "create the changefeed with envelope=enriched, enriched_properties='source' and updated; or \
                          with envelope=wrapped and updated";
            return Err(missing(at, "source", advice));
        }
        return Ok(Origin {
            topic: name_of(raw.topic),
            time: raw.updated,
            job: None,
            key: raw.key.map_or(IncomingKey::OfRow, |key| IncomingKey::Array(key.get())),
            wants_time: raw.mvcc_timestamp.is_some(),
        });
    };
    let Ok(Object(source)) = serde_json::from_str::<Object<Source<'_>>>(source.get()) else {
        return Err(missing(
            at,
            "source.table_name",
            "create the changefeed with enriched_properties='source'",
        ));
    };
    let topic = name_of(source.table_name).or(name_of(raw.topic));
    if topic.is_none() {
        return Err(missing(
            at,
            "source.table_name",
            "create the changefeed with enriched_properties='source'",
        ));
    }
    let key = match raw.key.map(RawValue::get) {
        None => IncomingKey::OfRow,
        Some(key) if key.starts_with('[') => IncomingKey::Array(key),
        Some(key) => IncomingKey::Object(key),
    };
    Ok(Origin {
        topic,
        time: source.ts_hlc.or(raw.updated),
        job: name_of(source.job_id),
        key,
        wants_time: raw.mvcc_timestamp.is_some() || source.mvcc_timestamp.is_some(),
    })
}

fn name_of(text: Option<Text<'_>>) -> Option<Cow<'_, str>> {
    text.map(|text| text.0).filter(|name| !name.is_empty())
}

fn missing(at: At, member: &'static str, advice: &'static str) -> PayloadError {
    PayloadError::Missing { at, member, advice }
}

/// A row without a time where it needs one.
pub(super) fn no_time(at: At) -> PayloadError {
    let advice = "create the changefeed WITH updated (with envelope=enriched it is in `source.ts_hlc`); only a feed with \
                  initial_scan='only' does without, if its URL ends with ?immediate=true";
    missing(at, "updated", advice)
}
