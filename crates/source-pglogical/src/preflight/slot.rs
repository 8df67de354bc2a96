//! The slot.

use sink_core::flow::preflight::{Finding, Remedy, Severity, Side};

use super::Plan;
use crate::catalog::{Server, Slot, SourceCatalog, WalStatus};
use crate::transport::sql::literal;

/// Longest name of a slot.
const NAME_BYTES: usize = 63;
/// A limit proposed where there is none.
const KEEP: &str = "64GB";
/// A slot is in danger when less than this part of its limit is left.
const DANGER: u64 = 4;

pub(super) fn findings(source: &SourceCatalog, plan: &Plan<'_>) -> Vec<Finding> {
    if !is_name(plan.slot) {
        let what = "a slot's name has lower-case letters, digits and underscores, and up to 63 of them";
        return vec![Finding::new(Severity::Error, "source_slot_name", plan.slot, what)];
    }
    match &source.slot {
        None => missing(source, plan),
        Some(slot) => existing(source, slot),
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.len() <= NAME_BYTES && name.chars().all(plain)
}

fn create(name: &str) -> String {
    format!("SELECT pg_create_logical_replication_slot({}, 'pgoutput')", literal(name))
}

/// Makes a slot again, from now on.
pub(super) fn anew(name: &str) -> Remedy {
    let drop = format!("SELECT pg_drop_replication_slot({})", literal(name));
    Remedy::run(Side::Source, [drop, create(name)])
        .note("what the slot holds is lost: the tables must be copied anew")
}

fn missing(source: &SourceCatalog, plan: &Plan<'_>) -> Vec<Finding> {
    let server = &source.server;
    let mut found = Vec::new();
    if server.slots >= server.max_slots {
        let what = format!("all of max_replication_slots = {} are taken", server.max_slots);
        let raise = format!("ALTER SYSTEM SET max_replication_slots = {}", server.slots.saturating_add(10));
        let remedy = Remedy::run(Side::Source, [raise]).note("takes effect when the server is restarted");
        found.push(Finding::new(Severity::Error, "source_slots_exhausted", "source", what).remedy(remedy));
    }
    let code = "source_slot_missing";
    found.push(if plan.snapshot.copies() {
        Finding::new(Severity::Info, code, plan.slot, "there is no such slot; it will be made")
    } else {
        let what = "there is no such slot; it is never made without a snapshot, for changes would be missing in between";
        let remedy = Remedy::run(Side::Source, [create(plan.slot)])
            .note("after the publication and before the tables are copied");
        Finding::new(Severity::Error, code, plan.slot, what).remedy(remedy)
    });
    found.extend(retention(server, None));
    found
}

fn existing(source: &SourceCatalog, slot: &Slot) -> Vec<Finding> {
    if let Some(unusable) = unusable(source, slot) {
        return vec![unusable];
    }
    let mut found = Vec::new();
    found.extend(busy(slot));
    found.extend(retention(&source.server, Some(slot)));
    found
}

/// Reasons for which it can never be read by us.
fn unusable(source: &SourceCatalog, slot: &Slot) -> Option<Finding> {
    let database = &source.server.database;
    let error = |code, what: String| Finding::new(Severity::Error, code, &slot.name, what);
    if !slot.logical {
        let what = "it is a physical slot, made for a standby; use another name".to_owned();
        return Some(error("source_slot_kind", what).remedy(anew(&slot.name)));
    }
    if slot.plugin.as_deref() != Some("pgoutput") {
        let plugin = slot.plugin.as_deref().unwrap_or_default();
        let what = format!("it was made for the plugin {plugin:?}, not for pgoutput");
        return Some(error("source_slot_plugin", what).remedy(anew(&slot.name)));
    }
    if slot.database.as_ref() != Some(database) {
        let other = slot.database.as_deref().unwrap_or_default();
        let what = format!("it decodes database {other:?}, not {database:?}; use another name");
        let elsewhere = Remedy { note: format!("run the first in database {other:?}"), ..anew(&slot.name) };
        return Some(error("source_slot_database", what).remedy(elsewhere));
    }
    if slot.temporary {
        let what = "it is temporary and vanishes with the session that made it; use another name".to_owned();
        return Some(error("source_slot_temporary", what));
    }
    if slot.synced {
        let what =
            "it is a standby's copy of its primary's slot, which cannot be read from; use another name";
        return Some(error("source_slot_synced", what.to_owned()));
    }
    if slot.two_phase {
        let what = "it sends prepared transactions before their commit, which is not understood".to_owned();
        return Some(error("source_slot_two_phase", what).remedy(anew(&slot.name)));
    }
    if slot.wal_status == WalStatus::Lost || slot.invalidation_reason.is_some() {
        let why = slot.invalidation_reason.as_deref().unwrap_or("the log that it needs was removed");
        let what = format!("the server has given it up ({why}): changes are lost, take a new snapshot");
        return Some(error("source_slot_lost", what).remedy(anew(&slot.name)));
    }
    None
}

fn busy(slot: &Slot) -> Option<Finding> {
    let pid = slot.active_pid?;
    let by = slot.active_application.as_deref().map_or_else(String::new, |name| format!(" ({name:?})"));
    let what = format!("session {pid}{by} reads from it; ours waits until that ends");
    Some(
        Finding::new(Severity::Warning, "source_slot_busy", &slot.name, what)
            .mend(Side::Source, [format!("SELECT pg_terminate_backend({pid})")]),
    )
}

/// A slot that is not read keeps the log until the disk is full, or is given up at a limit.
fn retention(server: &Server, slot: Option<&Slot>) -> Vec<Finding> {
    let mut found = Vec::new();
    match server.max_slot_wal_keep_bytes {
        None => {
            let what = "max_slot_wal_keep_size is -1: while nobody reads from the slot, the log grows until the disk \
                        of the source is full";
            let limit = [
                format!("ALTER SYSTEM SET max_slot_wal_keep_size = '{KEEP}'"),
                "SELECT pg_reload_conf()".to_owned(),
            ];
            let remedy = Remedy::run(Side::Source, limit)
                .note("or whatever the disk can spare; a slot that needs more is lost");
            found.push(
                Finding::new(Severity::Warning, "source_retention_unlimited", "source", what).remedy(remedy),
            );
        }
        Some(limit) => found.extend(in_danger(limit, slot)),
    }
    if let Some(timeout) = server.idle_slot_timeout {
        let what = format!(
            "idle_replication_slot_timeout is {} s: the slot is lost if nobody reads from it for so long",
            timeout.as_secs()
        );
        let off = ["ALTER SYSTEM SET idle_replication_slot_timeout = 0", "SELECT pg_reload_conf()"];
        found.push(
            Finding::new(Severity::Warning, "source_slot_idle_timeout", "source", what)
                .mend(Side::Source, off.map(str::to_owned)),
        );
    }
    found
}

fn in_danger(limit: u64, slot: Option<&Slot>) -> Option<Finding> {
    let mib = limit >> 20;
    let more = [
        format!("ALTER SYSTEM SET max_slot_wal_keep_size = '{}MB'", mib.max(1).saturating_mul(4)),
        "SELECT pg_reload_conf()".to_owned(),
    ];
    let left = slot.and_then(|slot| slot.safe_wal_bytes);
    let endangered = slot.is_some_and(|slot| slot.wal_status == WalStatus::Unreserved)
        || left.is_some_and(|left| u64::try_from(left).unwrap_or(0) < limit / DANGER);
    if let (true, Some(slot)) = (endangered, slot) {
        let left = left.unwrap_or(0).max(0);
        let what = format!(
            "it is about to be lost: {left} more bytes of log may be written before max_slot_wal_keep_size = {mib} MB \
             is reached"
        );
        return Some(
            Finding::new(Severity::Warning, "source_slot_at_risk", &slot.name, what).mend(Side::Source, more),
        );
    }
    let what =
        format!("max_slot_wal_keep_size is {mib} MB: the slot is lost if we stand still for that much log");
    Some(Finding::new(Severity::Info, "source_retention_limited", "source", what))
}
