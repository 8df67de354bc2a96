//! One attempt: from the look at both sides to the tables that are copied.

use std::collections::BTreeMap;
use std::sync::Arc;

use sink_core::failure::{Disposition, Failure, chain};
use sink_core::flow::Position;
use sink_core::flow::copy::store::{find_target, not_empty, target_table};
use sink_core::flow::copy::{Fence, Pass, SourceName, TablePlan, TableRecord, TableState, is_done};

use super::look::{Published, Seen, look, published};
use super::plan::Leaf;
use super::reader::{Piece, PieceReader, failed, import};
use super::skip::skip_before;
use super::slot::{self, Exported};
use super::{Snapshot, publication};
use crate::Lsn;
use crate::catalog::{self, SourceCatalog, TableName, Wanted};
use crate::feed::SkipBefore;
use crate::transport::Session;
use crate::watch::PublicationSet;

const PREPARE: &str = "prepare the initial snapshot";

fn halt(reason: impl Into<String>) -> Failure {
    Failure::new(Disposition::Halt, PREPARE, reason.into())
}

fn source_name(name: &TableName) -> SourceName {
    SourceName { schema: name.schema.clone(), name: name.name.clone() }
}

fn table_name(table: &SourceName) -> TableName {
    TableName { schema: table.schema.clone(), name: table.name.clone() }
}

/// Leaves out tables that came into the publication after the look before the slot was made: if they were copied as they
/// are in the snapshot, what was written until they came would be missing.
fn leave_out_late(catalog: &mut SourceCatalog, before: &PublicationSet) {
    catalog.published.tables.retain(|table| {
        let known = before.has_as_in(table);
        if !known {
            tracing::warn!(
                table = %table.name,
                "the table came into the publication while the slot was made, and is not copied; copy it by hand"
            );
        }
        known
    });
}

/// What is left to do, all of whose tables the snapshot shows.
type Plans = Vec<TablePlan<Piece>>;

impl Snapshot {
    /// Everything once. `None` if tables are left for another attempt.
    pub(super) async fn attempt(&self, identity: &str) -> Result<Option<SkipBefore>, Failure> {
        let records = self.store.read(&self.feed).await?;
        if is_done(&records) {
            return skip_before(&records).map(Some);
        }
        let mut session = catalog::connect(&self.source).await.map_err(failed(PREPARE))?;
        let catalog = self.prepare(&mut session, &records).await?;
        let exported = self.export(&catalog, &records).await?;
        let mut sessions = Vec::new();
        for _ in 0..self.settings.workers.max(1) {
            sessions.push(import(&self.source, &exported.snapshot).await?);
        }
        let point = exported.slot.consistent_point;
        // The snapshot lives on in the sessions that have it.
        exported.release();
        // Where the stream will start, unless the feed has a position already.
        let first = catalog.slot.as_ref().and_then(|slot| slot.confirmed).unwrap_or(point);
        let fence = self.take_over(first, identity).await?;
        let reader = sessions.first_mut().ok_or_else(|| halt("there is no worker"))?;
        let before = PublicationSet::of_catalog(&catalog);
        self.note_published(&before, &records, &fence).await?;
        // Read again: what was made before the slot is in the snapshot, too.
        let mut catalog = self.read_catalog(&mut session).await?;
        drop(session);
        if records.is_empty() {
            leave_out_late(&mut catalog, &before);
        }
        let plans = self.plan(&catalog, reader, &fence, &records, point).await?;
        let board = Arc::clone(&self.board);
        let pass = Pass { store: self.store.clone(), fence, consistent_point: point.to_string(), board };
        tracing::info!(tables = plans.len(), consistent_point = %point, workers = sessions.len(), "copying tables");
        pass.run(plans, sessions.into_iter().map(PieceReader::new).collect(), &self.stop).await?;
        let records = self.store.read(&self.feed).await?;
        if is_done(&records) { skip_before(&records).map(Some) } else { Ok(None) }
    }

    /// Notes what was published just before the snapshot that tables are copied in: that is what later looks compare with.
    async fn note_published(
        &self,
        before: &PublicationSet,
        records: &[TableRecord],
        fence: &Fence,
    ) -> Result<(), Failure> {
        let now = if records.is_empty() {
            before.clone()
        } else {
            let noted = self.positions.published(&self.feed).await?;
            let Some(mut noted) = noted.as_deref().and_then(PublicationSet::from_json) else { return Ok(()) };
            // What is copied from now on may have come or changed since the first look.
            let left = records.iter().filter(|record| record.state.consistent_point().is_none());
            noted.take_from(before, &left.map(|record| table_name(&record.table)).collect());
            noted
        };
        self.positions.set_published(&self.feed, fence.epoch, &now.to_json()).await
    }

