//! The initial snapshot: a copy without a stream, and its progress on a terminal or in the log.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use sink_core::checkpoint::Leases;
use sink_core::failure::{Failure, chain};
use sink_core::flow::copy::progress::Stage;
use sink_core::flow::copy::{Board, View};
use sink_core::flow::{FlowStatus, Phase};
use tokio_util::sync::CancellationToken;

/// How often a terminal is drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(500);
/// How often the log is told.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Most tables under way that are shown.
const MOST_LINES: usize = 8;
/// How often a lease that another process holds is tried.
const LEASE_PAUSE: Duration = Duration::from_secs(1);

/// Copies and does nothing else; under the feed's lease, as everything that is done for it.
///
/// # Errors
/// What a person has to mend.
pub async fn only(
    mut copy: impl AsyncFnMut() -> Result<(), Failure>,
    leases: &Leases,
    feed: &str,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let name = format!("feed:{feed}");
    loop {
        if let Some(lost) = leases.acquire(&name).await? {
            match lost.run_until_cancelled(copy()).await {
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
pub async fn show(board: Arc<Board>, status: Arc<FlowStatus>) {
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
