//! Looks at the slot and the publications while their changes are streamed, over a session of its own.
//!
//! ```text
//! Watch: one look ─► published: what changed ─► Guard: stops the feed at a gap, else notes it beside the position (text)
//! ```
//!
//! Some things end a stream with an error sooner or later. This is about those that do not: a slot that is about to be lost,
//! and tables whose rows are left out in silence, because they were taken out of a publication for a while.

mod guard;
mod published;
mod text;

pub use guard::{Guard, Seen};
pub use published::{Alarm, PublicationChange, PublicationSet};

use std::collections::BTreeSet;
use std::time::Duration;

use crate::catalog::{Asking, CatalogError, WalStatus, Wanted, connect};
use crate::transport::{Config, Session};

/// Figures of the slot, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotHealth {
    /// Whether the log that it needs is there.
    pub wal_status: WalStatus,
    /// Bytes of log that may be written until it is in danger; none without a limit.
    pub safe_wal_bytes: Option<i64>,
    /// Bytes of log that are kept for it.
    pub retained_bytes: Option<u64>,
    /// Whether anybody reads from it.
    pub active: bool,
}

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The slot; none if it is gone.
    pub slot: Option<SlotHealth>,
    /// What changed since the look before; at the first, what may have changed since the slot was made.
    pub alarms: Vec<Alarm>,
}

/// Looks again and again. The caller decides when; after an error the next look connects anew, and compares with the last
/// one that succeeded.
pub struct Watch {
    config: Config,
    slot: String,
    publications: Vec<String>,
    limit: Duration,
    session: Option<Session>,
    last: Option<PublicationSet>,
}

impl Watch {
    /// Watches a slot and publications. Each question may take as long as `limit`.
    #[must_use]
    pub fn new(config: Config, slot: &str, publications: Vec<String>, limit: Duration) -> Self {
        Self { config, slot: slot.to_owned(), publications, limit, session: None, last: None }
    }

    /// The next look compares with this; with none it is a first one.
    pub fn compare_with(&mut self, published: Option<PublicationSet>) {
        self.last = published;
    }

    /// What was published at the last look that succeeded.
    #[must_use]
    pub fn published(&self) -> Option<&PublicationSet> {
        self.last.as_ref()
    }

    /// Looks once. Not to be cancelled: a look that is cut off costs the session, not what is known.
    ///
    /// # Errors
    /// If the connection or a question fails.
    pub async fn look(&mut self) -> Result<Look, CatalogError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let connected = connect(&self.config).await;
                connected.map_err(|source| CatalogError::Read { what: "the slot", source })?
            }
        };
        let wanted = Wanted { slot: &self.slot, publications: &self.publications };
        let (slot, now, alarms) = look(&mut session, wanted, self.last.as_ref(), self.limit).await?;
        self.session = Some(session);
        self.last = Some(now);
        Ok(Look { slot, alarms })
    }
}

async fn look(
    session: &mut Session,
    wanted: Wanted<'_>,
    last: Option<&PublicationSet>,
    limit: Duration,
) -> Result<(Option<SlotHealth>, PublicationSet, Vec<Alarm>), CatalogError> {
    let mut asking = Asking::new(session, limit);
    asking.begin().await?;
    let version = asking.server().await?.version;
    let slot = asking.slot(version, wanted.slot).await?;
    let publications = asking.publications(version, wanted).await?;
    let members = asking.named_members(version, wanted).await?;
    asking.end().await?;
    let doubts = if last.is_none() { PublicationSet::in_doubt(&publications, &members) } else { Vec::new() };
    let now = PublicationSet::new(publications, members);
    let alarms = match last {
        None => doubts,
        Some(last) => {
            let left = last.left_in(&now);
            // Not in the transaction: the server lists published tables as they are, the transaction shows tables as they
            // were, so that one that was dropped in between would seem to have been taken out.
            let there = if left.is_empty() { BTreeSet::new() } else { asking.still_there(&left).await? };
            last.changes_to(&now, &there)
        }
    };
    let slot = slot.map(|slot| SlotHealth {
        wal_status: slot.wal_status,
        safe_wal_bytes: slot.safe_wal_bytes,
        retained_bytes: slot.retained_bytes,
        active: slot.active_pid.is_some(),
    });
    Ok((slot, now, alarms))
}
