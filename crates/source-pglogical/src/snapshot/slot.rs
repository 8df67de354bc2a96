//! Makes a slot and has its snapshot exported.

use std::time::Duration;

use sink_core::failure::{Disposition, Failure};
use tokio::time::Instant;

use super::reader::failed;
use crate::transport::{Config, CreatedSlot, NewSlot, Session, SnapshotAction};

/// How often transactions that are waited for are looked for and named.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The first look: nearly always the slot is made by then.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const MAKE: &str = "make a replication slot";

/// A slot's snapshot, for as long as it is kept: others may import it until then. A temporary slot goes with it.
pub(super) struct Exported {
    /// Parked: its next command would end the snapshot.
    session: Session,
    /// What was committed before is in the snapshot.
    pub(super) slot: CreatedSlot,
    /// Its name.
    pub(super) snapshot: String,
}

impl Exported {
    /// Everybody has imported it.
    pub(super) fn release(self) {
        drop(self.session);
    }
}

/// Makes a slot. The server waits for every transaction that is writing at the moment; those are named in the log, and
/// after `patience` the attempt ends.
///
/// # Errors
/// The connection or the server's refusal; `Halt` when the patience is over.
pub(super) async fn make(
    config: &Config,
    name: &str,
    temporary: bool,
    patience: Duration,
) -> Result<Exported, Failure> {
    let fail = failed(MAKE);
    let mut session = Session::connect(config).await.map_err(&fail)?;
    let rows = session.query("SELECT pg_backend_pid()", config.limits.connect).await.map_err(&fail)?;
    let pid = rows.first().and_then(|row| row.first()?.as_ref()?.parse::<u32>().ok());
    let pid = pid.ok_or_else(|| Failure::new(Disposition::Halt, MAKE, "the server has no process number"))?;
    let mut watcher = Watcher { session: crate::catalog::connect(config).await.map_err(&fail)?, pid };
    let new = NewSlot { name: name.to_owned(), temporary, snapshot: SnapshotAction::Export };
    let deadline = Instant::now() + patience;
    let slot = {
        // The deadline is ours: it ends with the names of those that were waited for.
        let create = session.create_slot(&new, patience.saturating_mul(2));
        tokio::pin!(create);
        let mut look_at = Instant::now() + FIRST_LOOK;
        loop {
            tokio::select! {
                created = &mut create => break created.map_err(&fail)?,
                () = tokio::time::sleep_until(look_at.min(deadline)) => {}
            }
            let blockers = watcher.blockers().await?;
            if Instant::now() >= deadline {
                watcher.end().await?;
                return Err(too_long(patience, &blockers));
            }
            look_at = Instant::now() + LOOK_EVERY;
            for blocker in blockers {
                tracing::warn!(slot = name, "making the slot waits for {blocker}");
            }
        }
    };
    let snapshot = slot.snapshot.clone();
    let snapshot =
        snapshot.ok_or_else(|| Failure::new(Disposition::Halt, MAKE, "the server exported no snapshot"))?;
    Ok(Exported { session, slot, snapshot })
}

fn too_long(patience: Duration, blockers: &[String]) -> Failure {
    let who = if blockers.is_empty() { "others".to_owned() } else { blockers.join("; ") };
    let reason = format!(
        "the slot was not made within {} s: it has to wait for {who}. End that, or allow more time with \
         --snapshotSlotTimeout",
        patience.as_secs()
    );
    Failure::new(Disposition::Halt, MAKE, reason)
}

/// Sees what the session that makes the slot waits for.
struct Watcher {
    session: Session,
    pid: u32,
}

impl Watcher {
    /// Whom it waits for, in words. Never what they run: that may hold values.
    async fn blockers(&mut self) -> Result<Vec<String>, Failure> {
        let question = format!(
            "SELECT b.pid, a.usename, a.application_name, a.state, \
             EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::int8 \
             FROM unnest(pg_blocking_pids({})) AS b(pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid",
            self.pid
        );
        let rows = self.session.query(&question, LOOK_EVERY).await.map_err(failed(MAKE))?;
        let words = |row: &Vec<Option<String>>| {
            let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or("?");
            match text(0) {
                "0" => "a prepared transaction (see pg_prepared_xacts)".to_owned(),
                pid => format!(
                    "the transaction of process {pid} (user {}, application {:?}, {}, open for {} s)",
                    text(1),
                    text(2),
                    text(3),
                    text(4)
                ),
            }
        };
        Ok(rows.iter().map(words).collect())
    }

    /// Ends the waiting session; the slot that it was about to make goes with it. Left alone it would wait on.
    async fn end(&mut self) -> Result<(), Failure> {
        let question = format!("SELECT pg_terminate_backend({}, 5000)", self.pid);
        self.session.query(&question, 2 * LOOK_EVERY).await.map(drop).map_err(failed(MAKE))
    }
}
