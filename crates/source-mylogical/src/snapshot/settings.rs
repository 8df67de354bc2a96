//! What is copied, and how. Pure.

use std::sync::Arc;

use crate::assemble::TableName;
use crate::feed::Databases;
use crate::policy::Policies;

/// What to copy from where, and by how many.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The databases, and where their tables go.
    pub databases: Arc<Databases>,
    /// The tables; all that the databases have if none are named.
    pub tables: Vec<TableName>,
    /// How many parts of tables are copied at the same time.
    pub workers: usize,
    /// What is done with values that the target cannot hold.
    pub policies: Policies,
    /// What a chunk should take, in bytes of text: enough to be worth a question and a transaction.
    pub chunk_bytes: usize,
    /// Somebody answers for changes that follow from foreign keys and are not logged.
    pub allow_unlogged_cascades: bool,
}

impl Settings {
    /// Smaller ones cost more questions and commits, larger ones memory.
    pub const CHUNK_BYTES: usize = 4 << 20;
}

/// A list of tables that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableListError {
    /// A name is missing or cut off.
    #[error("expected names of tables separated by commas: orders,crm.people,`a table`.`with.odd,names`")]
    Malformed,
    /// More than database and table.
    #[error("a table's name has at most two parts: database.table")]
    TooManyParts,
    /// A table of no database, where there are several.
    #[error("table {0:?} needs its database, as several are followed: database.table")]
    WhichDatabase(String),
}

/// Reads names, between back-quotes where they have commas, dots or blanks; case is kept. Without a database, `only` is meant.
///
/// # Errors
/// If it is not a list of names.
pub fn parse_tables(text: &str, only: Option<&str>) -> Result<Vec<TableName>, TableListError> {
    let mut rest = text.trim_start();
    let mut tables = Vec::new();
    while !rest.is_empty() {
        let (first, after) = identifier(rest)?;
        let (table, after) = match (after.strip_prefix('.'), only) {
            (Some(after), _) => {
                let (table, after) = identifier(after)?;
                (TableName { database: first, table }, after)
            }
            (None, Some(only)) => (TableName { database: only.to_owned(), table: first }, after),
            (None, None) => return Err(TableListError::WhichDatabase(first)),
        };
        tables.push(table);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) if !more.trim().is_empty() => more.trim_start(),
            None if after.is_empty() => after,
            None if after.starts_with('.') => return Err(TableListError::TooManyParts),
            Some(_) | None => return Err(TableListError::Malformed),
        };
    }
    if tables.is_empty() { Err(TableListError::Malformed) } else { Ok(tables) }
}

/// One identifier and what follows.
fn identifier(text: &str) -> Result<(String, &str), TableListError> {
    let Some(mut rest) = text.strip_prefix('`') else {
        let end = text.find(|c: char| matches!(c, '.' | ',' | '`') || c.is_whitespace());
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        return if name.is_empty() { Err(TableListError::Malformed) } else { Ok((name.to_owned(), rest)) };
    };
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once('`').ok_or(TableListError::Malformed)?;
        name.push_str(part);
        match after.strip_prefix('`') {
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None if name.is_empty() => return Err(TableListError::Malformed),
            None => return Ok((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_case() {
        let names = parse_tables("T, s.U ,`My ``S`.`a,b.c`", Some("shop")).unwrap();
        let names: Vec<_> = names.iter().map(|name| (name.database.as_str(), name.table.as_str())).collect();
        assert_eq!(names, [("shop", "T"), ("s", "U"), ("My `S", "a,b.c")]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", " ", ",", "a,", ",a", "a,,b", "a.", ".a", "`a", "``", "a b", "`a`b"] {
            assert_eq!(parse_tables(text, Some("d")), Err(TableListError::Malformed), "{text:?}");
        }
        assert_eq!(parse_tables("a.b.c", None), Err(TableListError::TooManyParts));
        assert_eq!(parse_tables("a", None), Err(TableListError::WhichDatabase("a".into())));
    }
}
