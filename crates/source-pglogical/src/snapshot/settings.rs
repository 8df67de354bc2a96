//! What is copied, and how. Pure.

use std::time::Duration;

use crate::catalog::TableName;

/// What to copy from where, and by how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The publication; made if there is none.
    pub publication: String,
    /// The slot whose stream goes on from the snapshot; made if there is none.
    pub slot: String,
    /// The tables; all of the publication if none are named. For a publication that is to be made: all that have a
    /// usable key.
    pub tables: Vec<TableName>,
    /// The schema of a feed's own tables, at the source those of a feed in the other direction: they are neither copied nor
    /// made.
    pub own_schema: String,
    /// How many tables, or parts of them, are copied at the same time.
    pub workers: usize,
    /// How long to wait for the transactions that are open when a slot is made.
    pub slot_patience: Duration,
    /// How long one question to the source may take.
    pub question_limit: Duration,
}

impl Settings {
    /// Whether a table may be among those that are copied.
    pub(super) fn may_be_copied(&self, table: &TableName) -> bool {
        table.schema != self.own_schema
    }

    /// Enough to keep a reading and a writing server busy while each waits for the other.
    pub const WORKERS: usize = 2;
    /// As long as a transaction may reasonably take.
    pub const SLOT_PATIENCE: Duration = Duration::from_secs(300);
    /// A catalogue of a million columns takes seconds.
    pub const QUESTION_LIMIT: Duration = Duration::from_secs(120);
}

/// A list of tables that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableListError {
    /// A name is missing or cut off.
    #[error(
        "expected names of tables as SQL writes them, separated by commas: schema.table,\"Schema\".\"Table\""
    )]
    Malformed,
    /// More than schema and table.
    #[error("a table's name has at most two parts: schema.table")]
    TooManyParts,
}

/// Reads names as SQL writes them: in quotes exactly, without in lower case; without a schema in `public`.
///
/// # Errors
/// If it is not a list of names.
pub fn parse_tables(text: &str) -> Result<Vec<TableName>, TableListError> {
    let mut rest = text.trim_start();
    let mut tables = Vec::new();
    while !rest.is_empty() {
        let (first, after) = identifier(rest)?;
        let (table, after) = match after.strip_prefix('.') {
            None => (TableName { schema: "public".to_owned(), name: first }, after),
            Some(after) => {
                let (name, after) = identifier(after)?;
                (TableName { schema: first, name }, after)
            }
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
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(|c: char| matches!(c, '.' | ',' | '"') || c.is_whitespace());
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        return if name.is_empty() {
            Err(TableListError::Malformed)
        } else {
            Ok((name.to_lowercase(), rest))
        };
    };
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once('"').ok_or(TableListError::Malformed)?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
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

    fn names(text: &str) -> Vec<(String, String)> {
        parse_tables(text).unwrap().into_iter().map(|table| (table.schema, table.name)).collect()
    }

    #[test]
    fn names_are_read_as_sql_reads_them() {
        let expected = [("public", "t"), ("s", "u"), ("My \"S\"", "a,b.c")];
        let expected = expected.map(|(schema, name)| (schema.to_owned(), name.to_owned()));
        assert_eq!(names("T, s.U ,\"My \"\"S\"\"\".\"a,b.c\""), expected);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", " ", ",", "a,", ",a", "a,,b", "a.", ".a", "\"a", "\"\"", "a b", "\"a\"b"] {
            assert_eq!(parse_tables(text), Err(TableListError::Malformed), "{text:?}");
        }
        assert_eq!(parse_tables("a.b.c"), Err(TableListError::TooManyParts));
    }
}
