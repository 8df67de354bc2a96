//! Judges what a feed emits by what a changefeed promises. Knows only the source and what passes on the wire,
//! so that a mistake in the feed's own bookkeeping shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value as Json;
use sink_core::model::HlcTimestamp;

use super::changes::{Change, ChangeLog, crc32};
use super::config::{Encoding, Envelope};
use super::delivery::{Connection, Delivery, DeliveryId, DeliveryKind, Origin, Reply};
use super::encode;
use crate::source::Table;

/// A promise of changefeeds that an emission broke: a mistake of the simulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub rule: &'static str,
    /// The values.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

impl std::error::Error for Violation {}

const FIRST_IN_ORDER: &str = "first emissions of a key rise in time";
const NOTHING_NEW_BELOW: &str = "nothing new comes at or below a resolved time";
const KEYS_APART: &str = "requests in flight of one node have no key hash in common";
const ALL_SENT: &str = "every version is acknowledged in the end";
const LENGTH: &str = "length is the number of rows";
const ROWS_READ_BACK: &str = "a row reads back as the source row";
const RESOLVED_IS_ACKED: &str = "everything at or below a resolved time was acknowledged before it";

/// The versions of one key in the change log, rising in time.
type Versions = Vec<(HlcTimestamp, usize)>;

struct Outstanding {
    changes: Arc<[usize]>,
    hashes: BTreeSet<u32>,
    /// The node it counts against, while the feed waits for it.
    waiting: Option<(usize, u64)>,
}

/// Watches one feed. Every delivery and every reply must pass through it.
pub struct SelfCheck {
    log: Arc<ChangeLog>,
    encoding: Encoding,
    topics: HashMap<String, usize>,
    versions: HashMap<(usize, String), Versions>,
    emitted: Vec<bool>,
    acked: Vec<bool>,
    /// Every change before this position is acknowledged.
    acked_below: usize,
    newest_first: HashMap<(usize, String), HlcTimestamp>,
    highest_resolved: HlcTimestamp,
    run: u32,
    outstanding: BTreeMap<DeliveryId, Outstanding>,
    /// Rows of bodies seen before, by the feed's request: a retry has the same bytes.
    requests: HashMap<u64, (Arc<str>, Arc<[usize]>)>,
}

impl SelfCheck {
    /// A judge of a feed that sends this log.
    #[must_use]
    pub fn new(log: Arc<ChangeLog>, encoding: Encoding) -> Self {
        let topics = log.tables().iter().enumerate();
        let topics = topics.map(|(i, table)| (encode::topic(&encoding, table), i)).collect();
        let mut versions: HashMap<(usize, String), Versions> = HashMap::new();
        for (position, change) in log.changes().iter().enumerate() {
            let key = canonical(change.key.json());
            versions.entry((change.table, key)).or_default().push((change.at, position));
        }
        // Nothing in these rows tells which change they are, so nothing is asked of them.
        let phantoms: Vec<bool> =
            log.changes().iter().map(|change| is_phantom(encoding.envelope, change)).collect();
        Self {
            log,
            encoding,
            topics,
            versions,
            acked_below: phantoms.iter().take_while(|phantom| **phantom).count(),
            emitted: phantoms.clone(),
            acked: phantoms,
            newest_first: HashMap::new(),
            highest_resolved: HlcTimestamp::ZERO,
            run: 0,
            outstanding: BTreeMap::new(),
            requests: HashMap::new(),
        }
    }

    /// Judges a delivery.
    ///
    /// # Errors
    /// The promise it breaks.
    pub fn sent(&mut self, delivery: &Delivery) -> Result<(), Violation> {
        if delivery.run != self.run {
            // The requests of a former run are nobody's any more; the receiver may still see them.
            self.run = delivery.run;
            self.outstanding.values_mut().for_each(|outstanding| outstanding.waiting = None);
            self.requests.clear();
        }
        match delivery.kind {
            DeliveryKind::Resolved(at) => self.sent_resolved(delivery, at),
            DeliveryKind::Rows(count) => self.sent_rows(delivery, count),
        }
    }

    /// Notes what became of a delivery.
    pub fn replied(&mut self, id: DeliveryId, reply: Reply) {
        let Some(outstanding) = self.outstanding.remove(&id) else { return };
        if let Some((_, request)) = outstanding.waiting.filter(|_| reply == Reply::Ok) {
            self.requests.remove(&request);
        }
        if reply == Reply::Ok {
            outstanding.changes.iter().for_each(|&change| self.acked[change] = true);
            while self.acked.get(self.acked_below) == Some(&true) {
                self.acked_below += 1;
            }
        }
    }

