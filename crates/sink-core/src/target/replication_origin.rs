//! Marks what a session of PostgreSQL writes, so that whoever replicates the target onwards can leave it out.

use std::time::{Duration, Instant};

use sqlx::{PgConnection, Row as _};

use super::pool::failure;
use crate::failure::{Disposition, Failure};

const MARK: &str = "mark what is written with a replication origin (--replicationOrigin)";
/// SQLSTATE: another session uses the origin. Ours may have ended a moment ago without the server knowing yet.
const IN_USE: &str = "55006";
/// SQLSTATE: the role may not.
const DENIED: &str = "42501";
/// Longest wait for the former session to end.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Has everything that the session commits from now on bear the origin's name, which is made if there is none. One
/// session at a time can do so.
///
/// # Errors
/// `Retry` while another session uses the origin; `Halt` if the role lacks the privileges, saying which.
pub(crate) async fn mark(connection: &mut PgConnection, origin: &str) -> Result<(), Failure> {
    const CREATE: &str = "SELECT CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_replication_origin WHERE roname = $1) \
                          THEN pg_catalog.pg_replication_origin_create($1) END IS NULL";
    let created = sqlx::query(CREATE).bind(origin).fetch_one(&mut *connection).await.map_err(refused)?;
    tracing::debug!(created = !created.get::<bool, _>(0), "replication origin");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let setup = sqlx::query("SELECT pg_catalog.pg_replication_origin_session_setup($1)::text");
        let Err(error) = setup.bind(origin).execute(&mut *connection).await else { return Ok(()) };
        let error = refused(error);
        if error.sqlstate() != Some(IN_USE) {
            return Err(error);
        }
        if Instant::now() >= deadline {
            return Err(error.with_disposition(Disposition::Retry));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn refused(error: sqlx::Error) -> Failure {
    let error = failure(MARK, error);
    if error.sqlstate() != Some(DENIED) {
        return error;
    }
    let place = error.place().clone();
    let reason = "the role may not use replication origins; run on the target as a superuser: GRANT EXECUTE ON FUNCTION \
                  pg_replication_origin_create(text), pg_replication_origin_session_setup(text) TO the_role; GRANT \
                  SELECT ON pg_replication_origin TO the_role;";
    Failure::new(Disposition::Halt, MARK, reason).at(place)
}
