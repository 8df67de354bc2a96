//! Where a stream may start.
//!
//! The order is always: applied with the position in one target transaction, then acknowledged. The slot's own position
//! is a hint: after a crash of the source it goes back, and transactions come again; [`is_applied`] drops them.

use std::time::Duration;

use crate::Lsn;
use crate::pgoutput::SourceTime;

/// Whether a transaction is already in the target. Stored is the *end* of the last transaction, or a keepalive's
/// position with nothing outstanding before it.
#[must_use]
pub fn is_applied(end_lsn: Lsn, stored: Lsn) -> bool {
    end_lsn <= stored
}

/// Which server a stored position belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceIdentity {
    /// Made when the cluster was created; the same on its standbys.
    pub system_id: String,
    /// Rises when a standby is promoted.
    pub timeline: u32,
    /// The database of the slot.
    pub database: String,
    /// The slot.
    pub slot: String,
}

/// What the source says about itself before a stream starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// Who it is.
    pub identity: SourceIdentity,
    /// How far its log is on disk.
    pub end_of_log: Lsn,
    /// What the slot considers acknowledged.
    pub slot_confirmed: Lsn,
}

/// Starting here would lose changes or mix two histories.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResumeRefused {
    /// Another cluster, database or slot.
    #[error(
        "the stored position belongs to {stored:?}, the source is {found:?}; connect to the former source, or start over with a new snapshot"
    )]
    OtherSource {
        /// As stored.
        stored: Box<SourceIdentity>,
        /// As found.
        found: Box<SourceIdentity>,
    },
    /// A standby was promoted; what it had not received is gone, and positions have two meanings.
    #[error(
        "the stored position belongs to timeline {stored}, the source is on timeline {found} after a failover; start over with a new snapshot"
    )]
    OtherTimeline {
        /// As stored.
        stored: u32,
        /// As found.
        found: u32,
    },
    /// The server has not written that far. It would accept the position, and skip everything up to it.
    #[error(
        "the stored position {stored} is beyond the source's log, which ends at {end_of_log}; the source was restored from a backup or is another one: start over with a new snapshot"
    )]
    BeyondLog {
        /// As stored.
        stored: Lsn,
        /// Where the log ends.
        end_of_log: Lsn,
    },
    /// Somebody else acknowledged changes that we do not have. The server would not send them again.
    #[error(
        "slot is acknowledged up to {slot_confirmed}, beyond the stored position {stored}: another reader used it, and changes between the two are lost; start over with a new snapshot"
    )]
    SlotAhead {
        /// As stored.
        stored: Lsn,
        /// What the slot says.
        slot_confirmed: Lsn,
    },
}

/// Whether the stream may go on from a stored position.
///
/// # Errors
/// If anything says that it would not be the same stream, without a gap.
pub fn check_resume(stored: Lsn, by: &SourceIdentity, now: &SourceState) -> Result<(), ResumeRefused> {
    let found = &now.identity;
    let same = (&by.system_id, &by.database, &by.slot) == (&found.system_id, &found.database, &found.slot);
    if !same {
        return Err(ResumeRefused::OtherSource {
            stored: Box::new(by.clone()),
            found: Box::new(found.clone()),
        });
    }
    if by.timeline != found.timeline {
        return Err(ResumeRefused::OtherTimeline { stored: by.timeline, found: found.timeline });
    }
    if stored > now.end_of_log {
        return Err(ResumeRefused::BeyondLog { stored, end_of_log: now.end_of_log });
    }
    if now.slot_confirmed > stored {
        return Err(ResumeRefused::SlotAhead { stored, slot_confirmed: now.slot_confirmed });
    }
    Ok(())
}

/// A commit that was sent this much later than it happened is part of a backlog.
const BACKLOG_AGE_MICROS: i64 = 50_000;

/// Whether the stream is behind, by the server's own clock: rows of a backlog are old when they are sent.
#[must_use]
pub fn is_backlog(commit_time: SourceTime, sent_at: SourceTime) -> bool {
    sent_at.micros().saturating_sub(commit_time.micros()) > BACKLOG_AGE_MICROS
}

/// Longest pause between two statuses, given the server's `wal_sender_timeout`: a third of it, so that one may be late.
/// A server with 0 never gives up.
#[must_use]
pub fn status_interval(wanted: Duration, wal_sender_timeout: Duration) -> Duration {
    if wal_sender_timeout.is_zero() { wanted } else { wanted.min(wal_sender_timeout / 3) }
}

