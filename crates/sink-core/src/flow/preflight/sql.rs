//! Asks the target what only a look before the start needs to know.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::target::{ForeignKey, KeyFacts, Lacking, TargetFacts, Trigger};
use crate::failure::{Disposition, Failure};
use crate::model::{Ident, SchemaId, TableId};
use crate::target::Database;
use crate::target::dialect::{Product, preflight};
use crate::target::pool::failure;

const LOOK: &str = "look at the target before the start";

/// Reads what [`super::target::findings`] judges.
///
/// # Errors
/// If a query fails, or the product is not one that a log is written to.
pub async fn target_facts(database: &Database) -> Result<TargetFacts, Failure> {
    if database.dialect().product() != Product::PostgreSql {
        let reason = "changes of a log are only written to PostgreSQL";
        return Err(Failure::new(Disposition::Halt, LOOK, reason));
    }
    let name = database.name();
    let mut connection = database.connection().await?;
    let mut facts = TargetFacts::default();
    for row in rows(&mut connection, preflight::ROLE).await? {
        facts.role = row.get(0);
    }
    for row in rows(&mut connection, preflight::MAY_MARK).await? {
        facts.may_mark = row.get(0);
    }
    for row in rows(&mut connection, preflight::SCHEMAS).await? {
        facts.schemas.insert(row.get(0));
    }
    for row in rows(&mut connection, preflight::TRIGGERS).await? {
        let trigger = Trigger { name: row.get(2), always: row.get(3) };
        facts.triggers.push((table(name, &row)?, trigger));
    }
    for row in rows(&mut connection, preflight::FOREIGN_KEYS).await? {
        let references = table_id(name, row.get(4), row.get(5))?;
        let key = ForeignKey { name: row.get(2), definition: row.get(3), references, deferrable: row.get(6) };
        facts.foreign_keys.push((table(name, &row)?, key));
    }
    for row in rows(&mut connection, preflight::PRIVILEGES).await? {
        let lacking = Lacking {
            usage: !row.get::<bool, _>(2),
            select: !row.get::<bool, _>(3),
            insert: !row.get::<bool, _>(4),
            update: !row.get::<bool, _>(5),
            delete: !row.get::<bool, _>(6),
            truncate: !row.get::<bool, _>(7),
            row_security: !row.get::<bool, _>(8),
        };
        facts.lacking.insert(table(name, &row)?, lacking);
    }
    for row in rows(&mut connection, preflight::REQUIRED).await? {
        facts.required.entry(table(name, &row)?).or_default().push(row.get(2));
    }
    for row in rows(&mut connection, preflight::IDENTITIES).await? {
        facts.identities.entry(table(name, &row)?).or_default().push(row.get(2));
    }
    for row in rows(&mut connection, preflight::KEYS).await? {
        facts.keys.insert(table(name, &row)?, KeyFacts { name: row.get(2), columns: row.get(3) });
    }
    Ok(facts)
}

async fn rows(connection: &mut PgConnection, query: &'static str) -> Result<Vec<PgRow>, Failure> {
    sqlx::query(AssertSqlSafe(query)).fetch_all(connection).await.map_err(|e| failure(LOOK, e))
}

fn table(database: &Ident, row: &PgRow) -> Result<TableId, Failure> {
    table_id(database, row.get(0), row.get(1))
}

fn table_id(database: &Ident, schema: &str, table: &str) -> Result<TableId, Failure> {
    let ident = |text: &str| Ident::new(text).map_err(|e| Failure::new(Disposition::Halt, LOOK, e));
    let schema = SchemaId { database: database.clone(), schema: ident(schema)? };
    Ok(TableId { schema, table: ident(table)? })
}
