//! Writes without keeping transactions together: rows are divided by their keys over several connections.
//!
//! Every row still ends at its newest version, because one batch is written before the next is begun and a key has one
//! connection within a batch. The position moves when all of them are done, and only to the end of a transaction, so what
//! a crash interrupts is written again; until then the target holds rows from beyond its position, which is noted as
//! `torn` before the first of them is written.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use futures::future::join_all;

use super::fold::{Origin, Outcome, TableNet};
use super::position::FeedName;
use super::sql::{FlowApplier, Written, has_stages};
use crate::failure::{Disposition, Failure, Place};

/// Divides a batch. What has to see the table as it was before (a row that changes its key, an emptied table) or whose
/// keys are equal without being the same text stays in one piece; so does a table whose changes are kept in order, and
/// all of a batch whose stages come one after the other.
fn divide(nets: &[TableNet], shards: usize) -> Vec<Vec<TableNet>> {
    if has_stages(nets) {
        return vec![nets.to_vec()];
    }
    let mut divided: Vec<Vec<TableNet>> = (0..shards).map(|_| Vec::new()).collect();
    for (at, net) in nets.iter().enumerate() {
        if !is_divisible(net) {
            divided[at % shards].push(net.clone());
            continue;
        }
        let mut rows: HashMap<usize, Vec<_>> = HashMap::new();
        for (key, outcome) in &net.rows {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            let shard = usize::try_from(hasher.finish()).unwrap_or(0) % shards;
            rows.entry(shard).or_default().push((key.clone(), outcome.clone()));
        }
        for (shard, rows) in rows {
            let table = Arc::clone(&net.table);
            divided[shard].push(TableNet {
                table,
                rows,
                emptied: false,
                stage: net.stage,
                steps: Vec::new(),
                tally: Vec::new(),
            });
        }
    }
    divided.retain(|nets| !nets.is_empty());
    divided
}

fn is_divisible(net: &TableNet) -> bool {
    let moves = |outcome: &Outcome| matches!(outcome, Outcome::Live(Origin::Moved(_), _));
    !net.emptied
        && net.steps.is_empty()
        && net.table.key_text_equality()
        && !net.rows.iter().any(|(_, outcome)| moves(outcome))
}

/// Writes a batch over several connections.
///
/// # Errors
/// `Fenced` if somebody else took over; `Retry` if it may be tried again as a whole; otherwise the target refuses rows.
pub(super) async fn write(
    applier: &FlowApplier,
    feed: &FeedName,
    epoch: i64,
    nets: &[TableNet],
    shards: usize,
) -> Result<Written, Failure> {
    let tables: Vec<_> = nets.iter().map(|net| net.table.id.clone()).collect();
    if let Some(net) = nets.iter().find(|net| net.is_keyless()) {
        let reason = "the table has no key, so its rows can only be written together with the position";
        let place = Place { table: Some(net.table.id.clone()), ..Place::default() };
        return Err(Failure::new(Disposition::Halt, "write rows apart", reason).at(place));
    }
    let divided = divide(nets, shards);
    let each = divided.iter().map(|nets| applier.write_apart(nets, feed, epoch));
    let mut all = Written::default();
    for counts in [&mut all.missing, &mut all.beaten, &mut all.late] {
        counts.resize(tables.len(), 0);
    }
    let mut refused = None;
    for (nets, answer) in divided.iter().zip(join_all(each).await) {
        match answer {
            Ok(written) => {
                for (number, net) in nets.iter().enumerate() {
                    let at = tables.iter().position(|table| *table == net.table.id).unwrap_or(0);
                    all.missing[at] += written.missing[number];
                    all.beaten[at] += written.beaten[number];
                    all.late[at] += written.late[number];
                }
            }
            Err(error) => match error.disposition() {
                // Perhaps only because it came before what another connection writes.
                Disposition::Halt | Disposition::Defer => refused = Some(error),
                Disposition::Retry | Disposition::Fenced => return Err(error),
            },
        }
    }
    match refused {
        None => Ok(all),
        Some(_) => applier.write_apart_as_one(nets, feed, epoch).await,
    }
}
