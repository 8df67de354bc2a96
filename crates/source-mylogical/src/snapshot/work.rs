//! One attempt: from the look at both sides to the tables that are copied.

use std::collections::BTreeSet;

use sink_core::failure::Failure;
use sink_core::flow::copy::store::find_target;
use sink_core::flow::copy::{Fence, RangesPass, SourceName, TableRecord, TableState};
use sink_core::flow::{Advance, Position};

use super::prepare::{PREPARE, Tables};
use super::reader::ChunkReader;
use super::{Snapshot, position};
use crate::catalog::TableDetails;
use crate::gtid::GtidSet;
use crate::transport::Session;

impl Snapshot {
    /// Everything once.
    pub(super) async fn attempt(&self, identity: &str) -> Result<(), Failure> {
        let mut records = self.store.read(&self.feed).await?;
        let mut session = Session::connect(&self.source).await.map_err(|e| e.failed(PREPARE))?;
        if records.is_empty() {
            let tables = self.tables(&mut session).await?;
            self.create_tables(&mut session, &tables).await?;
            self.check(&mut session, &tables).await?;
        }
        let (fence, first) = self.take_over(&mut session, identity, records.is_empty()).await?;
        // Read again: a table that is not among these was made behind the position, so the stream has all of it.
        let tables = self.tables(&mut session).await?;
        if records.is_empty() {
            let names: Vec<SourceName> = tables.keys().cloned().collect();
            self.store.register(&fence, &names).await?;
            records = self.store.read(&self.feed).await?;
        }
        let lost = self.copy(&mut session, &fence, &tables, &records, &first).await?;
        let reached = position::behind(&mut session).await?.to_string();
        self.settle(&fence, &lost, &reached).await?;
        session.close().await;
        tracing::info!(position = %first, consistent_at = %reached, "copied the tables");
        Ok(())
    }

    /// Stores where the stream will start before anything is copied, unless the feed has a position already: everything
    /// that is copied is read behind it.
    async fn take_over(
        &self,
        session: &mut Session,
        identity: &str,
        is_new: bool,
    ) -> Result<(Fence, GtidSet), Failure> {
        let flavor = session.flavor();
        let first = match self.positions.read(&self.feed).await? {
            Some(stored) if !stored.position.as_str().is_empty() => stored.position,
            _ => Position::new(position::before(session).await?.to_string()),
        };
        let mut stored = self.positions.take_over(&self.feed, identity, &first).await?;
        // A start that failed before anything was copied leaves the very beginning of the log behind.
        if is_new && stored.position.as_str().is_empty() && !first.as_str().is_empty() {
            let (feed, from, to) = (&self.feed, &stored.position, &first);
            let advance = Advance { feed, from, to, epoch: stored.epoch, source_time_micros: None };
            self.positions.advance(advance).await?;
            stored.position = first;
        }
        let at = crate::gtid::LogPosition::parse(flavor, stored.position.as_str());
        let at = at.map_err(|e| super::prepare::halt(e.to_string()))?;
        Ok((Fence { feed: self.feed.clone(), epoch: stored.epoch }, at.applied()))
    }

    /// Copies what is left; answers which tables are gone.
    async fn copy(
        &self,
        session: &mut Session,
        fence: &Fence,
        tables: &Tables,
        records: &[TableRecord],
        first: &GtidSet,
    ) -> Result<BTreeSet<SourceName>, Failure> {
        let details = TableDetails::read(session, &self.settings.databases.names()).await;
        let details = details.map_err(|e| e.failed(PREPARE))?;
        let ranges = self.store.ranges(&self.feed).await?;
        let (mut plans, mut lost) = (Vec::new(), BTreeSet::new());
        for record in records {
            let name = &record.table;
            let known: Vec<_> = ranges.iter().filter(|range| range.table == *name).collect();
            let known = match record.state {
                TableState::Copied { .. } | TableState::Gone { .. } => {
                    self.board.expect_done(name, record.rows, record.bytes);
                    continue;
                }
                TableState::Pending => None,
                TableState::Copying => Some(known.as_slice()),
            };
            match tables.get(name) {
                Some(table) => {
                    plans.push(self.plan_table(session, fence, (name, table), &details, known).await?);
                }
                None => drop(lost.insert(name.clone())),
            }
        }
        // The largest first, so that no worker is left with it alone at the end.
        plans.sort_by_key(|plan| std::cmp::Reverse(plan.ranges.len()));
        let readers: Vec<_> =
            (0..self.settings.workers.max(1)).map(|_| ChunkReader::new(self.source.clone())).collect();
        tracing::info!(tables = plans.len(), position = %first, workers = readers.len(), "copying tables");
        let pass = RangesPass {
            store: self.store.clone(),
            fence: fence.clone(),
            board: std::sync::Arc::clone(&self.board),
        };
        let copied = tokio::select! {
            copied = pass.run(plans, readers, &self.stop) => copied?,
            Err(failure) = self.watch_log(first) => return Err(failure),
        };
        lost.extend(copied);
        Ok(lost)
    }

    /// Notes where the copy ends: with this the tables are the stream's.
    async fn settle(&self, fence: &Fence, lost: &BTreeSet<SourceName>, reached: &str) -> Result<(), Failure> {
        let ranges = self.store.ranges(&self.feed).await?;
        for record in self.store.read(&self.feed).await? {
            let name = &record.table;
            if record.state.consistent_point().is_some() {
                continue;
            }
            if lost.contains(name) {
                tracing::warn!(table = %name, "the source dropped the table before it was copied");
                if record.state == TableState::Copying {
                    let target = find_target(self.store.database(), name).await?;
                    self.store.restart(fence, name, &target.id).await?;
                }
                self.store.gone(fence, name, reached).await?;
                continue;
            }
            let of_table = || ranges.iter().filter(|range| range.table == *name);
            let amount = (
                of_table().map(|range| range.rows).sum::<u64>(),
                of_table().map(|range| range.bytes).sum::<u64>(),
            );
            self.store.finish(fence, name, reached, amount).await?;
        }
        Ok(())
    }
}
