//! What the source says about itself. The log describes its tables by itself; from here comes only what it leaves out, and
//! what has to be known before.

mod checks;
mod details;
mod read;
mod server;
mod tables;

pub use checks::{Cascades, refuse, server_findings, table_findings};
pub use details::TableDetails;
pub use read::{charsets, table, tables};
pub use server::{ServerFacts, position};
pub use tables::{ColumnFacts, ForeignKeyFacts, Generated, IndexFacts, IndexPart, TableFacts, TableKind};

use std::time::Duration;

/// Longest wait for an answer of the catalogue: that of a server with very many tables takes its time.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// A text between quotes, in sessions like ours: with `sql_mode = ''`, a backslash means something.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A name between back-quotes, as both products take it.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
