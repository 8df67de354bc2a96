//! Where a stream may start. Pure.

use crate::Flavor;
use crate::catalog::ServerFacts;
use crate::gtid::{GtidSet, LogPosition};

/// Whether a stream may start at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resume {
    /// It may.
    Possible,
    /// The server lacks what the target has.
    Ahead(String),
    /// Changes are missing for good.
    Lost(String),
}

/// Judges by what a server has, and had. `chosen`: somebody said where to begin.
pub(crate) fn resume(position: &LogPosition, server: &ServerFacts, chosen: bool) -> Resume {
    let from = position.resume();
    match (&from, &server.executed, &server.purged) {
        (GtidSet::MySql(ours), GtidSet::MySql(executed), purged) => {
            if let Some(purged) = purged.as_ref().filter(|purged| !purged.is_subset(ours)) {
                let mut missing = purged.clone();
                missing.subtract(ours);
                return Resume::Lost(lost(&missing, ours.is_empty() && !chosen));
            }
            let mut ahead = ours.clone();
            ahead.subtract(executed);
            if ahead.is_empty() { Resume::Possible } else { Resume::Ahead(ahead_of(&ahead)) }
        }
        // What of a MariaDB log is deleted, the server says when it is asked for the log.
        (GtidSet::MariaDb(ours), GtidSet::MariaDb(executed), _) => {
            let ahead =
                ours.iter().find(|ours| executed.get(ours.domain).is_some_and(|has| has.seq < ours.seq));
            match ahead {
                Some(ahead) => Resume::Ahead(ahead_of(&ahead)),
                None => Resume::Possible,
            }
        }
        (GtidSet::MySql(_), GtidSet::MariaDb(_), _) | (GtidSet::MariaDb(_), GtidSet::MySql(_), _) => {
            Resume::Lost("the position is one of another product".to_owned())
        }
    }
}

/// Nothing is stored, nobody has said where to begin, and the log does not go back to its start.
pub(crate) fn nowhere_to_begin(flavor: Flavor) -> String {
    let ask = match flavor {
        Flavor::MySql => "SELECT @@GLOBAL.gtid_executed",
        Flavor::MariaDb => "SELECT @@GLOBAL.gtid_binlog_pos",
    };
    format!(
        "nothing is stored and --defaultGTIDSet is not given, so the log would be read from its start; but the source has \
         deleted that part of it. Copy the tables (--snapshotMode=initial), or give the position of your dump: \
         --defaultGTIDSet. To begin now, leaving out what has happened so far, run on the source: {ask}; and give that"
    )
}

fn lost(missing: &dyn std::fmt::Display, from_the_start: bool) -> String {
    if from_the_start {
        return format!("{} (deleted: {missing})", nowhere_to_begin(Flavor::MySql));
    }
    format!(
        "the source has deleted transactions that the target lacks: {missing} (binlog_expire_logs_seconds, PURGE BINARY \
         LOGS). Changes are missing for good: give the feed another name (--loopName) and start over with a new copy of the \
         tables"
    )
}

fn ahead_of(ahead: &dyn std::fmt::Display) -> String {
    format!(
        "the source lacks transactions that the target has: {ahead}. It is another server, one that was restored from a \
         backup, or a replica that is behind; connect to the server that has them, or start over with a new copy of the \
         tables"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn judged(flavor: Flavor, position: &str, executed: &str, purged: Option<&str>, chosen: bool) -> Resume {
        let set = |text: &str| GtidSet::parse(flavor, &text.replace('U', UUID)).unwrap();
        let purged = purged.map(|text| match set(text) {
            GtidSet::MySql(set) => set,
            GtidSet::MariaDb(_) => unreachable!(),
        });
        let executed = set(executed);
        let server = ServerFacts { flavor, release: (9, 7), variables: HashMap::new(), executed, purged };
        resume(&LogPosition::from(set(position)), &server, chosen)
    }

    #[test]
    fn a_mysql_stream_starts_where_nothing_is_lost() {
        let judged = |position, executed, purged, chosen| {
            judged(Flavor::MySql, position, executed, Some(purged), chosen)
        };
        assert_eq!(judged("U:1-5", "U:1-9", "U:1-5", true), Resume::Possible);
        assert_eq!(judged("", "U:1-9", "", false), Resume::Possible);
        let Resume::Lost(reason) = judged("U:1-5", "U:1-9", "U:1-7", true) else { panic!() };
        assert!(reason.contains(&format!("{UUID}:6-7")), "{reason}");
        let Resume::Lost(reason) = judged("", "U:1-9", "U:1-7", false) else { panic!() };
        assert!(reason.contains("--defaultGTIDSet") && reason.contains("gtid_executed"), "{reason}");
        let Resume::Ahead(reason) = judged("U:1-12", "U:1-9", "", true) else { panic!() };
        assert!(reason.contains(&format!("{UUID}:10-12")), "{reason}");
    }

    #[test]
    fn a_mariadb_stream_starts_at_a_server_that_has_as_much() {
        let judged = |position, executed| judged(Flavor::MariaDb, position, executed, None, true);
        assert_eq!(judged("0-1-5", "0-2-9"), Resume::Possible);
        assert_eq!(judged("0-1-5,7-1-1", "0-2-9"), Resume::Possible);
        assert!(matches!(judged("0-1-5", "0-1-4"), Resume::Ahead(_)));
    }
}
