//! Transactions that take their changes in parts.

use sqlx::AssertSqlSafe;

use super::{APPLY, FlowApplier, OpenTransaction, UNIQUE_VIOLATION, Written};
use crate::failure::Failure;
use crate::flow::TableNet;
use crate::flow::position::{Advance, FeedName, Position};
use crate::flow::store::bind_advance;
use crate::target::dialect::positions;
use crate::target::pool::failure;

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
        let written = result.map_err(|e| e.in_database(self.database.name()))?;
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
