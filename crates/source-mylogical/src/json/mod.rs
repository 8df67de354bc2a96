//! Documents of MySQL's type JSON, which the log holds in a binary form, as text: what the server itself shows, so that
//! decimals keep their digits. Never deeper than the server allows, and never more work than there are bytes.

mod binary;
mod edit;
mod path;
mod write;

use crate::binlog::reader::Reader;
use crate::row::RowProblem;
use crate::row::text::counted;
use crate::row::value::{Context, Written};
use crate::table::{PlannedColumn, TargetKind};
use binary::View;
use edit::Node;
use write::Writer;

/// Deeper than this the server refuses documents (error 3157, seen on MySQL 9.7).
const MOST_DEPTH: usize = 100;

const IMPOSSIBLE: RowProblem = RowProblem::Impossible { kind: "JSON document" };

/// Reads a document behind its length and appends its text.
pub(crate) fn document(
    reader: &mut Reader<'_>,
    prefix: usize,
    column: &PlannedColumn,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<(), RowProblem> {
    let bytes = counted(reader, prefix)?;
    show(&Node::Whole(View::of_document(bytes)?), bytes.len(), column, out, context)
}

/// Reads edits of a document, applies them to what it was before and appends the text.
pub(crate) fn edited(
    reader: &mut Reader<'_>,
    before: &[u8],
    column: &PlannedColumn,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<Written, RowProblem> {
    /// The length of edits has four bytes in every column (read in server source).
    const LENGTH_BYTES: usize = 4;
    let edits = counted(reader, LENGTH_BYTES)?;
    let node = edit::apply(before, edits)?;
    show(&node, before.len().saturating_add(edits.len()), column, out, context)?;
    Ok(Written::Text)
}

fn show(
    node: &Node<'_>,
    bytes: usize,
    column: &PlannedColumn,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<(), RowProblem> {
    // Types json and text of the target take the escape of a zero character, jsonb does not.
    let takes_nuls = column
        .target
        .is_some_and(|target| matches!(target.kind, TargetKind::Json { binary: false } | TargetKind::Text));
    let nuls = (!takes_nuls).then_some(context.policies.nuls);
    let mut writer = Writer::new(out, bytes, nuls);
    writer.node(node, 0)?;
    context.changed.nuls += u64::from(writer.has_stripped());
    Ok(())
}
