//! Reads keys and revoked ids from the home database.

use sqlx::AssertSqlSafe;

use super::{Credentials, MAX_ID_BYTES, MAX_KEY_BYTES, MAX_KEYS, MAX_REVOKED, READ_TIMEOUT, StoredKey};
use crate::failure::{Disposition, Failure};
use crate::target::pool::failure;
use crate::target::{Database, Target};

/// What failures of this module say was tried.
const READ: &str = "read the keys and revoked ids of tokens";

/// Reads both tables.
///
/// # Errors
/// If they cannot be read in time, or hold more rows than [`MAX_KEYS`] and [`MAX_REVOKED`]: to leave some out would
/// lock out who may write, or let in who may not.
pub async fn read(target: &Target) -> Result<Credentials, Failure> {
    let reading = read_both(target.home());
    tokio::time::timeout(READ_TIMEOUT, reading)
        .await
        .unwrap_or_else(|_| Err(Failure::new(Disposition::Retry, READ, "the target does not answer in time")))
}

async fn read_both(home: &Database) -> Result<Credentials, Failure> {
    let (keys_table, revoked_table) =
        (home.area().table("jwt_public_keys"), home.area().table("jwt_revoked_ids"));
    let mut connection = home.control().acquire().await.map_err(|e| failure(READ, e))?;
    // One more than may be, to tell that there are too many.
    let sql = format!(
        "SELECT id::text, CASE WHEN octet_length(public_key) <= {MAX_KEY_BYTES} THEN public_key END \
         FROM {keys_table} WHERE active ORDER BY id LIMIT {}",
        MAX_KEYS + 1
    );
    let keys: Vec<(String, Option<String>)> =
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut *connection).await.map_err(|e| failure(READ, e))?;
    let sql = format!(
        "SELECT id FROM {revoked_table} WHERE octet_length(id) <= {MAX_ID_BYTES} LIMIT {}",
        MAX_REVOKED + 1
    );
    let revoked: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(&mut *connection)
        .await
        .map_err(|e| failure(READ, e))?;
    if keys.len() > MAX_KEYS {
        let advice = format!("{keys_table} has more than {MAX_KEYS} active keys; make some of them inactive");
        return Err(Failure::new(Disposition::Halt, READ, advice));
    }
    if revoked.len() > MAX_REVOKED {
        let advice = format!(
            "{revoked_table} has more than {MAX_REVOKED} rows; delete the ids of tokens that have expired"
        );
        return Err(Failure::new(Disposition::Halt, READ, advice));
    }
    let keys = keys.into_iter().map(|(id, text)| StoredKey { id, text }).collect();
    Ok(Credentials { keys, revoked: revoked.into_iter().collect() })
}
