//! Bindings as rows of the staging area, so that all processes agree.

use sqlx::{AssertSqlSafe, Row as _};

use super::IdentityKind;
use crate::checkpoint::SqlCheckpoints;
use crate::failure::{Disposition, Failure};
use crate::model::SchemaId;
use crate::target::pool::failure;

const BIND: &str = "bind a schema to its feed";
/// Attempts to read a binding that others release at the same moment.
const ATTEMPTS: u32 = 3;

impl SqlCheckpoints {
    /// Binds the schema to a feed unless it is bound already; answers the feed it is bound to.
    ///
    /// # Errors
    /// If a statement fails.
    pub async fn bind_feed(
        &self,
        schema: &SchemaId,
        kind: IdentityKind,
        identity: &str,
    ) -> Result<String, Failure> {
        let database = self.target.database(&schema.database).await?;
        let feeds = database.area().table("feeds");
        let insert = format!(
            "INSERT INTO {feeds} (target_db, target_schema, kind, identity) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
        );
        let select =
            format!("SELECT identity FROM {feeds} WHERE target_db = $1 AND target_schema = $2 AND kind = $3");
        for _ in 0..ATTEMPTS {
            let query = sqlx::query(AssertSqlSafe(insert.clone()))
                .bind(schema.database.as_str())
                .bind(schema.schema.as_str())
                .bind(kind.as_str())
                .bind(identity);
            let done = query.execute(database.control()).await.map_err(|e| failure(BIND, e))?;
            if done.rows_affected() == 1 {
                return Ok(identity.to_owned());
            }
            let query = sqlx::query(AssertSqlSafe(select.clone()))
                .bind(schema.database.as_str())
                .bind(schema.schema.as_str())
                .bind(kind.as_str());
            let row = query.fetch_optional(database.control()).await.map_err(|e| failure(BIND, e))?;
            if let Some(row) = row {
                return Ok(row.get(0));
            }
        }
        Err(Failure::new(Disposition::Retry, BIND, "the binding is being released"))
    }

    /// Releases the schema from its feed; the next one that says who it is takes it. Answers how many identities were
    /// released.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn release_feed(&self, schema: &SchemaId) -> Result<u64, Failure> {
        let database = self.target.database(&schema.database).await?;
        let sql = format!(
            "DELETE FROM {} WHERE target_db = $1 AND target_schema = $2",
            database.area().table("feeds")
        );
        let query =
            sqlx::query(AssertSqlSafe(sql)).bind(schema.database.as_str()).bind(schema.schema.as_str());
        let done = query.execute(database.control()).await;
        done.map(|done| done.rows_affected()).map_err(|e| failure("release a schema from its feed", e))
    }
}
