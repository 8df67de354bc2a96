//! Asks the questions and puts the answers together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::fields::Fields;
use super::tables::Membership;
use super::{
    CatalogError, Column, Probe, Publication, Role, Sequence, Server, Slot, Table, TableName, TypeFacts,
    WalStatus, probe, queries,
};
use crate::pgoutput::{RelationOid, TypeOid};
use crate::transport::{Config, Row, Session, TransportError};

/// Bytes that one answer about the catalogue may have: some 200 for each of a million columns.
const ANSWER_BYTES: usize = 256 << 20;

/// Which tables to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableScope {
    /// Those in these publications.
    Published(Vec<String>),
    /// These, as far as they exist.
    Named(Vec<TableName>),
    /// All of the database but the system's own and temporary ones.
    All,
}

/// Tables and the types of their columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableCatalog {
    /// By schema and name.
    pub tables: Vec<Table>,
    /// Types of columns, and those that these are made of.
    pub types: BTreeMap<TypeOid, TypeFacts>,
}

/// What a stream depends on.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The slot.
    pub slot: &'a str,
    /// The publications.
    pub publications: &'a [String],
}

/// Everything about a source at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceCatalog {
    /// The server.
    pub server: Server,
    /// Who we are there.
    pub role: Role,
    /// The slot that was asked for, if it exists.
    pub slot: Option<Slot>,
    /// Those of the publications asked for that exist.
    pub publications: Vec<Publication>,
    /// The tables in them.
    pub published: TableCatalog,
    /// All sequences of the database.
    pub sequences: Vec<Sequence>,
    /// Tables that a publication could have, if one of those asked for is missing or empty.
    pub candidates: Vec<TableName>,
    /// What came of decoding what the slot holds. Only tried where doubts remain otherwise.
    pub probe: Option<Probe>,
}

impl SourceCatalog {
    /// Whether a publication is missing, or none has a table.
    fn lacks_tables(&self, publications: &[String]) -> bool {
        self.published.tables.is_empty() || publications.iter().any(|name| self.publication(name).is_none())
    }

    /// Whether only decoding tells if the publications are older than what the slot holds.
    fn is_in_doubt(&self, publications: &[String]) -> bool {
        let Some(slot) = &self.slot else { return false };
        let decodes = slot.plugin.as_deref() == Some("pgoutput")
            && slot.database.as_deref() == Some(self.server.database.as_str())
            && slot.wal_status != WalStatus::Lost
            && slot.active_pid.is_none();
        let newer = |publication: &Publication| publication.older_than_slot == Some(false);
        decodes
            && self.role.replication
            && self.publications.len() == publications.len()
            && self.publications.iter().any(newer)
    }

    /// A publication by name.
    #[must_use]
    pub fn publication(&self, name: &str) -> Option<&Publication> {
        self.publications.iter().find(|publication| publication.name == name)
    }
}

/// Opens a session that takes answers as long as catalogues are. Not for replication, so that a role which may not
/// replicate gets far enough to be told.
///
/// # Errors
/// As [`Session::connect_for_queries`].
pub async fn connect(config: &Config) -> Result<Session, TransportError> {
    let mut config = config.clone();
    config.limits.answer_bytes = config.limits.answer_bytes.max(ANSWER_BYTES);
    Session::connect_for_queries(&config).await
}

