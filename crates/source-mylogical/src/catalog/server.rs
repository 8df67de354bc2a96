//! Variables of the server.

use std::collections::HashMap;

use crate::Flavor;
use crate::gtid::{GtidError, GtidSet, MySqlSet};
use crate::transport::{Session, TransportError};

use super::ANSWER_LIMIT;

/// Variables that decide whether the log can be followed. A server has not all of them.
const VARIABLES: &[&str] = &[
    "log_bin",
    "server_id",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "gtid_mode",
    "enforce_gtid_consistency",
    "innodb_native_foreign_keys",
    "binlog_expire_logs_seconds",
    "expire_logs_days",
];

/// A server as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// The product.
    pub flavor: Flavor,
    /// The version's first two numbers.
    pub release: (u32, u32),
    /// The global values of what decides whether the log can be followed, by name.
    pub variables: HashMap<String, String>,
    /// What is in the log, or was.
    pub executed: GtidSet,
    /// Of that, what is deleted; only MySQL tells.
    pub purged: Option<MySqlSet>,
}

impl ServerFacts {
    /// Asks.
    ///
    /// # Errors
    /// The connection's, and answers that make no sense.
    pub async fn read(session: &mut Session) -> Result<Self, TransportError> {
        let flavor = session.flavor();
        let names: Vec<String> = VARIABLES.iter().map(|name| format!("'{name}'")).collect();
        let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})", names.join(", "));
        let rows: Vec<(String, String)> = session.ask(&sql, ANSWER_LIMIT).await?;
        let variables = rows.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        let executed = position(session).await?;
        let purged = match flavor {
            Flavor::MariaDb => None,
            Flavor::MySql => {
                let text = text(session, "SELECT @@GLOBAL.gtid_purged").await?;
                match GtidSet::parse(flavor, &text).map_err(|error| senseless(&error))? {
                    GtidSet::MySql(set) => Some(set),
                    GtidSet::MariaDb(_) => None,
                }
            }
        };
        Ok(Self { flavor, release: session.release(), variables, executed, purged })
    }

    /// The value of a variable, if the server has it.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// Everything that the server has committed to its log, deleted or not.
///
/// # Errors
/// As [`ServerFacts::read`].
pub async fn position(session: &mut Session) -> Result<GtidSet, TransportError> {
    let sql = match session.flavor() {
        // The tables of variables cut long values.
        Flavor::MySql => "SELECT @@GLOBAL.gtid_executed",
        Flavor::MariaDb => "SELECT @@GLOBAL.gtid_binlog_pos",
    };
    let text = text(session, sql).await?;
    GtidSet::parse(session.flavor(), &text).map_err(|error| senseless(&error))
}

async fn text(session: &mut Session, sql: &str) -> Result<String, TransportError> {
    let rows: Vec<Option<String>> = session.ask(sql, ANSWER_LIMIT).await?;
    Ok(rows.into_iter().next().flatten().unwrap_or_default())
}

fn senseless(error: &GtidError) -> TransportError {
    TransportError::Driver(format!("the server's own position cannot be read: {error}"))
}
