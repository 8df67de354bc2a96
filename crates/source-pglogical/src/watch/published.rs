//! What is published at a moment, and how that changes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{GeneratedColumns, Membership, Publication, SourceCatalog, Table, TableName};

/// A publication itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// Its number: made anew, it has another.
    pub(super) oid: u32,
    pub(super) all_tables: bool,
    pub(super) inserts: bool,
    pub(super) updates: bool,
    pub(super) deletes: bool,
    pub(super) truncates: bool,
    pub(super) via_root: bool,
    pub(super) generated: GeneratedColumns,
}

/// A table in a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    /// The table's number: dropped and made anew, it has another.
    pub(super) table: u32,
    /// Number of what puts it into the publication.
    pub(super) membership: u32,
    pub(super) columns: Option<Vec<String>>,
    pub(super) row_filter: Option<String>,
}

/// What is published at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicationSet {
    pub(super) publications: BTreeMap<String, Options>,
    /// By publication and table.
    pub(super) tables: BTreeMap<(String, TableName), Published>,
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
    /// A table went, and is still there: its rows are left out from now on.
    TableRemoved(TableName),
    /// A table was dropped.
    TableDropped(TableName),
    /// A table has another name now, the second.
    TableRenamed(TableName, TableName),
    /// A table went and came back: rows written in between are left out.
    TableAddedAgain(TableName),
    /// Other columns are sent.
    ColumnListChanged(TableName),
    /// Other rows are sent.
    RowFilterChanged(TableName),
    /// It may have been made or altered after the slot was made. Told where there is nothing to compare with.
    MaybeNewerThanSlot,
    /// A table may have come after the slot was made. Told where there is nothing to compare with.
    TableMaybeNewerThanSlot(TableName),
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
    /// Whether rows may be missing from the stream for good, so that a person has to decide.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        match &self.change {
            PublicationChange::Gone
            | PublicationChange::MadeAnew
            | PublicationChange::OptionsChanged
            | PublicationChange::TableRemoved(_)
            | PublicationChange::TableAddedAgain(_)
            | PublicationChange::RowFilterChanged(_)
            | PublicationChange::MaybeNewerThanSlot
            | PublicationChange::TableMaybeNewerThanSlot(_) => true,
            // What is there before it comes is for a person to copy; from then on the stream has everything.
            PublicationChange::TableAdded(_) => false,
            // There are no rows that could be missing.
            PublicationChange::TableDropped(_) => false,
            // The stream describes the table anew, and what has no place in the target stops it.
            PublicationChange::TableRenamed(..) | PublicationChange::ColumnListChanged(_) => false,
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
                write!(
                    f,
                    "publication {name:?} publishes other operations, or partitions in another way, than before: changes \
                     may be missing; compare the tables, and copy those that differ anew"
                )
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
                    "table {table} was taken out of publication {name:?}: its changes are not sent any more; put it in \
                     again and copy it anew, or leave it out for good"
                )
            }
            PublicationChange::TableDropped(table) => {
                write!(
                    f,
                    "table {table} of publication {name:?} was dropped; the target keeps what it has of it"
                )
            }
            PublicationChange::TableRenamed(table, to) => {
                write!(f, "table {table} of publication {name:?} is called {to} now")
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
            PublicationChange::MaybeNewerThanSlot => write!(
                f,
                "publication {name:?} may have been made or altered after the slot was: changes written in between may \
                 be missing; compare the tables, and copy those that differ anew"
            ),
            PublicationChange::TableMaybeNewerThanSlot(table) => write!(
                f,
                "table {table} may have come into publication {name:?} after the slot was made: changes written in \
                 between are missing; copy it anew"
            ),
        }
    }
}

impl PublicationSet {
    pub(super) fn new(publications: Vec<Publication>, members: Vec<(u32, TableName, Membership)>) -> Self {
        let publications = publications.into_iter().map(|found| (found.name.clone(), options(&found)));
        let tables = members.into_iter().map(|(table, name, membership)| {
            let Membership { publication, oid, columns, row_filter, older_than_slot: _ } = membership;
            ((publication, name), Published { table, membership: oid, columns, row_filter })
        });
        Self { publications: publications.collect(), tables: tables.collect() }
    }

