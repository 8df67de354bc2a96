//! How the source defines a table, for statements that people run on the target.

use std::time::Duration;

use sink_core::flow::Definition;

use crate::pgoutput::ReplicaIdentity;
use crate::relations::Relation;
use crate::transport::{Config, Session, TransportError, identifier, literal};

/// Longest wait for an answer; nobody is kept waiting for advice.
const LIMIT: Duration = Duration::from_secs(5);

/// Where to ask.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    pub(crate) config: Config,
    pub(crate) publications: Vec<String>,
}

/// Asks for what the stream's description leaves out: the names of types, and the primary key as it is now.
///
/// # Errors
/// If the source cannot be reached or does not answer.
pub(super) async fn ask(catalogue: &Catalogue, relation: &Relation) -> Result<Definition, TransportError> {
    let mut session = Session::connect(&catalogue.config).await?;
    let oid = relation.oid.0;
    // Of the columns as they are described, for the table may be another by now, or gone.
    let types = relation.columns.iter().map(|column| {
        let (oid, modifier) = (column.type_oid.0, column.type_modifier);
        format!("pg_catalog.format_type({oid}, {modifier})")
    });
    let types = format!("SELECT {}", types.collect::<Vec<_>>().join(", "));
    let types = session.query(&types, LIMIT).await?.into_iter().next().unwrap_or_default();
    let columns = relation.columns.iter().zip(types);
    let columns = columns.filter_map(|(column, sql_type)| Some((column.name.clone(), sql_type?)));
    let columns: Vec<(String, String)> = columns.collect();
    let key = format!(
        "SELECT a.attname FROM pg_catalog.pg_index i CROSS JOIN LATERAL \
         unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) JOIN pg_catalog.pg_attribute a \
         ON a.attrelid = i.indrelid AND a.attnum = k.number \
         WHERE i.indrelid = {oid} AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place"
    );
    let mut key: Vec<String> = text(&session.query(&key, LIMIT).await?).collect();
    if key.is_empty() && relation.identity == ReplicaIdentity::Default {
        key = relation.identity_positions().map(|at| relation.columns[at].name.clone()).collect();
    }
    let names: Vec<String> = catalogue.publications.iter().map(|name| literal(name)).collect();
    let listed = format!(
        "SELECT p.pubname FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid \
         WHERE r.prrelid = {oid} AND p.pubname IN ({})",
        names.join(", ")
    );
    let listed = session.query(&listed, LIMIT).await?;
    let table = format!("{}.{}", identifier(&relation.schema), identifier(&relation.name));
    let leave_out = text(&listed).next();
    let leave_out =
        leave_out.map(|name| format!("ALTER PUBLICATION {} DROP TABLE {table};", identifier(&name)));
    Ok(Definition { columns, key, leave_out })
}

fn text(rows: &[Vec<Option<String>>]) -> impl Iterator<Item = String> {
    rows.iter().filter_map(|row| row.first()?.clone())
}