    /// Judges a finished feed.
    ///
    /// # Errors
    /// If something was never acknowledged.
    pub fn finished(&self) -> Result<(), Violation> {
        let Some(missing) = self.log.changes().get(self.acked_below) else { return Ok(()) };
        let table = self.log.tables()[missing.table].name;
        broken(ALL_SENT, format!("{table} {} at {} is missing", missing.key, missing.at))
    }

    fn sent_resolved(&mut self, delivery: &Delivery, at: HlcTimestamp) -> Result<(), Violation> {
        if let Some(missing) = self.log.changes().get(self.acked_below).filter(|change| change.at <= at) {
            return broken(
                RESOLVED_IS_ACKED,
                format!("resolved {at}, but {} at {}", missing.key, missing.at),
            );
        }
        if *delivery.body != *encode::resolved(at) {
            return broken(ROWS_READ_BACK, format!("{} is not resolved {at}", delivery.body));
        }
        self.highest_resolved = self.highest_resolved.max(at);
        Ok(())
    }

    fn sent_rows(&mut self, delivery: &Delivery, count: usize) -> Result<(), Violation> {
        let changes = match self.requests.get(&delivery.request) {
            Some((body, changes)) if *body == delivery.body => changes.clone(),
            Some((body, _)) => {
                return broken(
                    ROWS_READ_BACK,
                    format!("a retry of {body} has other bytes: {}", delivery.body),
                );
            }
            None => self.read_batch(&delivery.body, count)?.into(),
        };
        for &change in &*changes {
            self.emit(change)?;
        }
        let hashes: BTreeSet<u32> =
            changes.iter().map(|&change| crc32(self.log.changes()[change].key.json().as_bytes())).collect();
        let mut waiting = None;
        if let (Connection::Worker { node, .. }, Origin::Feed | Origin::Retry) =
            (delivery.connection, delivery.origin)
        {
            self.keep_apart(node, delivery.request, &hashes)?;
            self.requests.insert(delivery.request, (delivery.body.clone(), changes.clone()));
            waiting = Some((node, delivery.request));
        }
        self.outstanding.insert(delivery.id, Outstanding { changes, hashes, waiting });
        Ok(())
    }

