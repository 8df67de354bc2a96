//! The publications.

use sink_core::flow::OnTruncate;
use sink_core::flow::preflight::{Finding, Remedy, Severity, Side};

use super::{Plan, Since, slot};
use crate::catalog::{Probe, Publication, SourceCatalog};
use crate::transport::sql::identifier;

pub(super) fn findings(source: &SourceCatalog, plan: &Plan<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in plan.publications {
        match source.publication(name) {
            None => found.push(missing(source, plan, name)),
            Some(publication) => {
                found.extend(operations(publication));
                found.extend(truncates(publication, plan));
            }
        }
    }
    found.extend(empty(source, plan));
    found.extend(newer(source, plan));
    found
}

fn candidates(source: &SourceCatalog) -> String {
    let names: Vec<String> = source.candidates.iter().map(crate::catalog::TableName::quoted).collect();
    names.join(", ")
}

fn missing(source: &SourceCatalog, plan: &Plan<'_>, name: &str) -> Finding {
    let code = "source_publication_missing";
    if plan.snapshot.copies() {
        let what = "there is no such publication; it will be made";
        return Finding::new(Severity::Info, code, name, what);
    }
    let finding = Finding::new(Severity::Error, code, name, "there is no such publication");
    let tables = candidates(source);
    if tables.is_empty() {
        return finding;
    }
    let create = format!("CREATE PUBLICATION {} FOR TABLE {tables}", identifier(name));
    let note = match &source.slot {
        Some(_) => {
            "these are all tables whose rows can be found again; the slot must be younger than the publication: \
             make it anew afterwards if it holds changes"
        }
        None => "these are all tables whose rows can be found again; make the slot afterwards",
    };
    finding.remedy(Remedy::run(Side::Source, [create]).note(note))
}

fn empty(source: &SourceCatalog, plan: &Plan<'_>) -> Option<Finding> {
    let [first, ..] = source.publications.as_slice() else { return None };
    if !source.published.tables.is_empty() || source.publications.len() < plan.publications.len() {
        return None;
    }
    let finding =
        Finding::new(Severity::Error, "source_publication_empty", &first.name, "it publishes no table");
    let tables = candidates(source);
    if tables.is_empty() {
        return Some(finding);
    }
    let add = format!("ALTER PUBLICATION {} ADD TABLE {tables}", identifier(&first.name));
    Some(finding.remedy(Remedy::run(Side::Source, [add]).note("take out what is not meant")))
}

fn operations(publication: &Publication) -> Option<Finding> {
    let each =
        [(publication.inserts, "insert"), (publication.updates, "update"), (publication.deletes, "delete")];
    let left_out: Vec<&str> = each.iter().filter(|(sent, _)| !sent).map(|(_, name)| *name).collect();
    if left_out.is_empty() {
        return None;
    }
    let truncate = if publication.truncates { ", truncate" } else { "" };
    let set = format!(
        "ALTER PUBLICATION {} SET (publish = 'insert, update, delete{truncate}')",
        identifier(&publication.name)
    );
    let what = format!(
        "it leaves out every {}; the target will not follow the source there",
        left_out.join(" and ")
    );
    Some(
        Finding::new(Severity::Warning, "source_publication_operations", &publication.name, what)
            .mend(Side::Source, [set]),
    )
}

fn truncates(publication: &Publication, plan: &Plan<'_>) -> Option<Finding> {
    let code = "source_truncate";
    match (publication.truncates, plan.on_truncate) {
        (true, OnTruncate::Stop) => {
            let what = "a TRUNCATE of a published table stops the feed until somebody decides (--onTruncate)";
            Some(Finding::new(Severity::Info, code, &publication.name, what))
        }
        (true, OnTruncate::Ignore) => {
            let what =
                "a TRUNCATE of a published table is ignored (--onTruncate): its rows stay in the target";
            Some(Finding::new(Severity::Info, code, &publication.name, what))
        }
        (false, _) => {
            let what = "TRUNCATE is not published: the rows stay in the target";
            Some(Finding::new(Severity::Info, code, &publication.name, what))
        }
        (true, OnTruncate::Apply) => None,
    }
}

/// How much it matters that something may have changed since the slot was made; not at all if that is compared.
pub(super) fn severity_of_doubt(plan: &Plan<'_>) -> Option<Severity> {
    match plan.since_slot {
        Since::Compared => None,
        Since::Unknown => Some(Severity::Error),
        Since::Accepted => Some(Severity::Info),
    }
}

/// What to do if there is nothing to mend.
pub(super) const ACCEPT: &str = "if nothing was written in between, or the tables were copied anew since, start once with \
                                 --acceptPublicationChanges";

/// It is there for all that the slot holds, and may have published something else before.
fn altered_late(plan: &Plan<'_>, subject: &str) -> Option<Finding> {
    let what = format!(
        "it may have been made or altered after slot {:?} was made, by a transaction that had not ended by then: changes \
         written before that may be missing; {ACCEPT}",
        plan.slot
    );
    let code = "source_publication_may_be_newer";
    Some(Finding::new(severity_of_doubt(plan)?, code, subject, what).remedy(slot::anew(plan.slot)))
}

/// What the slot holds is decoded with the catalogue as it was then; a publication that was not there yet ends the
/// stream, or from 18 on loses changes.
fn newer(source: &SourceCatalog, plan: &Plan<'_>) -> Option<Finding> {
    let younger = source.publications.iter().filter(|found| found.older_than_slot == Some(false));
    let names: Vec<&str> = younger.map(|publication| publication.name.as_str()).collect();
    let subject = names.join(", ");
    match source.probe.as_ref()? {
        Probe::Passes => altered_late(plan, &subject),
        Probe::Busy => None,
        Probe::PublicationNewer => {
            let fate = if source.server.is_at_least(18) { "would be lost" } else { "cannot be decoded" };
            let what = format!(
                "slot {:?} holds changes from before the publication was made, which {fate}",
                plan.slot
            );
            Some(
                Finding::new(Severity::Error, "source_publication_newer_than_slot", subject, what)
                    .remedy(slot::anew(plan.slot)),
            )
        }
        Probe::Unclear => {
            let what = format!(
                "whether slot {:?} holds changes from before the publication was made could not be found out in time",
                plan.slot
            );
            Some(Finding::new(Severity::Warning, "source_publication_age_unclear", subject, what))
        }
        Probe::Refused(why) => {
            let what = format!("what the slot holds cannot be decoded: {why}");
            Some(
                Finding::new(Severity::Error, "source_slot_undecodable", plan.slot, what)
                    .remedy(slot::anew(plan.slot)),
            )
        }
    }
}
