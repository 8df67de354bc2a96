//! Writes a batch and its position to PostgreSQL: one statement, in its own implicit transaction.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Row as _};

use super::store::{PositionStore, bind_advance};
use super::{Advance, TableNet};
use crate::failure::{Disposition, Failure};
use crate::target::dialect::positions::ADVANCE_PARAMS;
use crate::target::dialect::postgres::changes;
use crate::target::pool::failure;
use crate::target::{Database, Product};

/// Most parameters of a statement, by the protocol.
const MAX_PARAMS: usize = 65_535;
const APPLY: &str = "apply changes of a log";

/// What a batch did, as far as the answer was heard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// By table of the batch: rows that should have been in the target and were not, so that an update had nothing to
    /// change. Empty if the answer was lost.
    pub missing: Vec<u64>,
}

/// Applies batches to one database.
#[derive(Clone)]
pub struct FlowApplier {
    database: Arc<Database>,
    positions: PositionStore,
}

impl FlowApplier {
    /// Writes tables of `database`, and positions next to them.
    ///
    /// # Errors
    /// If the product cannot take a batch in one statement.
    pub fn new(database: Arc<Database>) -> Result<Self, Failure> {
        if database.dialect().product() != Product::PostgreSql {
            let reason = "changes of a log are only written to PostgreSQL";
            return Err(Failure::new(Disposition::Halt, APPLY, reason));
        }
        Ok(Self { positions: PositionStore::new(Arc::clone(&database)), database })
    }

    /// Writes the rows and the step together, or neither: they are one statement, so no crash comes between them. When
    /// the answer is an error or lost, the stored position tells what happened, before anything is tried again.
    ///
    /// # Errors
    /// `Fenced` if somebody else took over; `Retry` if nothing was written and the same may be tried again; otherwise
    /// the target refuses the rows, and nothing was written.
    pub async fn apply(&self, nets: &[TableNet], advance: Advance<'_>) -> Result<Written, Failure> {
        let statement = changes::statement(self.database.area(), nets);
        let params = ADVANCE_PARAMS + statement.arrays.len();
        if params > MAX_PARAMS {
            let reason =
                format!("a batch takes {params} parameters, and the protocol {MAX_PARAMS}; make it smaller");
            return Err(Failure::new(Disposition::Halt, APPLY, reason));
        }
        let mut connection = self.database.connection().await?;
        let query = bind_advance(sqlx::query(AssertSqlSafe(statement.sql)), advance);
        let query = statement.arrays.into_iter().fold(query, |query, array| query.bind(array));
        let error = match query.fetch_one(&mut *connection).await {
            Ok(row) if row.get::<i64, _>(0) == 1 => {
                let missing: Vec<i64> = row.get(1);
                let missing = missing.into_iter().map(|count| u64::try_from(count).unwrap_or(0));
                return Ok(Written { missing: missing.collect() });
            }
            // An earlier try, whose answer was lost, may have been done after all.
            Ok(_) => None,
            Err(error) => Some(failure(APPLY, error).in_database(self.database.name())),
        };
        drop(connection);
        self.positions.after(advance, error, APPLY).await?;
        Ok(Written::default())
    }
}
