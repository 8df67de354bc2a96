//! Follows a position while transactions go by.

use std::collections::BTreeMap;

use super::{Gtid, GtidError, LogPosition, MariaDbGtid, PreparedAt};

/// Whether a transaction of the stream is in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// No.
    New,
    /// Yes.
    Applied,
    /// It is behind us and was only prepared; its rows are needed again.
    PreparedBefore,
}

/// The log went on without the transaction that the stored position names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// What should have come first.
    pub expected: MariaDbGtid,
}

/// A position, and what the stream still repeats of what is before it.
///
/// A stream of MariaDB that was opened before a prepared transaction sends again what followed it. All of that is
/// applied, up to the transaction of its domain at which the position stands; numbers alone would not tell, since
/// another server of the domain may use them again after an operator's error.
#[derive(Debug, Clone)]
pub struct Progress {
    position: LogPosition,
    /// Last transaction of the position, by domain, as long as it was not seen.
    repeating: BTreeMap<u32, MariaDbGtid>,
}

impl Progress {
    /// For a stream that is opened at [`LogPosition::resume`].
    #[must_use]
    pub fn new(position: LogPosition) -> Self {
        let repeating = match &position {
            LogPosition::MySql(_) => BTreeMap::new(),
            LogPosition::MariaDb { applied, prepared } => {
                let last = prepared.iter().filter_map(|at| applied.get(at.gtid.domain));
                last.map(|gtid| (gtid.domain, gtid)).collect()
            }
        };
        Self { position, repeating }
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> &LogPosition {
        &self.position
    }

    /// Whether the transaction is named as this product does.
    #[must_use]
    pub fn is_named_alike(&self, gtid: &Gtid) -> bool {
        matches!(
            (&self.position, gtid),
            (LogPosition::MySql(_), Gtid::MySql(_)) | (LogPosition::MariaDb { .. }, Gtid::MariaDb(_))
        )
    }

    /// Judges the next transaction of the stream.
    ///
    /// # Errors
    /// If the stream is past the position without having come by it.
    pub fn see(&mut self, gtid: &Gtid) -> Result<Seen, Missed> {
        match (&self.position, gtid) {
            (LogPosition::MySql(set), Gtid::MySql(gtid)) => {
                Ok(if set.contains(gtid) { Seen::Applied } else { Seen::New })
            }
            (LogPosition::MariaDb { prepared, .. }, Gtid::MariaDb(gtid)) => {
                let Some(last) = self.repeating.get(&gtid.domain).copied() else { return Ok(Seen::New) };
                let mut before = prepared.iter().filter(|at| at.gtid.domain == gtid.domain);
                let rising = before.all(|at| at.gtid.seq <= last.seq);
                if last == *gtid {
                    self.repeating.remove(&gtid.domain);
                } else if rising && gtid.seq > last.seq {
                    return Err(Missed { expected: last });
                }
                let again = prepared.iter().any(|at| at.gtid == *gtid);
                Ok(if again { Seen::PreparedBefore } else { Seen::Applied })
            }
            // A server does not change its product.
            (LogPosition::MySql(_), Gtid::MariaDb(_)) | (LogPosition::MariaDb { .. }, Gtid::MySql(_)) => {
                Ok(Seen::New)
            }
        }
    }

    /// The transaction is applied, or has nothing for us.
    ///
    /// # Errors
    /// If no transaction can be called that.
    pub fn pass(&mut self, gtid: &Gtid) -> Result<(), GtidError> {
        match (&mut self.position, gtid) {
            (LogPosition::MySql(set), Gtid::MySql(gtid)) => set.add(gtid),
            (LogPosition::MariaDb { applied, .. }, Gtid::MariaDb(gtid)) => {
                applied.replace(*gtid);
                Ok(())
            }
            (LogPosition::MySql(_), Gtid::MariaDb(_)) => Err(GtidError::Uuid),
            (LogPosition::MariaDb { .. }, Gtid::MySql(_)) => Err(GtidError::Domain),
        }
    }

    /// The transaction is prepared: behind it, but its rows are needed until it is [decided](Self::decide).
    pub fn prepare(&mut self, gtid: &Gtid) {
        match (&mut self.position, gtid) {
            // Left out, so that it is sent again.
            (LogPosition::MySql(_), _) | (LogPosition::MariaDb { .. }, Gtid::MySql(_)) => {}
            (LogPosition::MariaDb { applied, prepared }, Gtid::MariaDb(gtid)) => {
                let before = applied.replace(*gtid);
                prepared.push(PreparedAt { before, gtid: *gtid });
            }
        }
    }

    /// The prepared transaction is applied with the one that commits it, or gone with the one that rolls it back.
    ///
    /// # Errors
    /// If no transaction can be called that.
    pub fn decide(&mut self, gtid: &Gtid) -> Result<(), GtidError> {
        match (&mut self.position, gtid) {
            (LogPosition::MySql(set), Gtid::MySql(gtid)) => set.add(gtid),
            (LogPosition::MariaDb { prepared, .. }, Gtid::MariaDb(gtid)) => {
                prepared.retain(|at| at.gtid != *gtid);
                Ok(())
            }
            (LogPosition::MySql(_), Gtid::MariaDb(_)) | (LogPosition::MariaDb { .. }, Gtid::MySql(_)) => {
                Ok(())
            }
        }
    }
}
