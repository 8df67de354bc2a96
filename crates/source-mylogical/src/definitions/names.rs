//! Names that fit the target.

use sha2::{Digest as _, Sha256};
use sink_core::model::Ident;

use crate::assemble::TableName;

/// Longest name that PostgreSQL keeps whole, in bytes; it cuts longer ones without an error.
const MOST_BYTES: usize = 63;
/// Characters of the digest at the end of a shortened name.
const DIGEST: usize = 8;

/// A name that the target cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "table {database}.{table}{column}: its name takes {bytes} bytes, and the target's names at most 63; leave the table \
     out by --tables, or rename it at the source"
)]
pub struct NameError {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// `, column …`, if it is a column's.
    pub column: String,
    /// How long it is.
    pub bytes: usize,
}

/// The name of a table or column: what rows are found by, so it stays as it is.
pub(super) fn kept(name: &str, table: &TableName, column: bool) -> Result<Ident, NameError> {
    let ident = (name.len() <= MOST_BYTES).then(|| Ident::new(name).ok()).flatten();
    ident.ok_or_else(|| NameError {
        database: table.database.clone(),
        table: table.table.clone(),
        column: if column { format!(", column {name}") } else { String::new() },
        bytes: name.len(),
    })
}

/// The name of an index or constraint. Names of indexes are those of a table at the source and of a schema at the target,
/// so the table's name comes first; a name that gets too long ends in a digest of all of it.
pub(super) fn made(table: &str, name: &str, what: &str) -> Option<Ident> {
    let whole = match what {
        "" => format!("{table}_{name}"),
        what => format!("{table}_{name}_{what}"),
    };
    if whole.len() <= MOST_BYTES {
        return Ident::new(whole).ok();
    }
    let digest = Sha256::digest(whole.as_bytes());
    let digest: String = digest.iter().take(DIGEST / 2).map(|byte| format!("{byte:02x}")).collect();
    let mut end = MOST_BYTES - DIGEST - 1;
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    Ident::new(format!("{}_{digest}", &whole[..end])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_shortened_and_stay_apart() {
        let table = "é".repeat(31);
        let (one, two) = (made(&table, "index_a", ""), made(&table, "index_b", ""));
        assert!(one.as_ref().is_some_and(|name| name.as_str().len() <= MOST_BYTES));
        assert_ne!(one, two);
        assert_eq!(made("t", "a", "check").unwrap().as_str(), "t_a_check");
    }

    #[test]
    fn names_that_rows_are_found_by_stay_or_are_refused() {
        let table = TableName { database: "d".into(), table: "t".into() };
        assert_eq!(kept("Ä", &table, true).unwrap().as_str(), "Ä");
        let refused = kept(&"x".repeat(64), &table, true).unwrap_err().to_string();
        assert!(refused.starts_with("table d.t, column xxx") && refused.contains("64 bytes"), "{refused}");
    }
}
