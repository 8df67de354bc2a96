//! `preflight`: everything that can be known to be wrong before a feed is started, and the statements that mend it.
//! `start` looks as well, before it does anything. The look itself is the program's.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use sink_core::failure::{Disposition, Failure, chain};
use sink_core::flow::FeedName;
use sink_core::flow::copy::{SnapshotStore, is_done};
use sink_core::flow::preflight::{Report, Severity};
use sink_core::target::{Target, TargetConfig};
use sink_service::exit::Exit;
use sink_service::snapshot_args::SnapshotMode;
use tokio_util::sync::CancellationToken;

use crate::args::AtStart;
use crate::{Failed, target_failed};

/// SQLSTATEs of tables and schemas that are not there: nobody has ever started this feed.
const NEVER_STARTED: [&str; 2] = ["42P01", "3F000"];

/// Why it could not be looked.
pub enum LookError {
    /// The command line is wrong.
    Flags(anyhow::Error),
    /// The source: whether to try again, and what it said.
    Source(Disposition, String),
    /// The target.
    Target(Failure),
}

impl LookError {
    /// An error of the source.
    #[must_use]
    pub fn source(disposition: Disposition, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Source(disposition, chain(error))
    }

    fn disposition(&self) -> Disposition {
        match self {
            Self::Flags(_) => Disposition::Halt,
            Self::Source(disposition, _) => *disposition,
            Self::Target(error) => error.disposition(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Flags(error) => format!("{error:#}"),
            Self::Source(_, text) => text.clone(),
            Self::Target(error) => chain(error),
        }
    }

    fn failed(self) -> Failed {
        match self {
            Self::Flags(_) => (Exit::Usage, anyhow!(self.text())),
            Self::Source(..) => (Exit::Target, anyhow!(self.text())),
            Self::Target(error) => target_failed(error),
        }
    }
}

/// Prints what is found; ends with 0 if nothing is an error, else with 4. Changes nothing at either side.
///
/// # Errors
/// If it could not be looked.
pub async fn run(
    target: TargetConfig,
    json: bool,
    look: impl AsyncFnOnce(&Arc<Target>) -> Result<Report, LookError>,
) -> Result<Exit, Failed> {
    let target = Arc::new(Target::connect_to_look(target).await.map_err(target_failed)?);
    let report = look(&target).await.map_err(LookError::failed);
    target.close().await;
    let report = report?;
    let mut out = std::io::stdout().lock();
    let written = if json { writeln!(out, "{:#}", report.to_json()) } else { write!(out, "{report}") };
    written.and_then(|()| out.flush()).context("print the findings").map_err(|e| (Exit::Failure, e))?;
    Ok(if report.passes() { Exit::Success } else { Exit::Refused })
}

/// Looks before the start; tries again after `pause` while one side does not answer.
///
/// # Errors
/// If a finding is an error, unless that is only to be told.
pub async fn before_start(
    at_start: AtStart,
    pause: Duration,
    stop: &CancellationToken,
    look: impl AsyncFn() -> Result<Report, LookError>,
) -> Result<(), Failed> {
    let report = loop {
        match look().await {
            Ok(report) => break report,
            Err(error) if error.disposition() == Disposition::Retry => {
                tracing::warn!(error = %error.text(), "cannot look at the source yet; trying again");
            }
            Err(error) => return Err(error.failed()),
        }
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            // Whoever comes next ends at once.
            return Ok(());
        }
    };
    tell(&report);
    match (report.passes(), at_start) {
        (true, _) | (false, AtStart::Report) => Ok(()),
        (false, AtStart::Stop) => Err((Exit::Refused, anyhow!("preflight:\n{report}"))),
    }
}

fn tell(report: &Report) {
    for finding in report.findings() {
        let (severity, code) = (finding.severity.as_str(), finding.code);
        let (subject, what) = (&finding.subject, &finding.what);
        match finding.severity {
            Severity::Error => tracing::error!(severity, code, subject, what, "preflight"),
            Severity::Warning | Severity::Info => {
                tracing::info!(severity, code, subject, what, "preflight");
            }
        }
    }
    tracing::info!("preflight: {}", report.summary());
}

/// What is still to be copied: nothing, if that was done by an earlier start.
///
/// # Errors
/// If the target cannot be asked.
pub async fn still_to_copy(
    wanted: SnapshotMode,
    target: &Target,
    feed: &str,
) -> Result<SnapshotMode, LookError> {
    match wanted {
        SnapshotMode::Never => return Ok(SnapshotMode::Never),
        SnapshotMode::Initial | SnapshotMode::Only => {}
    }
    let store = SnapshotStore::new(Arc::clone(target.home())).map_err(LookError::Target)?;
    let records = store.read(&FeedName::whole(feed)).await;
    let records = unless_never_started(records).map_err(LookError::Target)?.unwrap_or_default();
    Ok(if is_done(&records) { SnapshotMode::Never } else { wanted })
}

/// What was read of our own tables at the target; `None` if they are not there.
///
/// # Errors
/// Any other.
pub fn unless_never_started<T>(read: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.sqlstate().is_some_and(|code| NEVER_STARTED.contains(&code)) => Ok(None),
        Err(error) => Err(error),
    }
}
