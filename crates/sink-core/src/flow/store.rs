//! Positions as rows of the staging area of the database that is written.

use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};

use super::{Advance, FeedName, Happened, Position, Stored};
use crate::failure::{Disposition, Failure};
use crate::target::Database;
use crate::target::dialect::positions;
use crate::target::pool::failure;

/// Positions of the feeds that write one database.
#[derive(Clone)]
pub struct PositionStore {
    database: Arc<Database>,
}

impl PositionStore {
    /// Positions next to the tables of `database`.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    /// Where a feed stands; `None` if it never began.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn read(&self, name: &FeedName) -> Result<Option<Stored>, Failure> {
        let sql = positions::read(self.database.area());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&name.feed).bind(&name.scope);
        let row = query.fetch_optional(self.database.control()).await;
        Ok(row.map_err(|e| failure("read the position of a feed", e))?.as_ref().map(stored))
    }

    /// Makes the caller the only one whose steps are accepted, by raising the epoch. A feed without a position begins at
    /// `first`. `source_identity` is JSON text.
    ///
    /// # Errors
    /// If the stored position belongs to another source, or the statement fails. The error never names what is stored:
    /// the caller, who knows what an identity means, compares before.
    pub async fn take_over(
        &self,
        name: &FeedName,
        source_identity: &str,
        first: &Position,
    ) -> Result<Stored, Failure> {
        const TAKE_OVER: &str = "take over a feed";
        let sql = positions::take_over(self.database.area());
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(&name.feed)
            .bind(&name.scope)
            .bind(first.as_str())
            .bind(source_identity);
        let row = query.fetch_optional(self.database.control()).await.map_err(|e| failure(TAKE_OVER, e))?;
        row.as_ref().map(stored).ok_or_else(|| {
            let reason = format!(
                "the position of feed {:?} in the target belongs to another source; give this feed another name, or \
                 delete its row from {} if the target is to be filled anew",
                name.feed,
                self.database.area().table("positions")
            );
            Failure::new(Disposition::Halt, TAKE_OVER, reason)
        })
    }

    /// Moves a position without any rows: the source has nothing to say up to there.
    ///
    /// # Errors
    /// `Fenced` if somebody else took over; `Retry` if it was not done and may be tried again.
    pub async fn advance(&self, advance: Advance<'_>) -> Result<(), Failure> {
        const ADVANCE: &str = "advance the position of a feed";
        let query = sqlx::query(AssertSqlSafe(positions::advance(self.database.area())));
        let query = bind_advance(query, advance);
        let refused = match query.execute(self.database.control()).await {
            Ok(done) if done.rows_affected() == 1 => return Ok(()),
            // Another try of ours, whose answer was lost, may have come first.
            Ok(_) => None,
            Err(error) => Some(failure(ADVANCE, error)),
        };
        self.after(advance, refused, ADVANCE).await
    }

    /// Says whether rows from beyond the position may be in the target.
    ///
    /// # Errors
    /// `Fenced` if somebody else took over; otherwise if the statement fails.
    pub async fn set_torn(&self, name: &FeedName, epoch: i64, torn: bool) -> Result<(), Failure> {
        const SET: &str = "note whether a feed keeps transactions together";
        let sql = positions::set_torn(self.database.area());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&name.feed).bind(&name.scope).bind(epoch).bind(torn);
        let done = query.execute(self.database.control()).await.map_err(|e| failure(SET, e))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(Failure::fenced(SET)) }
    }

    /// What the source published when it was last looked at, as JSON text of the target; `None` if it never was, or the
    /// feed never began.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn published(&self, name: &FeedName) -> Result<Option<String>, Failure> {
        let sql = positions::published(self.database.area());
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(&name.feed).bind(&name.scope);
        let text: Option<Option<String>> = query
            .fetch_optional(self.database.control())
            .await
            .map_err(|e| failure("read what the source published", e))?;
        Ok(text.flatten())
    }

    /// Notes what the source publishes, as JSON text.
    ///
    /// # Errors
    /// `Fenced` if somebody else took over; otherwise if the statement fails.
    pub async fn set_published(&self, name: &FeedName, epoch: i64, json: &str) -> Result<(), Failure> {
        const SET: &str = "note what the source publishes";
        let sql = positions::set_published(self.database.area());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&name.feed).bind(&name.scope).bind(epoch).bind(json);
        let done = query.execute(self.database.control()).await.map_err(|e| failure(SET, e))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(Failure::fenced(SET)) }
    }

    /// What to answer after a step that failed with `error`, or whose fence let nothing pass. A lost answer may be the
    /// answer to a commit, so the stored position decides.
    ///
    /// # Errors
    /// As [`Self::advance`]; a step that was not done keeps its own error.
    pub async fn after(
        &self,
        advance: Advance<'_>,
        error: Option<Failure>,
        operation: &'static str,
    ) -> Result<(), Failure> {
        let now = self.read(advance.feed).await?;
        match (advance.happened(now.as_ref()), error) {
            (Happened::Done, _) => Ok(()),
            (Happened::NotDone, Some(error)) => Err(error),
            (Happened::NotDone, None) => {
                Err(Failure::new(Disposition::Retry, operation, "the position moved while it was looked at"))
            }
            (Happened::Fenced, _) => Err(Failure::fenced(operation)),
        }
    }
}

fn stored(row: &PgRow) -> Stored {
    Stored {
        position: Position::new(row.get::<&str, _>(0)),
        epoch: row.get(1),
        source_identity: row.get(2),
        torn: row.get(3),
        source_time_micros: row.get(4),
    }
}

/// Binds what [`positions::advance`] takes.
pub(super) fn bind_advance<'q>(
    query: Query<'q, Postgres, PgArguments>,
    advance: Advance<'q>,
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(&advance.feed.feed)
        .bind(&advance.feed.scope)
        .bind(advance.from.as_str())
        .bind(advance.epoch)
        .bind(advance.to.as_str())
        .bind(advance.source_time_micros)
}
