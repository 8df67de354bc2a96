//! The server, the role and the sequences.

use std::time::Duration;

use sink_core::flow::preflight::{Finding, Remedy, Severity, Side};

use super::Plan;
use crate::catalog::{OLDEST_VERSION, SourceCatalog};
use crate::transport::sql::{identifier, literal};

/// A server less patient than this cuts the stream while the target takes a breath.
const IMPATIENT: Duration = Duration::from_secs(10);
/// The server's default.
const PATIENT: &str = "60s";
/// First version that can be decoded on a standby.
const DECODES_ON_STANDBY: u32 = 16;

pub(super) fn findings(source: &SourceCatalog, plan: &Plan<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(version(source));
    found.extend(wal_level(source));
    found.extend(standby(source));
    found.extend(encoding(source));
    found.extend(role(source, plan));
    found.extend(patience(source));
    found
}

fn version(source: &SourceCatalog) -> Option<Finding> {
    let version = source.server.version;
    (version < OLDEST_VERSION).then(|| {
        let what = format!("PostgreSQL {} is older than 14, the oldest supported", version / 10_000);
        Finding::new(Severity::Error, "source_version", "source", what)
    })
}

fn wal_level(source: &SourceCatalog) -> Option<Finding> {
    let level = &source.server.wal_level;
    (level != "logical").then(|| {
        let what =
            format!("wal_level is {level:?}; changes can only be decoded from a log at level \"logical\"");
        let remedy = Remedy::run(Side::Source, ["ALTER SYSTEM SET wal_level = 'logical'".to_owned()])
            .note("takes effect when the server is restarted");
        Finding::new(Severity::Error, "source_wal_level", "source", what).remedy(remedy)
    })
}

fn standby(source: &SourceCatalog) -> Option<Finding> {
    if !source.server.in_recovery {
        return None;
    }
    Some(if source.server.is_at_least(DECODES_ON_STANDBY) {
        let what =
            "it is a standby: publications are made on its primary, and the stream ends when it is promoted";
        Finding::new(Severity::Warning, "source_standby", "source", what)
    } else {
        let what = "it is a standby, which can be decoded from PostgreSQL 16 on; connect to the primary";
        Finding::new(Severity::Error, "source_standby", "source", what)
    })
}

fn encoding(source: &SourceCatalog) -> Option<Finding> {
    (source.server.encoding == "SQL_ASCII").then(|| {
        let what = "the database's encoding is SQL_ASCII: it may hold texts that are not UTF-8, and the stream would \
                    stop at the first";
        Finding::new(Severity::Warning, "source_encoding", &source.server.database, what)
    })
}

fn role(source: &SourceCatalog, plan: &Plan<'_>) -> Vec<Finding> {
    let role = &source.role;
    let mut found = Vec::new();
    if !role.replication {
        found.push(
            Finding::new(Severity::Error, "source_role", &role.name, "the role may not replicate")
                .mend(Side::Source, [format!("ALTER ROLE {} REPLICATION", identifier(&role.name))]),
        );
    }
    let makes_publication =
        plan.snapshot.copies() && plan.publications.iter().any(|name| source.publication(name).is_none());
    if makes_publication && !role.may_create_in_database {
        let what = "the role may not make the publication that is missing";
        let grant = format!(
            "GRANT CREATE ON DATABASE {} TO {}",
            identifier(&source.server.database),
            identifier(&role.name)
        );
        let remedy = Remedy::run(Side::Source, [grant])
            .note("it must own the tables, too; or let their owner make the publication");
        found.push(Finding::new(Severity::Error, "source_role_create", &role.name, what).remedy(remedy));
    }
    found
}

fn patience(source: &SourceCatalog) -> Option<Finding> {
    let timeout = source.server.wal_sender_timeout;
    let role = identifier(&source.role.name);
    let set = [format!("ALTER ROLE {role} SET wal_sender_timeout = '{PATIENT}'")];
    let (severity, what) = if timeout.is_zero() {
        let what =
            "wal_sender_timeout is 0: the slot stays in use after a reader has vanished without a word";
        (Severity::Info, what.to_owned())
    } else if timeout < IMPATIENT {
        let what = format!(
            "wal_sender_timeout is {} ms: the server ends the stream after that much silence",
            timeout.as_millis()
        );
        (Severity::Warning, what)
    } else {
        return None;
    };
    Some(Finding::new(severity, "source_wal_sender_timeout", "source", what).mend(Side::Source, set))
}

/// Their values are not part of the stream: at cut-over they are copied by hand.
pub(super) fn sequences(source: &SourceCatalog) -> Vec<Finding> {
    let mut found = Vec::new();
    let (readable, hidden): (Vec<_>, Vec<_>) =
        source.sequences.iter().partition(|sequence| sequence.readable);
    if !readable.is_empty() {
        let what = format!(
            "{} sequences are not replicated; copy them at cut-over, when nothing writes to the source any more",
            readable.len()
        );
        let statement = |name: String| {
            format!(
                "SELECT format('SELECT setval(%L, %s, %L)', {}, last_value, is_called) FROM {name}",
                literal(&name)
            )
        };
        let remedy =
            Remedy::run(Side::Source, readable.iter().map(|sequence| statement(sequence.name.quoted())))
                .note("each prints the statement to run on the target");
        found.push(
            Finding::new(Severity::Info, "source_sequences", &source.server.database, what).remedy(remedy),
        );
    }
    let role = identifier(&source.role.name);
    found.extend(hidden.into_iter().map(|sequence| {
        let what = format!("role {:?} may not read it, so it cannot be copied at cut-over", source.role.name);
        let grants = [
            format!("GRANT USAGE ON SCHEMA {} TO {role}", identifier(&sequence.name.schema)),
            format!("GRANT SELECT ON SEQUENCE {} TO {role}", sequence.name.quoted()),
        ];
        Finding::new(Severity::Info, "source_sequence_unreadable", &sequence.name, what)
            .mend(Side::Source, grants)
    }));
    found
}
