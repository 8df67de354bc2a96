//! A slot of a server: who it is, where a feed may begin, and its stream.

use std::time::Duration;

use serde_json::json;
use sink_core::failure::{Disposition, Failure};
use sink_core::flow::{Identified, LogSource, Position, Stored};

use crate::Lsn;
use crate::feed::{Catalogue, Feed, Leave, SkipBefore, failed};
use crate::position::{SourceIdentity, SourceState, check_resume, longest_silence, status_interval};
use crate::transport::{Config, Session, StartRequest, SystemIdentity, literal};

const IDENTIFY: &str = "ask the source who it is";
const OPEN: &str = "open the source's stream";
/// Longest wait for the answer to a short command.
const LIMIT: Duration = Duration::from_secs(30);

/// What to read.
#[derive(Debug, Clone)]
pub struct SlotSource {
    config: Config,
    slot: String,
    publications: Vec<String>,
    status_interval: Duration,
    leave: Leave,
    identity: Option<SourceIdentity>,
}

/// A slot's name is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a slot's name has 1 to 63 lower-case letters, digits and underscores")]
pub struct BadSlotName;

impl SlotSource {
    /// Reads these publications through this slot, and tells the server at least every `status_interval` how far it is.
    ///
    /// # Errors
    /// If the slot's name is none.
    pub fn new(
        config: Config,
        slot: &str,
        publications: Vec<String>,
        status_interval: Duration,
    ) -> Result<Self, BadSlotName> {
        const LONGEST: usize = 63;
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if slot.is_empty() || slot.len() > LONGEST || !slot.bytes().all(letters) {
            return Err(BadSlotName);
        }
        let leave = Leave::default();
        Ok(Self { config, slot: slot.to_owned(), publications, status_interval, leave, identity: None })
    }

    /// What the stream leaves out from its next start on.
    #[must_use]
    pub fn leaving(mut self, leave: Leave) -> Self {
        self.leave = leave;
        self
    }

    /// As [`leaving`](Self::leaving), of copied tables alone.
    pub fn skip_before(&mut self, before: SkipBefore) {
        self.leave.before = before;
    }

    /// Who the server is, whether or not it has the slot; as JSON text.
    ///
    /// # Errors
    /// The connection, or an answer that makes no sense.
    pub async fn who(&mut self) -> Result<String, Failure> {
        let mut session = self.connect(IDENTIFY).await?;
        let system = session.identify_system(LIMIT).await.map_err(|e| failed(IDENTIFY, e))?;
        let identity = self.identity_on(system);
        let text = to_json(&identity);
        self.identity = Some(identity);
        Ok(text)
    }

    fn identity_on(&self, system: SystemIdentity) -> SourceIdentity {
        SourceIdentity {
            system_id: system.system_id,
            timeline: system.timeline,
            database: system.database,
            slot: self.slot.clone(),
        }
    }

    async fn connect(&self, operation: &'static str) -> Result<Session, Failure> {
        Session::connect(&self.config).await.map_err(|e| failed(operation, e))
    }

    async fn state(&self, session: &mut Session, operation: &'static str) -> Result<SourceState, Failure> {
        let system = session.identify_system(LIMIT).await.map_err(|e| failed(operation, e))?;
        let statement = format!(
            "SELECT confirmed_flush_lsn::text, wal_status FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
            literal(&self.slot)
        );
        let rows = session.query(&statement, LIMIT).await.map_err(|e| failed(operation, e))?;
        let Some(row) = rows.first() else {
            let reason = format!(
                "there is no replication slot {0:?}; run on the source: SELECT pg_create_logical_replication_slot('{0}', \
                 'pgoutput'); then copy the tables before starting again",
                self.slot
            );
            return Err(Failure::new(Disposition::Halt, operation, reason));
        };
        if row.get(1).is_some_and(|status| status.as_deref() == Some("lost")) {
            let reason = format!(
                "slot {0:?} is lost: the source has removed log that it still needed (max_slot_wal_keep_size). Changes \
                 are missing for good: drop the slot, give the feed another name (--loopName) and start over with a new \
                 snapshot",
                self.slot
            );
            return Err(Failure::new(Disposition::Halt, operation, reason));
        }
        let confirmed = row.first().and_then(|text| text.as_deref()?.parse().ok());
        let slot_confirmed = confirmed.ok_or_else(|| {
            let reason = format!("slot {:?} is not one for logical replication", self.slot);
            Failure::new(Disposition::Halt, operation, reason)
        })?;
        let end_of_log = system.end_of_log;
        Ok(SourceState { identity: self.identity_on(system), end_of_log, slot_confirmed })
    }
}

