//! Looks at the slot and the publications while their changes are streamed, over a session of its own.
//!
//! Some things end a stream with an error sooner or later. This is about those that do not: a slot that is about to be lost,
//! and tables whose rows are left out in silence, because they were taken out of a publication for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::{Asking, CatalogError, Membership, Publication, TableName, WalStatus, Wanted, connect};
use crate::transport::{Config, Session};

/// Figures of the slot, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotHealth {
    /// Whether the log that it needs is there.
    pub wal_status: WalStatus,
    /// Bytes of log that may be written until it is in danger; none without a limit.
    pub safe_wal_bytes: Option<i64>,
    /// Bytes of log that are kept for it.
    pub retained_bytes: Option<u64>,
    /// Whether anybody reads from it.
    pub active: bool,
}

/// A table in a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Published {
    /// The table's number: dropped and made anew, it has another.
    table: u32,
    /// Number of what puts it into the publication.
    membership: u32,
    columns: Option<Vec<String>>,
    row_filter: Option<String>,
}

/// What is published at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicationSet {
    publications: BTreeMap<String, Publication>,
    /// By publication and table.
    tables: BTreeMap<(String, TableName), Published>,
}

/// How what is published changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicationChange {
    /// A publication is gone: the stream ends at the next change.
    Gone,
    /// A publication was made anew, or there is one that was not there.
    MadeAnew,
    /// Other operations, or partitions in another way.
    OptionsChanged,
    /// A table came: what it held before is not sent.
    TableAdded(TableName),
    /// A table went: its rows are left out from now on.
    TableRemoved(TableName),
    /// A table went and came back: rows written in between are left out.
    TableAddedAgain(TableName),
    /// Other columns are sent.
    ColumnListChanged(TableName),
    /// Other rows are sent.
    RowFilterChanged(TableName),
}

/// An alarm: the target may not be what the source is any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The publication.
    pub publication: String,
    /// What happened to it.
    pub change: PublicationChange,
}

impl Alarm {
    /// Whether rows may be missing from the stream for good, so that a table has to be copied anew.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        match &self.change {
            PublicationChange::Gone
            | PublicationChange::MadeAnew
            | PublicationChange::OptionsChanged
            | PublicationChange::TableAdded(_)
            | PublicationChange::TableRemoved(_)
            | PublicationChange::TableAddedAgain(_)
            | PublicationChange::RowFilterChanged(_) => true,
            // The stream describes the table anew, and a column that has no place stops it.
            PublicationChange::ColumnListChanged(_) => false,
        }
    }
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.publication;
        match &self.change {
            PublicationChange::Gone => {
                write!(f, "publication {name:?} is gone: changes are not sent any more; take a new snapshot")
            }
            PublicationChange::MadeAnew => {
                write!(
                    f,
                    "publication {name:?} was made anew: changes written in between are missing; take a new snapshot"
                )
            }
            PublicationChange::OptionsChanged => {
                write!(f, "publication {name:?} publishes other operations than before; compare the tables")
            }
            PublicationChange::TableAdded(table) => {
                write!(
                    f,
                    "table {table} came into publication {name:?}: what it held before is not sent; copy it"
                )
            }
            PublicationChange::TableRemoved(table) => {
                write!(
                    f,
                    "table {table} was taken out of publication {name:?}: its changes are not sent any more"
                )
            }
            PublicationChange::TableAddedAgain(table) => write!(
                f,
                "table {table} was taken out of publication {name:?} and put in again: changes written in between are \
                 missing; copy it anew"
            ),
            PublicationChange::ColumnListChanged(table) => {
                write!(f, "table {table} is published by publication {name:?} with other columns than before")
            }
            PublicationChange::RowFilterChanged(table) => write!(
                f,
                "table {table} is published by publication {name:?} with another row filter than before; copy it anew"
            ),
        }
    }
}

impl PublicationSet {
    fn new(publications: Vec<Publication>, members: Vec<(u32, TableName, Membership)>) -> Self {
        let publications = publications.into_iter().map(|found| (found.name.clone(), found)).collect();
        let tables = members.into_iter().map(|(table, name, membership)| {
            let Membership { publication, oid, columns, row_filter, older_than_slot: _ } = membership;
            ((publication, name), Published { table, membership: oid, columns, row_filter })
        });
        Self { publications, tables: tables.collect() }
    }

