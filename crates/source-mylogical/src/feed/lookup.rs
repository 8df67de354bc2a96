//! What the log leaves out of a table, asked of the catalogue while the stream stands still.

use std::sync::Arc;
use std::time::Duration;

use sink_core::failure::Failure;
use tokio::task::JoinSet;

use crate::assemble::TableName;
use crate::catalog::{Cascades, TableFacts, refuse, table, table_findings};
use crate::transport::{Config, Session, TransportError};

const LOOK: &str = "look at a table of the source";

/// Asks about one table at a time, in a task of its own: whoever waits may stop waiting and come again.
pub(super) struct Lookup {
    config: Arc<Config>,
    cascades: Cascades,
    asking: JoinSet<(TableName, Result<Option<TableFacts>, TransportError>)>,
}

impl Lookup {
    pub(super) fn new(config: Arc<Config>, cascades: Cascades) -> Self {
        Self { config, cascades, asking: JoinSet::new() }
    }

    /// Begins to ask.
    pub(super) fn ask(&mut self, name: TableName) {
        let config = Arc::clone(&self.config);
        self.asking.spawn(async move {
            let facts = ask(&config, &name).await;
            (name, facts)
        });
    }

    /// Whether an answer is waited for.
    pub(super) fn is_asking(&self) -> bool {
        !self.asking.is_empty()
    }

    /// Waits for the answer. A table that is gone by now has none.
    ///
    /// # Errors
    /// The connection's; and what makes it impossible to follow the table.
    pub(super) async fn answer(&mut self) -> Result<Option<(TableName, Option<TableFacts>)>, Failure> {
        let Some(joined) = self.asking.join_next().await else { return Ok(None) };
        // Only a panic ends the task without an answer.
        let (name, facts) = joined.map_err(|_| TransportError::Panicked.failed(LOOK))?;
        let facts = facts.map_err(|error| error.failed(LOOK))?;
        if let Some(facts) = &facts {
            refuse(LOOK, &table_findings(facts, self.cascades))?;
        }
        Ok(Some((name, facts)))
    }
}

async fn ask(config: &Config, name: &TableName) -> Result<Option<TableFacts>, TransportError> {
    const LIMIT: Duration = Duration::from_secs(30);
    let asked = async {
        let mut session = Session::connect(config).await?;
        let facts = table(&mut session, name).await?;
        session.close().await;
        Ok(facts)
    };
    let what = "an answer about a table of the source";
    tokio::time::timeout(LIMIT, asked).await.map_err(|_| TransportError::Timeout { what, limit: LIMIT })?
}