    /// What a catalogue says.
    #[must_use]
    pub fn of_catalog(catalog: &SourceCatalog) -> Self {
        let members = catalog.published.tables.iter().flat_map(|table| {
            let named = |of: &Membership| (table.oid.0, table.name.clone(), of.clone());
            table.publications.iter().map(named)
        });
        Self::new(catalog.publications.clone(), members.collect())
    }

    /// How these tables are published, if at all, is taken from another look.
    pub(crate) fn take_from(&mut self, other: &Self, tables: &BTreeSet<TableName>) {
        self.tables.retain(|(_, table), _| !tables.contains(table));
        let theirs = other.tables.iter().filter(|((_, table), _)| tables.contains(table));
        self.tables.extend(theirs.map(|(key, found)| (key.clone(), found.clone())));
    }

    /// Whether a table is published now by what published it then. What is published as a whole always was.
    pub(crate) fn has_as_in(&self, table: &Table) -> bool {
        let known = |of: &Membership| {
            let whole = self.publications.get(&of.publication).is_some_and(|found| found.all_tables);
            let same = |found: &Published| found.membership == of.oid;
            whole || self.of(&of.publication).values().any(|found| same(found))
        };
        table.publications.iter().all(known)
    }

    /// Whether each of these publications is there.
    #[must_use]
    pub fn has_all(&self, publications: &[String]) -> bool {
        publications.iter().all(|name| self.publications.contains_key(name))
    }

    /// Numbers of the tables that are not published any more, at least not by that name.
    pub(super) fn left_in(&self, now: &Self) -> Vec<u32> {
        let left = self.tables.iter().filter(|(key, _)| !now.tables.contains_key(*key));
        left.map(|(_, found)| found.table).collect()
    }

    /// What became of it. `there` are the numbers of those tables that are not published any more and exist.
    #[must_use]
    pub fn changes_to(&self, now: &Self, there: &BTreeSet<u32>) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        for (name, was) in &self.publications {
            let alarm = |change| Alarm { publication: name.clone(), change };
            match now.publications.get(name) {
                None => alarms.push(alarm(PublicationChange::Gone)),
                Some(is) if is.oid != was.oid => alarms.push(alarm(PublicationChange::MadeAnew)),
                Some(is) => {
                    if is != was {
                        alarms.push(alarm(PublicationChange::OptionsChanged));
                    }
                    let (before, after) = (self.of(name), now.of(name));
                    let changes = members_changes(&before, &after, is.all_tables, there);
                    alarms.extend(changes.into_iter().map(alarm));
                }
            }
        }
        for name in now.publications.keys().filter(|name| !self.publications.contains_key(*name)) {
            alarms.push(Alarm { publication: name.clone(), change: PublicationChange::MadeAnew });
        }
        alarms
    }

    /// What may have come after the slot was made. Numbers of transactions tell which did not: those that had ended when the
    /// slot was made. Of those that were under way nothing is known.
    pub(super) fn in_doubt(
        publications: &[Publication],
        members: &[(u32, TableName, Membership)],
    ) -> Vec<Alarm> {
        let doubtful = |found: &&Publication| found.older_than_slot == Some(false);
        let whole: BTreeSet<&str> =
            publications.iter().filter(doubtful).map(|found| found.name.as_str()).collect();
        let mut alarms: Vec<Alarm> = whole
            .iter()
            .map(|name| Alarm {
                publication: (*name).to_owned(),
                change: PublicationChange::MaybeNewerThanSlot,
            })
            .collect();
        for (_, table, of) in members {
            if of.older_than_slot == Some(false) && !whole.contains(of.publication.as_str()) {
                let change = PublicationChange::TableMaybeNewerThanSlot(table.clone());
                alarms.push(Alarm { publication: of.publication.clone(), change });
            }
        }
        alarms
    }

    fn of(&self, publication: &str) -> Members<'_> {
        let own = self.tables.iter().filter(|((name, _), _)| name == publication);
        own.map(|((_, table), found)| (table, found)).collect()
    }
}

