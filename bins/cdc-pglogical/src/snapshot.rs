//! The initial snapshot: from flags to a source that copies first, and its progress on a terminal or in the log.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sink_core::checkpoint::Leases;
use sink_core::failure::{Failure, chain};
use sink_core::flow::copy::progress::Stage;
use sink_core::flow::copy::{Board, SnapshotStore, View};
use sink_core::flow::{FeedName, FlowStatus, Phase, PositionStore};
use sink_core::target::Target;
use sink_service::exit::Exit;
use sink_service::snapshot_args::SnapshotMode;
use source_pglogical::snapshot::{First, Settings, Snapshot, SnapshotSource, parse_tables};
use tokio_util::sync::CancellationToken;

use crate::Failed;
use crate::args::StartArgs;
use crate::start::target_failed;
use crate::tables;

/// How often a terminal is drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(500);
/// How often the log is told.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Most tables under way that are shown.
const MOST_LINES: usize = 8;
/// How often a lease that another process holds is tried.
const LEASE_PAUSE: Duration = Duration::from_secs(1);

/// The source of these flags: it copies first, if that is asked for.
pub(crate) fn source(
    args: &StartArgs,
    target: &Arc<Target>,
    status: &Arc<FlowStatus>,
    board: &Arc<Board>,
    stop: CancellationToken,
) -> Result<SnapshotSource, Failed> {
    let usage = |e: anyhow::Error| (Exit::Usage, e);
    let slot = args.source().map_err(usage)?;
    let store = SnapshotStore::new(Arc::clone(target.home())).map_err(target_failed)?;
    let feed = FeedName::whole(&args.source.loop_name);
    let first = match args.snapshot.snapshot_mode {
        SnapshotMode::Never => First::Stream { store, feed },
        SnapshotMode::Initial | SnapshotMode::Only => First::Copy(Box::new(Snapshot {
            source: args.source.config().map_err(usage)?,
            settings: settings(args).map_err(usage)?,
            store,
            positions: PositionStore::new(Arc::clone(target.home())),
            feed,
            maker: tables::maker(args, target),
            status: Arc::clone(status),
            board: Arc::clone(board),
            stop,
        })),
    };
    Ok(SnapshotSource::new(slot, first))
}

/// Refuses flags that make no sense, before anything is connected to.
///
/// # Errors
/// Names the flag.
pub(crate) fn check(args: &StartArgs) -> anyhow::Result<()> {
    args.source()?;
    settings(args).map(drop)
}

pub(crate) fn settings(args: &StartArgs) -> anyhow::Result<Settings> {
    let tables = args.snapshot.tables.as_deref().map(parse_tables).transpose().context("--tables")?;
    Ok(Settings {
        publication: args.source.publication()?,
        slot: args.source.slot_name.clone(),
        tables: tables.unwrap_or_default(),
        workers: usize::from(args.snapshot.snapshot_workers),
        slot_patience: args.snapshot.snapshot_slot_timeout,
        question_limit: Settings::QUESTION_LIMIT,
    })
}

/// Copies and does nothing else; under the feed's lease, as everything that is done for it.
///
/// # Errors
/// What a person has to mend.
pub(crate) async fn only(
    mut source: SnapshotSource,
    leases: &Leases,
    feed: &str,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let name = format!("feed:{feed}");
    loop {
        if let Some(lost) = leases.acquire(&name).await? {
            match lost.run_until_cancelled(source.copy()).await {
                Some(Err(_)) if stop.is_cancelled() => return Ok(()),
                Some(done) => return done,
                None => tracing::info!("another process took over"),
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(LEASE_PAUSE)).await.is_none() {
            return Ok(());
        }
    }
}

/// Shows how far the copy is for as long as there is one.
pub(crate) async fn show(board: Arc<Board>, status: Arc<FlowStatus>) {
    let terminal = std::io::stderr().is_terminal();
    let mut drawn = false;
    loop {
        tokio::time::sleep(if terminal { DRAW_EVERY } else { LOG_EVERY }).await;
        let under_way = status.state().phase == Phase::Snapshot;
        let view = board.view();
        match (terminal, under_way && !view.tables.is_empty()) {
            (true, true) => {
                draw(&frame(&view.lines(MOST_LINES)));
                drawn = true;
            }
            // Once more, so that nothing is left of it.
            (true, false) if std::mem::take(&mut drawn) => draw(CLEAR),
            (false, true) => log(&view),
            (true | false, false) => {}
        }
    }
}

/// Removes what was drawn below the cursor.
const CLEAR: &str = "\r\x1b[J";

/// Lines below the cursor, which comes back to an empty line above them: whatever is logged meanwhile takes that line, and
/// the next drawing begins below.
fn frame(lines: &[String]) -> String {
    format!("{CLEAR}\n{}\x1b[{}A\r", lines.join("\n"), lines.len())
}

fn draw(text: &str) {
    let mut terminal = std::io::stderr().lock();
    // A terminal that is gone is no reason to stop.
    if let Err(error) = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush()) {
        tracing::debug!(error = %chain(&error), "the progress could not be shown");
    }
}

fn log(view: &View) {
    let copied = view.tables.iter().filter(|table| table.stage == Stage::Done).count();
    tracing::info!(
        percent = view.percent,
        copied,
        tables = view.tables.len(),
        rows = view.rows,
        bytes = view.bytes,
        bytes_per_second = view.bytes_per_second,
        seconds_left = view.left.map(|left| left.as_secs()),
        "snapshot under way"
    );
    for table in view.tables.iter().filter(|table| table.stage == Stage::Copying).take(MOST_LINES) {
        tracing::info!(
            table = %table.table,
            percent = table.percent,
            rows = table.rows,
            estimated_rows = table.estimated_rows,
            bytes = table.bytes,
            "copying"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_comes_back_to_the_line_above() {
        let lines = ["one".to_owned(), "two".to_owned()];
        assert_eq!(frame(&lines), "\r\x1b[J\none\ntwo\x1b[2A\r");
    }
}
