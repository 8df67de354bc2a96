//! The look beside the stream: what is published, and how the slot is.

use std::sync::Arc;
use std::time::Duration;

use sink_core::failure::{Failure, chain};
use sink_core::flow::{FeedName, FlowStatus, Phase, PositionStore};
use sink_core::target::Target;
use sink_feed::{Failed, usage};
use source_pglogical::catalog::WalStatus;
use source_pglogical::watch::{Guard, Seen, SlotHealth};

use crate::args::StartArgs;

/// How often it is looked. What goes on in between is found out by numbers that are given anew.
const INTERVAL: Duration = Duration::from_secs(5);
/// How many looks in a row have to fail while the stream is read until that is told.
const WORTH_TELLING: u32 = 3;

/// The guard of these flags.
pub(crate) fn guard(args: &StartArgs, target: &Target) -> Result<Arc<Guard>, Failed> {
    let guard = Guard::new(
        args.source.config().map_err(usage)?,
        &args.source.slot_name,
        vec![args.source.publication().map_err(usage)?],
        PositionStore::new(Arc::clone(target.home())),
        FeedName::whole(&args.source.loop_name),
        args.source.accept_publication_changes,
    );
    Ok(Arc::new(guard))
}

/// Looks until there is a gap.
pub(crate) async fn look(guard: &Guard, status: &FlowStatus) -> Failure {
    let (mut failures, mut endangered) = (0_u32, false);
    loop {
        let phase = status.state().phase;
        match phase {
            // Another process looks.
            Phase::Standby => {}
            Phase::Connecting | Phase::Snapshot | Phase::Streaming | Phase::Stalled => {
                match guard.look().await {
                    Ok(Seen { gap: Some(gap), .. }) => return gap,
                    Ok(Seen { slot, gap: None }) => {
                        failures = 0;
                        warn_once(slot.as_ref(), &mut endangered);
                    }
                    Err(error) => {
                        failures += 1;
                        complain(&error, phase, failures);
                    }
                }
            }
        }
        tokio::select! {
            () = guard.until_opened() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// A source that is away is told of by the feed itself.
fn complain(error: &Failure, phase: Phase, failures: u32) {
    if phase == Phase::Streaming && failures == WORTH_TELLING {
        tracing::warn!(error = %chain(error), "cannot look at the slot and the publications; trying again");
    } else {
        tracing::debug!(error = %chain(error), failures, "could not look at the slot and the publications");
    }
}

fn warn_once(slot: Option<&SlotHealth>, endangered: &mut bool) {
    let Some(slot) = slot else { return };
    let is = match slot.wal_status {
        WalStatus::Reserved | WalStatus::Extended => false,
        WalStatus::Unreserved | WalStatus::Lost => true,
    };
    if is && !*endangered {
        tracing::error!(
            wal_status = slot.wal_status.as_str(),
            retained_bytes = slot.retained_bytes,
            "the source is about to remove log that the slot needs (max_slot_wal_keep_size)"
        );
    }
    *endangered = is;
}