/// How long a server may say nothing although it is well: while it works through a large transaction of which nothing is
/// published, it neither sends nor answers until half of its `wal_sender_timeout` has passed, and with 0 until it is
/// through. Whoever gives up before that lets it begin anew, for ever. That its machine is gone is found out by TCP.
#[must_use]
pub fn longest_silence(wal_sender_timeout: Duration) -> Duration {
    const LEAST: Duration = Duration::from_secs(30);
    const UNBOUNDED: Duration = Duration::from_secs(60 * 60);
    if wal_sender_timeout.is_zero() { UNBOUNDED } else { (wal_sender_timeout * 2).max(LEAST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lsn(at: u64) -> Lsn {
        Lsn::new(at)
    }

    fn identity() -> SourceIdentity {
        SourceIdentity {
            system_id: "7".to_owned(),
            timeline: 1,
            database: "d".to_owned(),
            slot: "s".to_owned(),
        }
    }

    fn state(end_of_log: u64, slot_confirmed: u64) -> SourceState {
        let (end_of_log, slot_confirmed) = (lsn(end_of_log), lsn(slot_confirmed));
        SourceState { identity: identity(), end_of_log, slot_confirmed }
    }

    #[test]
    fn a_transaction_is_applied_if_it_ends_at_or_before_the_stored_position() {
        assert!(is_applied(lsn(10), lsn(10)));
        assert!(is_applied(lsn(9), lsn(10)));
        assert!(!is_applied(lsn(11), lsn(10)));
    }

    #[test]
    fn a_stream_goes_on_where_the_slot_is_not_ahead_and_the_log_not_behind() {
        assert_eq!(check_resume(lsn(10), &identity(), &state(10, 10)), Ok(()));
        assert_eq!(check_resume(lsn(10), &identity(), &state(99, 3)), Ok(()));
    }

    #[test]
    fn a_position_that_the_server_has_not_reached_is_refused() {
        let refused = ResumeRefused::BeyondLog { stored: lsn(10), end_of_log: lsn(9) };
        assert_eq!(check_resume(lsn(10), &identity(), &state(9, 3)), Err(refused));
    }

    #[test]
    fn a_slot_that_somebody_else_moved_is_refused() {
        let refused = ResumeRefused::SlotAhead { stored: lsn(10), slot_confirmed: lsn(11) };
        assert_eq!(check_resume(lsn(10), &identity(), &state(99, 11)), Err(refused));
    }

    #[test]
    fn another_source_or_timeline_is_refused_whatever_the_numbers_say() {
        for other in [
            SourceIdentity { system_id: "8".to_owned(), ..identity() },
            SourceIdentity { database: "e".to_owned(), ..identity() },
            SourceIdentity { slot: "t".to_owned(), ..identity() },
        ] {
            let refused = check_resume(lsn(10), &other, &state(10, 10));
            assert!(matches!(refused, Err(ResumeRefused::OtherSource { .. })), "{refused:?}");
        }
        let older = SourceIdentity { timeline: 2, ..identity() };
        let refused = ResumeRefused::OtherTimeline { stored: 2, found: 1 };
        assert_eq!(check_resume(lsn(10), &older, &state(10, 10)), Err(refused));
    }

    #[test]
    fn a_status_comes_thrice_within_the_servers_patience() {
        assert_eq!(status_interval(10 * SECOND, 60 * SECOND), 10 * SECOND);
        assert_eq!(status_interval(10 * SECOND, 3 * SECOND), SECOND);
        assert_eq!(status_interval(10 * SECOND, Duration::ZERO), 10 * SECOND);
    }

    #[test]
    fn a_server_that_works_through_something_is_not_taken_for_dead() {
        assert_eq!(longest_silence(60 * SECOND), 120 * SECOND);
        assert_eq!(longest_silence(2 * SECOND), 30 * SECOND);
        assert!(longest_silence(Duration::ZERO) > 600 * SECOND);
    }

    #[test]
    fn rows_that_are_old_when_they_are_sent_are_a_backlog() {
        let at = SourceTime::from_micros;
        assert!(!is_backlog(at(0), at(BACKLOG_AGE_MICROS)));
        assert!(is_backlog(at(0), at(BACKLOG_AGE_MICROS + 1)));
        assert!(!is_backlog(at(i64::MAX), at(i64::MIN)));
    }
}