impl LogSource for SlotSource {
    type Stream = Feed;

    async fn identify(&mut self) -> Result<Identified, Failure> {
        let mut session = self.connect(IDENTIFY).await?;
        let state = self.state(&mut session, IDENTIFY).await?;
        let first = Position::new(state.slot_confirmed.to_string());
        let identity = to_json(&state.identity);
        self.identity = Some(state.identity);
        Ok(Identified { identity, first })
    }

    fn recognise(&self, stored: &Stored) -> Result<(), Failure> {
        let by = from_json(&stored.source_identity)?;
        let Some(found) = self.identity.clone() else { return Ok(()) };
        let here = lsn(&stored.position)?;
        // The numbers are compared when nobody else can move them.
        let state = SourceState { identity: found, end_of_log: here, slot_confirmed: here };
        check_resume(here, &by, &state).map_err(|refused| Failure::new(Disposition::Halt, OPEN, refused))
    }

    async fn open(&mut self, stored: &Stored) -> Result<Feed, Failure> {
        let mut session = self.connect(OPEN).await?;
        let state = self.state(&mut session, OPEN).await?;
        let from = lsn(&stored.position)?;
        let by = from_json(&stored.source_identity)?;
        check_resume(from, &by, &state).map_err(|refused| Failure::new(Disposition::Halt, OPEN, refused))?;
        let timeout = session.wal_sender_timeout(LIMIT).await.map_err(|e| failed(OPEN, e))?;
        let patience = status_interval(self.status_interval, timeout);
        let request = StartRequest { slot: self.slot.clone(), from, publications: self.publications.clone() };
        let stream = session.start(&request, LIMIT).await.map_err(|e| failed(OPEN, e))?;
        let catalogue = Catalogue { config: self.config.clone(), publications: self.publications.clone() };
        let feed = Feed::new(stream, (from, state.end_of_log), self.leave.clone(), patience, catalogue);
        Ok(feed.giving_up_after(longest_silence(timeout)))
    }
}

fn lsn(position: &Position) -> Result<Lsn, Failure> {
    position.as_str().parse().map_err(|_| {
        let reason =
            "the stored position is not one of PostgreSQL; this feed's name is used for another source";
        Failure::new(Disposition::Halt, OPEN, reason)
    })
}

fn to_json(identity: &SourceIdentity) -> String {
    let SourceIdentity { system_id, timeline, database, slot } = identity;
    json!({ "system_id": system_id, "timeline": timeline, "database": database, "slot": slot }).to_string()
}

fn from_json(text: &str) -> Result<SourceIdentity, Failure> {
    let read = || {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some(SourceIdentity {
            system_id: text("system_id")?,
            timeline: value.get("timeline")?.as_u64()?.try_into().ok()?,
            database: text("database")?,
            slot: text("slot")?,
        })
    };
    read().ok_or_else(|| {
        let reason = "the stored position belongs to a source of another kind; give this feed another name (--loopName)";
        Failure::new(Disposition::Halt, OPEN, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back_as_it_was_written() {
        let identity = SourceIdentity {
            system_id: "7123456789012345678".to_owned(),
            timeline: 3,
            database: "my \"db\"".to_owned(),
            slot: "s".to_owned(),
        };
        assert_eq!(from_json(&to_json(&identity)).unwrap(), identity);
        for other in ["{}", "[", "{\"system_id\": 7}"] {
            assert!(from_json(other).is_err(), "{other}");
        }
    }

    #[test]
    fn names_of_slots_are_checked() {
        let config = || Config::from_url("postgres://u@h/d").unwrap();
        for good in ["cdc_sink", "1a"] {
            assert!(SlotSource::new(config(), good, Vec::new(), LIMIT).is_ok(), "{good}");
        }
        for bad in ["", "A", "a'b", "a-b", &"x".repeat(64)] {
            assert!(SlotSource::new(config(), bad, Vec::new(), LIMIT).is_err(), "{bad}");
        }
    }
}