    /// A text that is the same as long as nothing changes that is an alarm; worth keeping beside a position, so that a
    /// change is noticed that happened while nobody looked.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        for (name, found) in &self.publications {
            let Publication { oid, inserts, updates, deletes, truncates, via_root, .. } = found;
            text.push_str(&format!(
                "{name:?} {oid} {inserts} {updates} {deletes} {truncates} {via_root} {:?}\n",
                found.generated
            ));
        }
        for ((publication, name), found) in &self.tables {
            let Published { table, membership, columns, row_filter } = found;
            text.push_str(&format!(
                "{publication:?} {name:?} {table} {membership} {columns:?} {row_filter:?}\n"
            ));
        }
        text
    }

    /// What became of it.
    #[must_use]
    pub fn changes_to(&self, now: &Self) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        let mut alarm = |publication: &str, change: PublicationChange| {
            alarms.push(Alarm { publication: publication.to_owned(), change });
        };
        let mut same = Vec::new();
        for (name, was) in &self.publications {
            match now.publications.get(name) {
                None => alarm(name, PublicationChange::Gone),
                Some(is) if is.oid != was.oid => alarm(name, PublicationChange::MadeAnew),
                Some(is) => {
                    if options(is) != options(was) {
                        alarm(name, PublicationChange::OptionsChanged);
                    }
                    same.push((name, is.all_tables));
                }
            }
        }
        for name in now.publications.keys().filter(|name| !self.publications.contains_key(*name)) {
            alarm(name, PublicationChange::MadeAnew);
        }
        for (publication, all_tables) in same {
            let of = |set: &Self| -> BTreeMap<TableName, Published> {
                let own = set.tables.iter().filter(|((name, _), _)| name == publication);
                own.map(|((_, table), found)| (table.clone(), found.clone())).collect()
            };
            let (before, after) = (of(self), of(now));
            for (table, was) in &before {
                match after.get(table) {
                    None => alarm(publication, PublicationChange::TableRemoved(table.clone())),
                    Some(is) => table_changes(table, was, is, all_tables)
                        .into_iter()
                        .for_each(|change| alarm(publication, change)),
                }
            }
            // A table that is made under a publication of all tables is sent from its first row on.
            for table in after.keys().filter(|table| !all_tables && !before.contains_key(*table)) {
                alarm(publication, PublicationChange::TableAdded(table.clone()));
            }
        }
        alarms
    }
}

type Options = (bool, bool, bool, bool, bool, crate::catalog::GeneratedColumns);

fn options(of: &Publication) -> Options {
    (of.inserts, of.updates, of.deletes, of.truncates, of.via_root, of.generated)
}

fn table_changes(
    table: &TableName,
    was: &Published,
    is: &Published,
    all_tables: bool,
) -> Vec<PublicationChange> {
    let mut changes = Vec::new();
    let again = was.membership != is.membership || (was.table != is.table && !all_tables);
    if again {
        changes.push(PublicationChange::TableAddedAgain(table.clone()));
    }
    if was.columns != is.columns {
        changes.push(PublicationChange::ColumnListChanged(table.clone()));
    }
    if was.row_filter != is.row_filter {
        changes.push(PublicationChange::RowFilterChanged(table.clone()));
    }
    changes
}

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The slot; none if it is gone.
    pub slot: Option<SlotHealth>,
    /// What changed since the look before; empty at the first.
    pub alarms: Vec<Alarm>,
}

/// Looks again and again. The caller decides when; after an error the next look connects anew, and compares with the last
/// one that succeeded.
pub struct Watch {
    config: Config,
    slot: String,
    publications: Vec<String>,
    limit: Duration,
    session: Option<Session>,
    last: Option<PublicationSet>,
}

impl Watch {
    /// Watches a slot and publications. Each question may take as long as `limit`.
    #[must_use]
    pub fn new(config: Config, slot: &str, publications: Vec<String>, limit: Duration) -> Self {
        Self { config, slot: slot.to_owned(), publications, limit, session: None, last: None }
    }

    /// What was published at the last look that succeeded.
    #[must_use]
    pub fn published(&self) -> Option<&PublicationSet> {
        self.last.as_ref()
    }