    fn keep_apart(&mut self, node: usize, request: u64, hashes: &BTreeSet<u32>) -> Result<(), Violation> {
        for (id, other) in &mut self.outstanding {
            match other.waiting {
                // The attempt before is given up once the next one begins.
                Some((_, same)) if same == request => other.waiting = None,
                Some((on, _)) if on == node && !other.hashes.is_disjoint(hashes) => {
                    return broken(KEYS_APART, format!("request {request} of node {node} and {id:?}"));
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn emit(&mut self, position: usize) -> Result<(), Violation> {
        let change = &self.log.changes()[position];
        if change.at <= self.highest_resolved && !self.acked[position] {
            let detail = format!("{} at {} after resolved {}", change.key, change.at, self.highest_resolved);
            return broken(NOTHING_NEW_BELOW, detail);
        }
        if std::mem::replace(&mut self.emitted[position], true) {
            return Ok(());
        }
        let key = (change.table, change.key.json().to_owned());
        match self.newest_first.insert(key, change.at) {
            Some(newest) if newest >= change.at => {
                broken(FIRST_IN_ORDER, format!("{} at {} after {newest}", change.key, change.at))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn read_batch(&self, body: &str, count: usize) -> Result<Vec<usize>, Violation> {
        let parsed: Json = serde_json::from_str(body)
            .map_err(|error| Violation { rule: ROWS_READ_BACK, detail: format!("{error} in {body}") })?;
        let rows = parsed["payload"].as_array().filter(|rows| !rows.is_empty());
        let length = parsed["length"].as_u64().and_then(|length| usize::try_from(length).ok());
        match rows {
            Some(rows) if length == Some(rows.len()) && count == rows.len() => {
                rows.iter().filter_map(|row| self.read_row(row).transpose()).collect()
            }
            Some(_) | None => broken(LENGTH, format!("length {length:?}, announced {count}, in {body}")),
        }
    }

    /// The change a row stands for, if it has all of its values; `None` for a phantom.
    fn read_row(&self, row: &Json) -> Result<Option<usize>, Violation> {
        let nested = self.encoding.envelope == Envelope::Enriched && self.encoding.with_schema;
        let row = if nested { &row["payload"] } else { row };
        let unreadable = || Violation { rule: ROWS_READ_BACK, detail: row.to_string() };
        if self.encoding.envelope == Envelope::Query && row["after"].is_null() && row["before"].is_null() {
            let at = time(&row["updated"]);
            let expected = self
                .log
                .changes()
                .iter()
                .any(|change| Some(change.at) == at && is_phantom(self.encoding.envelope, change));
            return if expected { Ok(None) } else { Err(unreadable()) };
        }
        let (table, key, at) = self.identify(row).ok_or_else(unreadable)?;
        let versions = self.versions.get(&(table, key)).ok_or_else(unreadable)?;
        let found = versions.binary_search_by_key(&at, |(at, _)| *at).map_err(|_| unreadable())?;
        let position = versions[found].1;
        let change = &self.log.changes()[position];
        let shape = &self.log.tables()[table];
        let matches = match (&change.row, row["after"].as_object()) {
            (None, None) => row.get("after") == Some(&Json::Null),
            (Some(expected), Some(after)) => {
                after.len() == shape.columns.len()
                    && shape.columns.iter().zip(expected.values()).all(|(column, value)| {
                        let expected: Option<Json> = serde_json::from_str(value.json()).ok();
                        expected.is_some() && after.get(column.name) == expected.as_ref()
                    })
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        if matches { Ok(Some(position)) } else { Err(unreadable()) }
    }

    /// Table, key and time of a row, by the envelope's members.
    fn identify(&self, row: &Json) -> Option<(usize, String, HlcTimestamp)> {
        match self.encoding.envelope {
            Envelope::Wrapped => {
                let table = *self.topics.get(row["topic"].as_str()?)?;
                Some((table, row["key"].as_array().map(|_| row["key"].to_string())?, time(&row["updated"])?))
            }
            Envelope::Query => {
                let mut tables = self.log.changes().iter().map(|change| change.table);
                let table = tables.next().filter(|first| tables.all(|table| table == *first))?;
                let image = if row["after"].is_null() { &row["before"] } else { &row["after"] };
                Some((table, key_of_image(&self.log.tables()[table], image)?, time(&row["updated"])?))
            }
            Envelope::Enriched => {
                let source = &row["source"];
                let name = source["table_name"].as_str()?;
                let table = self.log.tables().iter().position(|table| table.name == name)?;
                let key = key_array(&self.log.tables()[table], &row["key"])?;
                Some((table, key, time(&source["ts_hlc"])?))
            }
        }
    }
}

/// A deletion that shows nothing: of a row the feed may never have sent, in an envelope without keys.
fn is_phantom(envelope: Envelope, change: &Change) -> bool {
    envelope == Envelope::Query && change.row.is_none() && change.before.is_none()
}

fn key_array(table: &Table, key: &Json) -> Option<String> {
    key_of_image(table, key).filter(|_| key.as_object().is_some_and(|key| key.len() == table.key.len()))
}

/// The key as an array, from an object that has its columns by name.
fn key_of_image(table: &Table, image: &Json) -> Option<String> {
    let key = image.as_object()?;
    let elements = table.key.iter().map(|&column| key.get(table.columns[column].name).cloned());
    Some(Json::Array(elements.collect::<Option<Vec<Json>>>()?).to_string())
}

fn time(json: &Json) -> Option<HlcTimestamp> {
    json.as_str()?.parse().ok()
}

/// A JSON text with the spacing and escapes of this parser, so that texts of one value are equal.
fn canonical(json: &str) -> String {
    serde_json::from_str::<Json>(json).expect("keys are JSON").to_string()
}

fn broken<T>(rule: &'static str, detail: String) -> Result<T, Violation> {
    Err(Violation { rule, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Column, Key, Row, Source, Write};
    use crate::value::Value;

    /// Two keys; the first has versions at 10 and 20, the second at 20. The scan at 5 is empty.
    fn judge() -> SelfCheck {
        let column = Column { name: "id", sql_type: "int8", nullable: false };
        let table = Table { name: "t", columns: vec![column], key: vec![0], references: None, unique: None };
        let mut source = Source::new(vec![table]);
        let write = |id| {
            let row = Row::new(vec![Value::int8(id)]);
            Write { table: 0, key: Key::new(row.values()), row: Some(row) }
        };
        source.commit(at(10), [write(1)]);
        source.commit(at(20), [write(1), write(2)]);
        SelfCheck::new(Arc::new(ChangeLog::new(&source, at(5))), Encoding::default())
    }

    fn at(nanos: i64) -> HlcTimestamp {
        HlcTimestamp::new(nanos, 0).unwrap()
    }

    fn delivery(id: u64, kind: DeliveryKind, body: &str) -> Delivery {
        let connection = Connection::Worker { node: 0, worker: 0 };
        let origin = Origin::Feed;
        Delivery {
            id: DeliveryId(id),
            run: 0,
            request: id,
            attempt: 1,
            origin,
            connection,
            kind,
            body: body.into(),
        }
    }

    fn rows(id: u64, versions: &[(i64, i64)]) -> Delivery {
        let rows: Vec<String> = versions
            .iter()
            .map(|(id, nanos)| {
                let at = at(*nanos);
                format!(r#"{{"after":{{"id":{id}}},"key":[{id}],"topic":"t","updated":"{at}"}}"#)
            })
            .collect();
        let body = format!(r#"{{"payload":[{}],"length":{}}}"#, rows.join(","), rows.len());
        delivery(id, DeliveryKind::Rows(rows.len()), &body)
    }

    fn resolved(id: u64, nanos: i64) -> Delivery {
        delivery(id, DeliveryKind::Resolved(at(nanos)), &encode::resolved(at(nanos)))
    }

    fn acked(check: &mut SelfCheck, delivery: &Delivery) {
        check.sent(delivery).unwrap();
        check.replied(delivery.id, Reply::Ok);
    }

    fn rule(result: Result<(), Violation>) -> &'static str {
        result.unwrap_err().rule
    }

    #[test]
    fn a_proper_feed_passes() {
        let mut check = judge();
        acked(&mut check, &rows(1, &[(1, 10), (2, 20), (1, 20)]));
        acked(&mut check, &resolved(2, 25));
        acked(&mut check, &rows(3, &[(1, 10)]));
        assert_eq!(check.finished(), Ok(()));
    }

    #[test]
    fn the_first_emission_of_an_older_version_is_noticed() {
        assert_eq!(rule(judge().sent(&rows(1, &[(1, 20), (1, 10)]))), FIRST_IN_ORDER);
    }

    #[test]
    fn a_resolved_time_above_something_unacknowledged_is_noticed() {
        let mut check = judge();
        acked(&mut check, &rows(1, &[(1, 10)]));
        check.sent(&rows(2, &[(1, 20), (2, 20)])).unwrap();
        check.replied(DeliveryId(2), Reply::TimedOut);
        check.sent(&resolved(3, 19)).unwrap();
        assert_eq!(rule(check.sent(&resolved(4, 20))), RESOLVED_IS_ACKED);
    }

    #[test]
    fn something_new_below_a_resolved_time_is_noticed() {
        let mut check = judge();
        check.highest_resolved = at(10);
        check.sent(&rows(1, &[(2, 20)])).unwrap();
        assert_eq!(rule(check.sent(&rows(2, &[(1, 10)]))), NOTHING_NEW_BELOW);
    }

    #[test]
    fn two_requests_with_one_key_are_noticed() {
        let mut check = judge();
        check.sent(&rows(1, &[(1, 10)])).unwrap();
        assert_eq!(rule(check.sent(&rows(2, &[(1, 20)]))), KEYS_APART);
    }

    #[test]
    fn wrong_bytes_are_noticed() {
        let mut wrong = rows(1, &[(1, 10)]);
        wrong.body = wrong.body.replace("length\":1", "length\":2").into();
        assert_eq!(rule(judge().sent(&wrong)), LENGTH);
        assert_eq!(rule(judge().sent(&rows(1, &[(1, 11)]))), ROWS_READ_BACK);
        let mut wrong = rows(1, &[(1, 10)]);
        wrong.body = wrong.body.replace("{\"id\":1}", "{\"id\":1.0}").into();
        assert_eq!(rule(judge().sent(&wrong)), ROWS_READ_BACK);
        let mut check = judge();
        check.sent(&rows(1, &[(1, 10)])).unwrap();
        let retry = Delivery { id: DeliveryId(2), request: 1, ..rows(2, &[(2, 20)]) };
        assert_eq!(rule(check.sent(&retry)), ROWS_READ_BACK);
    }

    #[test]
    fn a_version_that_was_never_acknowledged_is_noticed() {
        let mut check = judge();
        acked(&mut check, &rows(1, &[(1, 10), (1, 20)]));
        assert_eq!(rule(check.finished()), ALL_SENT);
    }
}