    async fn read_catalog(&self, session: &mut Session) -> Result<SourceCatalog, Failure> {
        let publications = [self.settings.publication.clone()];
        let wanted = Wanted { slot: &self.settings.slot, publications: &publications };
        let read = catalog::read(session, wanted, self.settings.question_limit).await;
        let mut catalog = read.map_err(|e| Failure::new(e.disposition(), PREPARE, e))?;
        catalog.published.tables.retain(|table| self.settings.may_be_copied(&table.name));
        Ok(catalog)
    }

    /// Makes the publication if it is missing, and refuses what cannot go well before anything is made or written.
    async fn prepare(
        &self,
        session: &mut Session,
        records: &[TableRecord],
    ) -> Result<SourceCatalog, Failure> {
        let (slot, publication) = (&self.settings.slot, &self.settings.publication);
        let mut catalog = self.read_catalog(session).await?;
        if catalog.publication(publication).is_none() {
            if catalog.slot.is_some() {
                return Err(halt(format!(
                    "slot {slot:?} exists and publication {publication:?} does not; a slot cannot decode with a \
                     publication that is younger: drop the slot (SELECT pg_drop_replication_slot('{slot}')), unless \
                     the name of the publication is wrong"
                )));
            }
            publication::make(session, &self.settings).await?;
            catalog = self.read_catalog(session).await?;
        }
        if catalog.slot.is_none() {
            self.refuse_lost_slot(records).await?;
        }
        self.create_tables(session, &catalog).await?;
        if records.is_empty() {
            let tables = published(&catalog, publication, &self.settings.tables);
            self.check(&tables).await?;
        }
        Ok(catalog)
    }

    /// A slot that was there and is gone took with it what the log said since.
    async fn refuse_lost_slot(&self, records: &[TableRecord]) -> Result<(), Failure> {
        let stored = self.positions.read(&self.feed).await?;
        if stored.is_none() && records.is_empty() {
            return Ok(());
        }
        let area = self.store.database().area();
        Err(halt(format!(
            "slot {:?} is gone, and with it the changes since; begin anew: empty the target tables, delete this feed's \
             rows from {} and {}, and start again",
            self.settings.slot,
            area.table("snapshots"),
            area.table("positions"),
        )))
    }

    /// Refuses tables that cannot be copied; all of them at once, so that one look mends them.
    async fn check(&self, tables: &BTreeMap<TableName, Published>) -> Result<(), Failure> {
        if let Some(missing) = self.settings.tables.iter().find(|name| !tables.contains_key(name)) {
            return Err(halt(format!(
                "table {missing} is named by --tables and not in publication {:?}; add it there: ALTER PUBLICATION {} \
                 ADD TABLE ONLY {}",
                self.settings.publication,
                crate::transport::sql::identifier(&self.settings.publication),
                missing.quoted(),
            )));
        }
        if tables.is_empty() {
            return Err(halt(format!("publication {:?} has no tables", self.settings.publication)));
        }
        let mut findings = Vec::new();
        for (name, table) in tables {
            match self.check_table(name, table).await {
                Ok(()) => {}
                Err(finding) if finding.disposition() == Disposition::Halt => findings.push(chain(&finding)),
                Err(error) => return Err(error),
            }
        }
        if findings.is_empty() { Ok(()) } else { Err(halt(findings.join("; "))) }
    }

    async fn check_table(&self, name: &TableName, table: &Published) -> Result<(), Failure> {
        if !table.readable {
            return Err(halt(format!("we may not read {name}: GRANT SELECT ON {} to us", name.quoted())));
        }
        let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
        let target = target_table(self.store.database(), &source_name(name), &columns).await?;
        let facts = self.store.facts(&target.schema.id).await?;
        if facts.holds_rows {
            return Err(not_empty(&target.schema.id));
        }
        if !facts.drop_foreign_keys.is_empty() {
            return Err(halt(format!(
                "{name} has foreign keys at the target, which cannot be checked while tables are copied; before the \
                 snapshot: {}; after it: {}",
                facts.drop_foreign_keys.join("; "),
                facts.add_foreign_keys.join("; "),
            )));
        }
        if !facts.triggers.is_empty() {
            tracing::warn!(table = %name, triggers = ?facts.triggers, "triggers at the target fire for each copied row");
        }
        Ok(())
    }

    /// The main slot's snapshot if the slot is to be made, else that of a temporary one.
    async fn export(&self, catalog: &SourceCatalog, records: &[TableRecord]) -> Result<Exported, Failure> {
        let patience = self.settings.slot_patience;
        if catalog.slot.is_none() {
            let made = slot::make(&self.source, &self.settings.slot, false, patience).await?;
            tracing::info!(slot = self.settings.slot, consistent_point = %made.slot.consistent_point, "made the slot");
            return Ok(made);
        }
        let left = records.iter().filter(|record| record.state.consistent_point().is_none()).count();
        tracing::info!(
            slot = self.settings.slot,
            left,
            "the slot exists; copying in the snapshot of a temporary one"
        );
        let id = std::process::id();
        let name: String = format!("cdc_snapshot_{id}_{}", self.settings.slot).chars().take(63).collect();
        slot::make(&self.source, &name, true, patience).await
    }