    /// Looks once. Not to be cancelled: a look that is cut off costs the session, not what is known.
    ///
    /// # Errors
    /// If the connection or a question fails.
    pub async fn look(&mut self) -> Result<Look, CatalogError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let connected = connect(&self.config).await;
                connected.map_err(|source| CatalogError::Read { what: "the slot", source })?
            }
        };
        let wanted = Wanted { slot: &self.slot, publications: &self.publications };
        let (slot, now) = look(&mut session, wanted, self.limit).await?;
        self.session = Some(session);
        let alarms = self.last.as_ref().map_or_else(Vec::new, |last| last.changes_to(&now));
        self.last = Some(now);
        Ok(Look { slot, alarms })
    }
}

async fn look(
    session: &mut Session,
    wanted: Wanted<'_>,
    limit: Duration,
) -> Result<(Option<SlotHealth>, PublicationSet), CatalogError> {
    let mut asking = Asking::new(session, limit);
    asking.begin().await?;
    let version = asking.server().await?.version;
    let slot = asking.slot(version, wanted.slot).await?;
    let publications = asking.publications(version, wanted).await?;
    let members = asking.named_members(version, wanted).await?;
    asking.end().await?;
    let slot = slot.map(|slot| SlotHealth {
        wal_status: slot.wal_status,
        safe_wal_bytes: slot.safe_wal_bytes,
        retained_bytes: slot.retained_bytes,
        active: slot.active_pid.is_some(),
    });
    Ok((slot, PublicationSet::new(publications, members)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::GeneratedColumns;

    fn publication(oid: u32, all_tables: bool) -> Publication {
        Publication {
            oid,
            name: "p".into(),
            all_tables,
            inserts: true,
            updates: true,
            deletes: true,
            truncates: true,
            via_root: false,
            generated: GeneratedColumns::None,
            older_than_slot: None,
            schemas: 0,
        }
    }

    fn name(table: &str) -> TableName {
        TableName { schema: "public".into(), name: table.into() }
    }

    fn set(publication: Publication, tables: &[(&str, u32, u32)]) -> PublicationSet {
        let member = |(table, oid, membership): &(&str, u32, u32)| {
            let membership = Membership {
                publication: "p".into(),
                oid: *membership,
                columns: None,
                row_filter: None,
                older_than_slot: None,
            };
            (*oid, name(table), membership)
        };
        PublicationSet::new(vec![publication], tables.iter().map(member).collect())
    }

    fn changes(was: &PublicationSet, is: &PublicationSet) -> Vec<PublicationChange> {
        was.changes_to(is).into_iter().map(|alarm| alarm.change).collect()
    }

    #[test]
    fn a_table_that_left_and_came_back_between_two_looks_is_noticed() {
        let was = set(publication(1, false), &[("a", 10, 100), ("b", 11, 101)]);
        let is = set(publication(1, false), &[("a", 10, 100), ("b", 11, 102)]);
        assert_eq!(changes(&was, &is), [PublicationChange::TableAddedAgain(name("b"))]);
        assert_ne!(was.fingerprint(), is.fingerprint());
        assert_eq!(changes(&was, &was.clone()), []);
    }

    #[test]
    fn tables_that_come_and_go_are_noticed_unless_all_are_published() {
        let (was, is) = ([("a", 10, 100)], [("b", 11, 101)]);
        assert_eq!(
            changes(&set(publication(1, false), &was), &set(publication(1, false), &is)),
            [PublicationChange::TableRemoved(name("a")), PublicationChange::TableAdded(name("b"))]
        );
        assert_eq!(
            changes(&set(publication(1, true), &was), &set(publication(1, true), &is)),
            [PublicationChange::TableRemoved(name("a"))]
        );
    }

    #[test]
    fn a_publication_made_anew_is_one_alarm() {
        let tables = [("a", 10, 100)];
        let was = set(publication(1, false), &tables);
        let is = set(publication(2, false), &[("a", 10, 107)]);
        assert_eq!(changes(&was, &is), [PublicationChange::MadeAnew]);
        assert_eq!(changes(&was, &PublicationSet::default()), [PublicationChange::Gone]);
        let fewer = Publication { deletes: false, ..publication(1, false) };
        assert_eq!(changes(&was, &set(fewer, &tables)), [PublicationChange::OptionsChanged]);
    }
}
