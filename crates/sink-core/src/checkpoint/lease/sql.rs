//! The table of leases. Expiry is judged by the database's clock.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::LEASE_DURATION;
use crate::failure::Failure;
use crate::target::pool::{Database, failure};

/// `leases`, as one process sees it.
pub(super) struct LeaseTable {
    home: Arc<Database>,
    nonce: Uuid,
    hostname: String,
}

impl LeaseTable {
    pub(super) fn new(home: Arc<Database>, hostname: String) -> Self {
        Self { home, nonce: Uuid::new_v4(), hostname }
    }

    /// Takes the lease if it is free, expired or ours.
    pub(super) async fn acquire(&self, name: &str) -> Result<bool, Failure> {
        let sql = format!(
            "INSERT INTO {} AS l (name, expires, nonce, hostname) \
             VALUES ($1, clock_timestamp() + $2::text::interval, $3::text::uuid, $4) \
             ON CONFLICT (name) DO UPDATE SET expires = excluded.expires, nonce = excluded.nonce, \
             hostname = excluded.hostname \
             WHERE l.nonce = excluded.nonce OR l.expires < clock_timestamp() RETURNING name",
            self.home.area().table("leases")
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(name)
            .bind(duration())
            .bind(self.nonce.to_string())
            .bind(&self.hostname);
        let row =
            query.fetch_optional(self.home.leases()).await.map_err(|e| failure("acquire a lease", e))?;
        Ok(row.is_some())
    }

    /// Extends those of the leases that are still ours, and says which.
    pub(super) async fn renew(&self, names: &[String]) -> Result<Vec<String>, Failure> {
        let sql = format!(
            "UPDATE {} SET expires = clock_timestamp() + $1::text::interval \
             WHERE nonce = $2::text::uuid AND name = ANY ($3) RETURNING name",
            self.home.area().table("leases")
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(duration()).bind(self.nonce.to_string()).bind(names);
        let rows = query.fetch_all(self.home.leases()).await.map_err(|e| failure("renew leases", e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Lets others have the leases at once.
    pub(super) async fn release(&self, names: &[String]) -> Result<(), Failure> {
        let sql = format!(
            "DELETE FROM {} WHERE nonce = $1::text::uuid AND name = ANY ($2)",
            self.home.area().table("leases")
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.nonce.to_string()).bind(names);
        query.execute(self.home.leases()).await.map(drop).map_err(|e| failure("release leases", e))
    }
}

fn duration() -> String {
    format!("{} seconds", LEASE_DURATION.as_secs())
}
