//! Bodies of webhook sinks.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sink_core::staging::admission::IncomingKey;

use super::row::{RawRow, Text};
use super::{At, Payload, PayloadError, json_error, text, time};

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

/// Rows, checked one by one as they are read: what a body costs does not depend on how much rubbish is in it.
#[derive(Default)]
struct Rows<'a> {
    payload: Payload<'a>,
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
        let mut number = 0;
        while let Some(Object(raw)) = seq.next_element::<Object<RawRow<'a>>>()? {
            if let Err(refused) = rows.payload.push(At::Row(number), raw) {
                rows.refused = Some(refused);
                break;
            }
            number += 1;
        }
        // The rest only has to be JSON.
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(rows)
    }
}

/// A struct written as an object; the derived code alone would take an array of its members as well.
pub(super) struct Object<T>(pub(super) T);

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

/// Parses a body that was sent to the URL of a schema: every row says which table and which key. An empty one has no
/// effect.
///
/// # Errors
/// See [`PayloadError`].
pub fn parse(body: &[u8]) -> Result<Payload<'_>, PayloadError> {
    let payload = any(body)?;
    for (number, row) in payload.rows.iter().enumerate() {
        let missing = |member, advice| Err(PayloadError::Missing { at: At::Row(number), member, advice });
        if row.topic.is_none() {
            return missing(
                "topic",
                "create the changefeed with topic_in_value and key_in_value, or let its URL end with the table: \
                 /database/schema/table",
            );
        }
        if row.key == IncomingKey::OfRow {
            return missing(
                "key",
                "create the changefeed with key_in_value, or let its URL end with the table: /database/schema/table",
            );
        }
    }
    Ok(payload)
}

/// Parses a body that was sent to the URL of a table, as query changefeeds need it: rows may lack topic and key.
///
/// # Errors
/// See [`PayloadError`].
pub fn parse_for_table(body: &[u8]) -> Result<Payload<'_>, PayloadError> {
    let payload = any(body)?;
    let mut topics = payload.rows.iter().map(|row| &row.topic);
    if let Some(first) = topics.next()
        && topics.any(|topic| topic != first)
    {
        return Err(PayloadError::SeveralTopics);
    }
    Ok(payload)
}

fn any(body: &[u8]) -> Result<Payload<'_>, PayloadError> {
    let text = text(body)?;
    if text.trim_ascii().is_empty() {
        return Ok(Payload::default());
    }
    let Object(body): Object<Body<'_>> = serde_json::from_str(text).map_err(|e| json_error(&e, None))?;
    let resolved =
        body.resolved.or(body.bare.and_then(|Object(bare)| bare.resolved)).filter(|text| !text.0.is_empty());
    let resolved = resolved.map(|text| time(&text.0, || "resolved".into())).transpose()?;
    match body.payload.unwrap_or_default() {
        Rows { refused: Some(refused), .. } => Err(refused),
        Rows { payload, refused: None } => Ok(Payload { resolved, ..payload }),
    }
}
