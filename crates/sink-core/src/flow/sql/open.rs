//! Transactions that take their changes in parts.

use sqlx::AssertSqlSafe;

use super::{APPLY, FlowApplier, OpenTransaction, UNIQUE_VIOLATION, Written};
use crate::failure::{Disposition, Failure};
use crate::flow::TableNet;
use crate::flow::position::{Advance, FeedName, Position};
use crate::flow::store::bind_advance;
use crate::target::dialect::{positions, quote};
use crate::target::pool::failure;

/// Writing some of the changes of a transaction.
const PART: &str = "apply a part of a transaction";
/// SQLSTATEs: a row lacks its parent, or a parent is needed; the second is RESTRICT's, from PostgreSQL 18 on.
const FOREIGN_KEY_VIOLATIONS: [&str; 2] = ["23503", "23001"];

fn is_foreign_key_violation(failure: &Failure) -> bool {
    failure.sqlstate().is_some_and(|code| FOREIGN_KEY_VIOLATIONS.contains(&code))
}

/// Whether a part of a transaction was refused that a later part may mend: a foreign key that is not deferrable is checked
/// at the end of each statement.
pub(in crate::flow) fn lacks_later_parts(failure: &Failure) -> bool {
    failure.operation() == PART && is_foreign_key_violation(failure)
}

/// Says what to do, as far as it is about a foreign key.
fn explained(refused: Failure) -> Failure {
    if !is_foreign_key_violation(&refused) {
        return refused;
    }
    let place = refused.place().clone();
    let why = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
    let alter = match (&place.table, &place.constraint) {
        (Some(table), Some(constraint)) => format!(
            "ALTER TABLE {}.{} ALTER CONSTRAINT {} DEFERRABLE;",
            quote(table.schema.schema.as_str()),
            quote(table.table.as_str()),
            quote(constraint)
        ),
        (Some(_) | None, Some(_) | None) => "ALTER TABLE … ALTER CONSTRAINT … DEFERRABLE;".to_owned(),
    };
    let reason = format!(
        "{why}; the transaction is too large for one statement, at the end of which this foreign key is checked, and its other \
         rows come later: have it checked at the end of the transaction (run at the target: {alter}), or let more of \
         the transaction be written at once (--bytesInFlight)"
    );
    Failure::new(Disposition::Defer, PART, reason).at(place)
}

impl FlowApplier {
    /// Begins a transaction for changes that are too many for one statement. It holds the position's row, so that nobody
    /// takes over while it is open.
    ///
    /// # Errors
    /// `Fenced` if the position does not stand at `from` in this epoch; otherwise as [`Self::apply`].
    pub async fn begin(
        &self,
        from: &Position,
        feed: &FeedName,
        epoch: i64,
    ) -> Result<OpenTransaction, Failure> {
        let fail = |e| failure(APPLY, e);
        let mut held = self.connection().await?;
        // From here on, whatever happens to us ends the transaction: the connection is closed, not kept.
        held.connection.close_on_drop();
        let connection = &mut held.connection;
        sqlx::raw_sql("BEGIN; SET CONSTRAINTS ALL DEFERRED")
            .execute(&mut **connection)
            .await
            .map_err(fail)?;
        let lock = sqlx::query(AssertSqlSafe(positions::lock(self.database.area())));
        let lock = lock.bind(&feed.feed).bind(&feed.scope).bind(from.as_str()).bind(epoch);
        let locked = lock.fetch_optional(&mut **connection).await.map_err(fail)?;
        if locked.is_none() {
            return Err(Failure::fenced(APPLY));
        }
        Ok(OpenTransaction { held })
    }

    /// Writes some of the changes of an open transaction.
    ///
    /// # Errors
    /// As [`Self::apply`]. The transaction can only be dropped then.
    pub async fn part(&self, tx: &mut OpenTransaction, nets: &[TableNet]) -> Result<Written, Failure> {
        let fail = |e: sqlx::Error| failure(APPLY, e).in_database(self.database.name());
        let connection = &mut tx.held.connection;
        let unique = self.is_plain() || nets.iter().any(|net| !net.table.unique_keys.is_empty());
        if unique {
            sqlx::raw_sql("SAVEPOINT part").execute(&mut **connection).await.map_err(fail)?;
        }
        let mut result = self.write_in(connection, nets, false).await;
        if self.was_there_already(&result) {
            sqlx::raw_sql("ROLLBACK TO SAVEPOINT part").execute(&mut **connection).await.map_err(fail)?;
            result = self.write_in(connection, nets, false).await;
        }
        if unique && result.as_ref().is_err_and(|e| e.sqlstate() == Some(UNIQUE_VIOLATION)) {
            sqlx::raw_sql("ROLLBACK TO SAVEPOINT part").execute(&mut **connection).await.map_err(fail)?;
            result = self.write_in(connection, nets, true).await;
        }
        let written = result.map_err(|e| explained(e.in_database(self.database.name())))?;
        if unique {
            sqlx::raw_sql("RELEASE SAVEPOINT part").execute(&mut **connection).await.map_err(fail)?;
        }
        written.publish(nets);
        Ok(written)
    }

    /// Tells the server that an open transaction is not forgotten.
    ///
    /// # Errors
    /// As [`Self::part`].
    pub async fn touch(&self, tx: &mut OpenTransaction) -> Result<(), Failure> {
        let touched = sqlx::raw_sql("SELECT 1").execute(&mut *tx.held.connection).await;
        touched.map(drop).map_err(|e| failure(APPLY, e))
    }

    /// Moves the position and commits, both or neither.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn commit(&self, mut tx: OpenTransaction, advance: Advance<'_>) -> Result<(), Failure> {
        let connection = &mut tx.held.connection;
        let fence =
            bind_advance(sqlx::query(AssertSqlSafe(positions::advance(self.database.area()))), advance);
        let done = async {
            let moved = fence.execute(&mut **connection).await?.rows_affected() == 1;
            if moved {
                sqlx::raw_sql("COMMIT").execute(&mut **connection).await?;
            }
            Ok(moved)
        };
        let error = match done.await {
            Ok(true) => {
                self.hold(tx.held);
                return Ok(());
            }
            Ok(false) => None,
            Err(error) => Some(failure(APPLY, error).in_database(self.database.name())),
        };
        drop(tx);
        self.positions.after(advance, error, APPLY).await
    }
}
