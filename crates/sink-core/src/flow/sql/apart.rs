//! Rows without their position, where transactions need not be kept together.

use sqlx::{AssertSqlSafe, Connection as _};

use super::statement::{answer, bound};
use super::{APPLY, FlowApplier, UNIQUE_VIOLATION, Written, has_stages};
use crate::failure::Failure;
use crate::flow::TableNet;
use crate::flow::position::FeedName;
use crate::target::dialect::positions;
use crate::target::dialect::postgres::changes;
use crate::target::pool::failure;

impl FlowApplier {
    /// Writes rows without moving the position, if the epoch is still the newest. What the position says is unchanged, so
    /// the same rows may be written again.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn write_apart(
        &self,
        nets: &[TableNet],
        feed: &FeedName,
        epoch: i64,
    ) -> Result<Written, Failure> {
        if has_stages(nets) {
            return self.write_apart_in_stages(nets, feed, epoch, false).await;
        }
        let mut held = self.connection().await?;
        let statement = changes::statement_in_epoch(self.database.area(), nets);
        let query = sqlx::query(AssertSqlSafe(statement.sql)).bind(&feed.feed).bind(&feed.scope).bind(epoch);
        let answered = answer(bound(query, statement.arrays).fetch_one(&mut *held.connection).await);
        match answered {
            Ok(Some(written)) => {
                self.hold(held);
                written.publish(nets);
                Ok(written)
            }
            Ok(None) => Err(Failure::fenced(APPLY)),
            Err(error) => Err(error.in_database(self.database.name())),
        }
    }

    /// As [`Self::write_apart`], letting unique values move between rows.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn write_apart_as_one(
        &self,
        nets: &[TableNet],
        feed: &FeedName,
        epoch: i64,
    ) -> Result<Written, Failure> {
        match self.write_apart(nets, feed, epoch).await {
            Err(error) if error.sqlstate() == Some(UNIQUE_VIOLATION) => {}
            other => return other,
        }
        self.write_apart_in_stages(nets, feed, epoch, true).await
    }

    async fn write_apart_in_stages(
        &self,
        nets: &[TableNet],
        feed: &FeedName,
        epoch: i64,
        clear: bool,
    ) -> Result<Written, Failure> {
        let fail = |e| failure(APPLY, e).in_database(self.database.name());
        let mut held = self.connection().await?;
        let mut tx = held.connection.begin().await.map_err(fail)?;
        let fence = sqlx::query(AssertSqlSafe(positions::in_epoch(self.database.area())));
        let fence = fence.bind(&feed.feed).bind(&feed.scope).bind(epoch);
        if fence.fetch_optional(&mut *tx).await.map_err(fail)?.is_none() {
            return Err(Failure::fenced(APPLY));
        }
        let written = self.write_in(&mut tx, nets, clear).await;
        let written = written.map_err(|e| e.in_database(self.database.name()))?;
        tx.commit().await.map_err(fail)?;
        written.publish(nets);
        Ok(written)
    }
}