type Members<'a> = BTreeMap<&'a TableName, &'a Published>;

fn options(of: &Publication) -> Options {
    let &Publication { oid, all_tables, inserts, updates, deletes, truncates, via_root, generated, .. } = of;
    Options { oid, all_tables, inserts, updates, deletes, truncates, via_root, generated }
}

fn members_changes(
    before: &Members<'_>,
    after: &Members<'_>,
    all_tables: bool,
    there: &BTreeSet<u32>,
) -> Vec<PublicationChange> {
    let mut changes = Vec::new();
    let names: BTreeMap<(u32, u32), &TableName> =
        after.iter().map(|(name, found)| ((found.table, found.membership), *name)).collect();
    let (mut left, mut came) = (BTreeSet::new(), BTreeSet::new());
    for (&table, was) in before {
        let renamed = names.get(&(was.table, was.membership)).copied().filter(|name| *name != table);
        match (renamed, after.get(table)) {
            // Under the old name there may be another table now, which came like any other.
            (Some(to), _) => {
                left.insert(table);
                came.insert(to);
                changes.push(PublicationChange::TableRenamed(table.clone(), to.clone()));
                let is = after.get(to).map(|is| table_changes(to, was, is, all_tables));
                changes.extend(is.into_iter().flatten());
            }
            (None, Some(is)) => changes.extend(table_changes(table, was, is, all_tables)),
            (None, None) if there.contains(&was.table) => {
                changes.push(PublicationChange::TableRemoved(table.clone()));
            }
            (None, None) => changes.push(PublicationChange::TableDropped(table.clone())),
        }
    }
    // A table that is made under a publication of all tables is sent from its first row on.
    let known = |table| came.contains(table) || (before.contains_key(table) && !left.contains(table));
    for &table in after.keys().filter(|table| !all_tables && !known(**table)) {
        changes.push(PublicationChange::TableAdded(table.clone()));
    }
    changes
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

#[cfg(test)]
mod tests {
    use super::*;

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

    /// With every table that left still there.
    fn changes(was: &PublicationSet, is: &PublicationSet) -> Vec<PublicationChange> {
        let there = was.left_in(is).into_iter().collect();
        was.changes_to(is, &there).into_iter().map(|alarm| alarm.change).collect()
    }

    #[test]
    fn a_table_that_left_and_came_back_between_two_looks_is_noticed() {
        let was = set(publication(1, false), &[("a", 10, 100), ("b", 11, 101)]);
        let is = set(publication(1, false), &[("a", 10, 100), ("b", 11, 102)]);
        assert_eq!(changes(&was, &is), [PublicationChange::TableAddedAgain(name("b"))]);
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
    fn a_table_that_is_gone_or_renamed_lacks_no_rows() {
        let was = set(publication(1, false), &[("a", 10, 100), ("b", 11, 101)]);
        let is = set(publication(1, false), &[("a", 12, 102), ("c", 10, 100)]);
        let found = was.changes_to(&is, &BTreeSet::new());
        let expected = [
            PublicationChange::TableRenamed(name("a"), name("c")),
            PublicationChange::TableDropped(name("b")),
            PublicationChange::TableAdded(name("a")),
        ];
        assert!(found.iter().all(|alarm| !alarm.is_gap()), "{found:?}");
        assert_eq!(found.into_iter().map(|alarm| alarm.change).collect::<Vec<_>>(), expected);
        assert!(PublicationChange::TableRemoved(name("b")) == changes(&was, &is)[1]);
    }

    #[test]
    fn tables_are_taken_from_another_look() {
        let mut was = set(publication(1, false), &[("a", 10, 100), ("b", 11, 101), ("c", 12, 102)]);
        let is = set(publication(1, false), &[("a", 20, 200), ("b", 21, 201), ("d", 23, 203)]);
        was.take_from(&is, &["b", "c"].map(name).into());
        assert_eq!(was, set(publication(1, false), &[("a", 10, 100), ("b", 21, 201)]));
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