    /// Raises the epoch, which waits for what others have under way, and for what we ourselves have after an attempt
    /// whose answers were lost.
    async fn take_over(&self, first: Lsn, identity: &str) -> Result<Fence, Failure> {
        let first = Position::new(first.to_string());
        let stored = self.positions.take_over(&self.feed, identity, &first).await?;
        Ok(Fence { feed: self.feed.clone(), epoch: stored.epoch })
    }

    /// Notes the tables if that was not done yet, puts unfinished ones back to the beginning, and cuts them into pieces.
    async fn plan(
        &self,
        catalog: &SourceCatalog,
        reader: &mut Session,
        fence: &Fence,
        records: &[TableRecord],
        point: Lsn,
    ) -> Result<Plans, Failure> {
        // Once they are noted, the tables are those that are noted.
        let wanted: &[TableName] = if records.is_empty() { &self.settings.tables } else { &[] };
        let published = published(catalog, &self.settings.publication, wanted);
        let names: Vec<TableName> = match records {
            [] => published.keys().cloned().collect(),
            known => known.iter().map(|record| table_name(&record.table)).collect(),
        };
        let seen = look(reader, &names, self.settings.question_limit).await?;
        if records.is_empty() {
            // One that was made after the slot comes by the stream as a whole.
            let shown: Vec<SourceName> =
                names.iter().filter(|name| seen.contains_key(name)).map(source_name).collect();
            self.store.register(fence, &shown).await?;
        }
        // From the target, and not what was read before: meanwhile the epoch was another's.
        let records = self.store.read(&self.feed).await?;
        let mut plans = Plans::new();
        for record in &records {
            let name = table_name(&record.table);
            match &record.state {
                TableState::Copied { .. } | TableState::Gone { .. } => {
                    self.board.expect_done(&record.table, record.rows, record.bytes);
                    continue;
                }
                TableState::Pending => {}
                TableState::Copying => self.restart(fence, &record.table).await?,
            }
            let Some(seen) = seen.get(&name) else {
                tracing::warn!(table = %name, "the source dropped the table before it was copied");
                self.store.gone(fence, &record.table, &point.to_string()).await?;
                continue;
            };
            plans.extend(self.plan_table(&record.table, seen, published.get(&name)).await?);
        }
        // The largest first, so that no worker is left with it alone at the end.
        plans.sort_by_key(|plan| std::cmp::Reverse(plan.pieces.len()));
        Ok(plans)
    }

    async fn restart(&self, fence: &Fence, table: &SourceName) -> Result<(), Failure> {
        let target = find_target(self.store.database(), table).await?;
        tracing::info!(%table, "emptying a table whose copy was broken off");
        self.store.restart(fence, table, &target.id).await
    }

    /// None if the table is no longer what it was in the snapshot; a later attempt sees what it is then.
    async fn plan_table(
        &self,
        table: &SourceName,
        seen: &Seen,
        published: Option<&Published>,
    ) -> Result<Option<TablePlan<Piece>>, Failure> {
        let Some(published) = published.filter(|published| published.oid == seen.oid) else {
            if seen.still_there {
                return Err(halt(format!(
                    "table {table} is no longer in publication {:?}; add it again, or delete its row from {}",
                    self.settings.publication,
                    self.store.database().area().table("snapshots"),
                )));
            }
            return Ok(None);
        };
        let columns: Vec<&str> = published.columns.iter().map(String::as_str).collect();
        let target = target_table(self.store.database(), table, &columns).await?;
        let columns: Vec<String> =
            target.source_columns().iter().map(|at| published.columns[*at].clone()).collect();
        let mut pieces = Vec::new();
        let workers = u64::try_from(self.settings.workers).unwrap_or(u64::MAX);
        for leaf in &seen.leaves {
            let filters = published.filters.clone();
            let leaf = Arc::new(Leaf { columns: columns.clone(), filters, ..leaf.clone() });
            let piece = |(pages, weight)| (Piece { leaf: Arc::clone(&leaf), pages }, weight);
            pieces.extend(leaf.pieces(workers).into_iter().map(piece));
        }
        let weight = pieces.iter().map(|(_, weight)| weight).sum();
        self.board.expect(table, seen.estimated_rows, weight);
        Ok(Some(TablePlan { source: table.clone(), target, pieces }))
    }
}