/// Reads everything, in one transaction of the source. Each question may take as long as `limit`.
///
/// # Errors
/// If a question fails or is answered with nonsense. The session is of no use then.
pub async fn read(
    session: &mut Session,
    wanted: Wanted<'_>,
    limit: Duration,
) -> Result<SourceCatalog, CatalogError> {
    let mut asking = Asking::new(session, limit);
    asking.begin().await?;
    let server = asking.server().await?;
    let version = server.version;
    let role = asking.rows("the role", queries::ROLE).await?;
    let role = one("the role", &role)?;
    let slot = asking.slot(version, wanted.slot).await?;
    let publications = asking.publications(version, wanted).await?;
    let scope = TableScope::Published(wanted.publications.to_vec());
    let mut published = asking.tables(&scope).await?;
    asking.memberships(version, wanted, &mut published.tables).await?;
    let sequences = asking.rows("the sequences", &queries::sequences()).await?;
    let mut catalog = SourceCatalog {
        server,
        role: Role::parse(role)?,
        slot,
        publications,
        published,
        sequences: sequences.iter().map(Sequence::parse).collect::<Result<_, _>>()?,
        candidates: Vec::new(),
        probe: None,
    };
    if catalog.lacks_tables(wanted.publications) {
        for row in &asking.rows("the tables", &queries::candidates()).await? {
            let mut fields = Fields::new("the tables", row);
            catalog.candidates.push(TableName { schema: fields.string()?, name: fields.string()? });
        }
    }
    asking.end().await?;
    if catalog.is_in_doubt(wanted.publications) {
        catalog.probe = Some(probe(asking.session, wanted, limit).await?);
    }
    Ok(catalog)
}

/// Reads tables and their types, in one transaction of the source. They come without their publications.
///
/// # Errors
/// As [`read`].
pub async fn read_tables(
    session: &mut Session,
    scope: &TableScope,
    limit: Duration,
) -> Result<TableCatalog, CatalogError> {
    let mut asking = Asking::new(session, limit);
    asking.begin().await?;
    let tables = asking.tables(scope).await?;
    asking.end().await?;
    Ok(tables)
}

