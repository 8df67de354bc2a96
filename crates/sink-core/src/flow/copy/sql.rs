//! Writes a piece of a table to PostgreSQL: one COPY in a transaction that commits only in the feed's epoch.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgCopyIn;
use sqlx::{Connection as _, PgConnection};

use super::pass::Rows;
use super::ranges::store::advance;
use super::ranges::{Chunks, RangeStep, Reached};
use super::store::{Fence, hold, look};
use super::table::TargetTable;
use crate::failure::{Disposition, Failure, Place};
use crate::target::Database;
use crate::target::dialect::snapshots;
use crate::target::pool::{Connection, failure};

/// Longest time the target may take no bytes, or not answer to the end of a piece, before it counts as unreachable. It
/// may be busy with a checkpoint or wait for a lock.
const STALL: Duration = Duration::from_secs(300);
const COPY: &str = "copy a piece of a table";

/// A connection that copies pieces, one after the other.
///
/// A COPY that is not brought to its end leaves the driver out of step with the server: the next statements get each
/// other's answers. So the connection goes back to the pool only between pieces, and is closed otherwise: after any
/// error, and when the future of a piece is dropped.
pub struct Loader {
    database: Arc<Database>,
    fence: Fence,
    connection: Option<Connection>,
}

/// What a piece amounted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Rows.
    pub rows: u64,
    /// Bytes of text.
    pub bytes: u64,
}

/// Which range a chunk belongs to, and how its end is asked for.
type Note<'a, R> = (&'a RangeStep, fn(&R) -> Reached);

impl Loader {
    /// Writes to `database` as long as `fence` holds.
    #[must_use]
    pub fn new(database: Arc<Database>, fence: Fence) -> Self {
        Self { database, fence, connection: None }
    }

    /// Copies what `reader` has opened to the end, and commits it. `seen` is told of each portion: rows and bytes.
    ///
    /// An error may be the loss of the answer to the commit, so the piece must not be tried again by itself: the table is
    /// to be emptied first.
    ///
    /// # Errors
    /// `Fenced`; what the source or the target refuses; `Retry` if a connection was lost.
    pub async fn copy<R: Rows>(
        &mut self,
        table: &TargetTable,
        reader: &mut R,
        seen: &(dyn Fn(Amount) + Sync),
    ) -> Result<Amount, Failure> {
        self.with(table, reader, seen, None).await
    }

    /// As [`copy`](Self::copy), and moves the range on in the same transaction. After an error it is to be read where the
    /// range stands; nothing needs to be emptied.
    ///
    /// # Errors
    /// As [`copy`](Self::copy); `Retry` if the range does not stand where `step` says.
    pub async fn copy_chunk<C: Chunks>(
        &mut self,
        table: &TargetTable,
        reader: &mut C,
        seen: &(dyn Fn(Amount) + Sync),
        step: &RangeStep,
    ) -> Result<Amount, Failure> {
        self.with(table, reader, seen, Some((step, C::reached))).await
    }

    async fn with<R: Rows>(
        &mut self,
        table: &TargetTable,
        reader: &mut R,
        seen: &(dyn Fn(Amount) + Sync),
        note: Option<Note<'_, R>>,
    ) -> Result<Amount, Failure> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.connection().await?,
        };
        let mut guard = Guard { connection: Some(connection) };
        let copied = self.run(guard.connection(), table, reader, seen, note).await;
        let place = |e: Failure| {
            let e = e.in_database(self.database.name());
            if e.place().table.is_some() || e.disposition() == Disposition::Fenced {
                return e;
            }
            let place = Place { table: Some(table.schema.id.clone()), ..e.place().clone() };
            e.at(place)
        };
        let amount = copied.map_err(place)?;
        self.connection = guard.release();
        Ok(amount)
    }

    async fn run<R: Rows>(
        &self,
        connection: &mut PgConnection,
        table: &TargetTable,
        reader: &mut R,
        seen: &(dyn Fn(Amount) + Sync),
        note: Option<Note<'_, R>>,
    ) -> Result<Amount, Failure> {
        let fail = |e| failure(COPY, e);
        let mut tx = connection.begin().await.map_err(fail)?;
        look(&mut tx, &self.database, &self.fence).await?;
        sqlx::raw_sql(snapshots::INPUT_SETTINGS).execute(&mut *tx).await.map_err(fail)?;
        let name = self.database.dialect().table(&table.schema.id);
        let sql = snapshots::copy_in(&name, &table.schema, &table.target_columns());
        let mut copy = within(tx.copy_in_raw(&sql)).await?;
        let bytes = pour(reader, &mut copy, seen).await?;
        let written = within(copy.finish()).await?;
        let sent = reader.rows();
        if written != sent {
            let reason = format!(
                "the target kept {written} of {sent} rows; a trigger there leaves rows out. Disable it until the \
                 snapshot is done"
            );
            return Err(Failure::new(Disposition::Halt, COPY, reason));
        }
        // Only now, so that nobody who takes over has to wait for more than this and the commit.
        hold(&mut tx, &self.database, &self.fence).await?;
        let amount = Amount { rows: written, bytes };
        if let Some((step, reached)) = note {
            let reached = reached(reader);
            advance(&mut tx, &self.database, &self.fence, step, (&reached, amount)).await?;
        }
        within(tx.commit()).await?;
        Ok(amount)
    }
}

/// Sends all that the reader has; answers how many bytes that was.
async fn pour<R: Rows>(
    reader: &mut R,
    copy: &mut PgCopyIn<&mut PgConnection>,
    seen: &(dyn Fn(Amount) + Sync),
) -> Result<u64, Failure> {
    let (mut bytes, mut rows) = (0, 0);
    loop {
        let Some(text) = reader.next().await? else { return Ok(bytes) };
        let portion = u64::try_from(text.len()).unwrap_or(u64::MAX);
        within(copy.send(text)).await?;
        bytes += portion;
        let now = reader.rows();
        seen(Amount { rows: now - std::mem::replace(&mut rows, now), bytes: portion });
    }
}

/// Waits for the target, but not for ever.
async fn within<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(STALL, work).await {
        Ok(done) => done.map_err(|e| failure(COPY, e)),
        Err(_) => {
            let reason = format!("the target took nothing for {} s", STALL.as_secs());
            Err(Failure::new(Disposition::Retry, COPY, reason))
        }
    }
}

/// Closes the connection unless it is released.
struct Guard {
    connection: Option<Connection>,
}

impl Guard {
    fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("it is taken only when the guard goes")
    }

    fn release(mut self) -> Option<Connection> {
        self.connection.take()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.discard();
        }
    }
}