/// A session within the transaction of one look.
pub(crate) struct Asking<'a> {
    session: &'a mut Session,
    limit: Duration,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(session: &'a mut Session, limit: Duration) -> Self {
        Self { session, limit }
    }

    pub(crate) async fn rows(&mut self, what: &'static str, text: &str) -> Result<Vec<Row>, CatalogError> {
        let answer = self.session.query(text, self.limit).await;
        answer.map_err(|source| CatalogError::Read { what, source })
    }

    pub(crate) async fn begin(&mut self) -> Result<(), CatalogError> {
        self.rows("a snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map(drop)
    }

    pub(crate) async fn end(&mut self) -> Result<(), CatalogError> {
        self.rows("a snapshot", "COMMIT").await.map(drop)
    }

    pub(crate) async fn server(&mut self) -> Result<Server, CatalogError> {
        let rows = self.rows("the server's settings", &queries::server()).await?;
        Server::parse(one("the server's settings", &rows)?)
    }

    pub(crate) async fn slot(&mut self, version: u32, name: &str) -> Result<Option<Slot>, CatalogError> {
        let rows = self.rows("the slot", &queries::slot(version, name)).await?;
        rows.first().map(Slot::parse).transpose()
    }

    pub(crate) async fn publications(
        &mut self,
        version: u32,
        wanted: Wanted<'_>,
    ) -> Result<Vec<Publication>, CatalogError> {
        let text = queries::publications(version, wanted.slot, wanted.publications);
        let rows = self.rows("the publications", &text).await?;
        rows.iter().map(Publication::parse).collect()
    }

    /// What is published, by number and name of the table.
    pub(crate) async fn named_members(
        &mut self,
        version: u32,
        wanted: Wanted<'_>,
    ) -> Result<Vec<(u32, TableName, Membership)>, CatalogError> {
        const WHAT: &str = "the published tables";
        let members = self.members(version, wanted).await?;
        let mut names = HashMap::new();
        for row in &self.rows(WHAT, &queries::names(wanted.publications)).await? {
            let mut fields = Fields::new(WHAT, row);
            let oid = fields.parsed::<u32>()?;
            names.insert(oid, TableName { schema: fields.string()?, name: fields.string()? });
        }
        let named = |(oid, membership): (RelationOid, Membership)| {
            names.get(&oid.0).map(|name| (oid.0, name.clone(), membership))
        };
        Ok(members.into_iter().filter_map(named).collect())
    }

    /// Which of these numbers are those of tables, whether published or not.
    pub(crate) async fn still_there(&mut self, tables: &[u32]) -> Result<BTreeSet<u32>, CatalogError> {
        const WHAT: &str = "tables that are not published any more";
        let rows = self.rows(WHAT, &queries::still_there(tables)).await?;
        rows.iter().map(|row| Fields::new(WHAT, row).parsed()).collect()
    }

    async fn tables(&mut self, scope: &TableScope) -> Result<TableCatalog, CatalogError> {
        let tables = self.rows("the tables", &queries::tables(scope)).await?;
        let mut tables: Vec<Table> = tables.iter().map(Table::parse).collect::<Result<_, _>>()?;
        let at = positions(&tables);
        for row in &self.rows("the columns", &queries::columns(scope)).await? {
            let (table, column) = Column::parse(row)?;
            // Made between the two questions: what a snapshot does not hide is read at the next look.
            if let Some(table) = at.get(&table) {
                tables[*table].columns.push(column);
            }
        }
        tables.iter_mut().for_each(name_key_columns);
        for row in &self.rows("the partitions", &queries::partitions_that_differ(scope)).await? {
            let mut fields = Fields::new("the partitions", row);
            let table = RelationOid(fields.parsed()?);
            let partition = TableName { schema: fields.string()?, name: fields.string()? };
            if let Some(table) = at.get(&table) {
                tables[*table].partitions_differ.push(partition);
            }
        }
        let rows = self.rows("the types", &queries::types(scope)).await?;
        let mut types = BTreeMap::new();
        for facts in rows.iter().map(TypeFacts::parse) {
            let facts = facts?;
            types.insert(facts.oid, facts);
        }
        for row in &self.rows("the parts of types", &queries::type_parts(scope)).await? {
            let oid = TypeOid(Fields::new("the parts of types", row).parsed()?);
            types.get_mut(&oid).map_or(Ok(()), |facts| facts.add_part(row))?;
        }
        Ok(TableCatalog { tables, types })
    }

    /// Says of tables which publications they are in.
    async fn memberships(
        &mut self,
        version: u32,
        wanted: Wanted<'_>,
        tables: &mut [Table],
    ) -> Result<(), CatalogError> {
        let at = positions(tables);
        for (oid, membership) in self.members(version, wanted).await? {
            if let Some(table) = at.get(&oid) {
                tables[*table].publications.push(membership);
            }
        }
        Ok(())
    }

    /// What is published, with its lists.
    pub(crate) async fn members(
        &mut self,
        version: u32,
        wanted: Wanted<'_>,
    ) -> Result<Vec<(RelationOid, Membership)>, CatalogError> {
        const WHAT: &str = "the column lists";
        let publications = wanted.publications;
        let text = queries::memberships(version, wanted.slot, publications);
        let rows = self.rows("the published tables", &text).await?;
        let mut lists: HashMap<(RelationOid, String), Vec<String>> = HashMap::new();
        if let Some(text) = queries::listed_columns(version, publications) {
            for row in &self.rows(WHAT, &text).await? {
                let mut fields = Fields::new(WHAT, row);
                let key = (RelationOid(fields.parsed()?), fields.string()?);
                lists.entry(key).or_default().push(fields.string()?);
            }
        }
        rows.iter()
            .map(|row| {
                let (oid, listed, mut membership) = Membership::parse(row)?;
                if listed {
                    let key = (oid, membership.publication.clone());
                    membership.columns = Some(lists.remove(&key).unwrap_or_default());
                }
                Ok((oid, membership))
            })
            .collect()
    }
}

fn positions(tables: &[Table]) -> HashMap<RelationOid, usize> {
    tables.iter().enumerate().map(|(at, table)| (table.oid, at)).collect()
}

/// Fills in the primary key's columns from what the columns say.
fn name_key_columns(table: &mut Table) {
    let Some(key) = &mut table.primary_key else { return };
    let mut columns: Vec<(u16, &str)> = table
        .columns
        .iter()
        .filter_map(|column| column.key_position.map(|position| (position, column.name.as_str())))
        .collect();
    columns.sort_unstable();
    key.columns = columns.into_iter().map(|(_, name)| name.to_owned()).collect();
}

fn one<'a>(what: &'static str, rows: &'a [Row]) -> Result<&'a Row, CatalogError> {
    match rows {
        [row] => Ok(row),
        _ => Err(CatalogError::Malformed { what, expected: "one row" }),
    }
}
