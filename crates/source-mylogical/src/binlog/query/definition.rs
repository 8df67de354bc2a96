//! Statements that change definitions.

use super::MOST_NAMES;
use super::tokens::{Token, Tokens};

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The database, if it is named; else it is the session's.
    pub database: Option<String>,
    /// The table.
    pub table: String,
}

/// How rows are gone that no event names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// TRUNCATE TABLE.
    Truncate,
    /// DROP TABLE, DROP DATABASE.
    Drop,
    /// CREATE OR REPLACE TABLE.
    Replace,
    /// ALTER TABLE that drops, empties or exchanges partitions, swaps the tablespace, or ignores duplicates.
    Alter,
}

/// A statement that changes definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its first words.
    pub verb: &'static str,
    /// The tables it names. At most [`MOST_NAMES`].
    pub tables: Vec<Name>,
    /// The database that it is about as a whole.
    pub database: Option<String>,
    /// Whether rows of the tables, or of the database, are gone by it.
    pub loss: Option<Loss>,
    /// Rows follow, and an end: `CREATE TABLE … START TRANSACTION` (MySQL).
    pub with_rows: bool,
}

impl Definition {
    const fn other(verb: &'static str) -> Self {
        Self { verb, tables: Vec::new(), database: None, loss: None, with_rows: false }
    }

    fn of(verb: &'static str, tables: Vec<Name>, loss: Option<Loss>) -> Self {
        Self { tables, loss, ..Self::other(verb) }
    }

    /// Reads what follows the verb, which is in upper case.
    pub(super) fn parse(verb: &str, mut tokens: Tokens<'_>) -> Self {
        match verb {
            "CREATE" => create(&mut tokens),
            "ALTER" => alter(&mut tokens),
            "DROP" => drop_of(&mut tokens),
            "RENAME" => rename(&mut tokens),
            _ => {
                tokens.eat("TABLE");
                Self::of("TRUNCATE TABLE", name(&mut tokens).into_iter().collect(), Some(Loss::Truncate))
            }
        }
    }
}

fn create(tokens: &mut Tokens<'_>) -> Definition {
    let replace = tokens.eat_all(&["OR", "REPLACE"]);
    if tokens.eat("TEMPORARY") {
        return Definition::other("CREATE TEMPORARY TABLE");
    }
    if tokens.eat("TABLE") {
        if_exists(tokens);
        let tables = name(tokens).into_iter().collect();
        let loss = replace.then_some(Loss::Replace);
        let with_rows = ends_with_start(tokens);
        return Definition { with_rows, ..Definition::of("CREATE TABLE", tables, loss) };
    }
    if tokens.eat("DATABASE") || tokens.eat("SCHEMA") {
        if_exists(tokens);
        // OR REPLACE drops it before.
        let loss = replace.then_some(Loss::Drop);
        return Definition { database: simple(tokens), loss, ..Definition::other("CREATE DATABASE") };
    }
    // CREATE [UNIQUE | FULLTEXT | SPATIAL | VECTOR] INDEX name … ON table.
    let mut ahead = tokens.clone();
    let index = ahead.eat("INDEX")
        || ["UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR"].iter().any(|kind| ahead.eat(kind))
            && ahead.eat("INDEX");
    if index {
        return Definition::of("CREATE INDEX", on_table(&mut ahead), None);
    }
    Definition::other("CREATE")
}

fn alter(tokens: &mut Tokens<'_>) -> Definition {
    let mut loss = None;
    loop {
        if tokens.eat("IGNORE") {
            loss = Some(Loss::Alter);
        } else if !tokens.eat("ONLINE") && !tokens.eat("OFFLINE") {
            break;
        }
    }
    if tokens.eat("DATABASE") || tokens.eat("SCHEMA") {
        return Definition { database: simple(tokens), ..Definition::other("ALTER DATABASE") };
    }
    if !tokens.eat("TABLE") {
        return Definition::other("ALTER");
    }
    if_exists(tokens);
    let mut tables: Vec<Name> = name(tokens).into_iter().collect();
    let mut before = None;
    while let Some(token) = tokens.next() {
        if let Some(change) = rows_lost(&token, tokens) {
            loss = Some(change);
        }
        // Columns and keys are renamed as well; and a column may be called rename, behind another word.
        let first = matches!(before, None | Some(Token::Sign(b',')));
        if token.is("RENAME") && first && tables.len() < MOST_NAMES {
            let other = ["COLUMN", "INDEX", "KEY"].iter().any(|what| tokens.eat(what));
            if !other {
                let _ = tokens.eat("TO") || tokens.eat("AS") || tokens.eat_sign(b'=');
                tables.extend(name(tokens));
            }
        }
        before = Some(token);
    }
    Definition::of("ALTER TABLE", tables, loss)
}

/// Whether rows go with `DROP PARTITION` and the like.
fn rows_lost(token: &Token<'_>, tokens: &Tokens<'_>) -> Option<Loss> {
    let next = tokens.peek()?;
    let partition = next.is("PARTITION");
    let takes = ["DROP", "TRUNCATE", "EXCHANGE", "CONVERT"].iter().any(|word| token.is(word)) && partition;
    // CONVERT TABLE … TO PARTITION brings rows.
    let brings = token.is("CONVERT") && next.is("TABLE");
    let swaps = (token.is("DISCARD") || token.is("IMPORT")) && (partition || next.is("TABLESPACE"));
    (takes || brings || swaps).then_some(Loss::Alter)
}

fn drop_of(tokens: &mut Tokens<'_>) -> Definition {
    if tokens.eat("TEMPORARY") {
        return Definition::other("DROP TEMPORARY TABLE");
    }
    if tokens.eat("TABLE") || tokens.eat("TABLES") {
        if_exists(tokens);
        let mut tables = Vec::new();
        while let Some(table) = name(tokens).filter(|_| tables.len() < MOST_NAMES) {
            tables.push(table);
            if !tokens.eat_sign(b',') {
                break;
            }
        }
        return Definition::of("DROP TABLE", tables, Some(Loss::Drop));
    }
    if tokens.eat("DATABASE") || tokens.eat("SCHEMA") {
        if_exists(tokens);
        let database = simple(tokens);
        return Definition { database, loss: Some(Loss::Drop), ..Definition::other("DROP DATABASE") };
    }
    if tokens.eat("INDEX") {
        return Definition::of("DROP INDEX", on_table(tokens), None);
    }
    Definition::other("DROP")
}

fn rename(tokens: &mut Tokens<'_>) -> Definition {
    if !tokens.eat("TABLE") && !tokens.eat("TABLES") {
        return Definition::other("RENAME");
    }
    if_exists(tokens);
    let mut tables = Vec::new();
    while let Some(from) = name(tokens).filter(|_| tables.len() < MOST_NAMES) {
        tables.push(from);
        // [WAIT n | NOWAIT] may stand before TO (MariaDB).
        if !tokens.by_ref().any(|token| token.is("TO")) {
            break;
        }
        tables.extend(name(tokens));
        if !tokens.eat_sign(b',') {
            break;
        }
    }
    Definition::of("RENAME TABLE", tables, None)
}

/// Passes over `IF [NOT] EXISTS`.
fn if_exists(tokens: &mut Tokens<'_>) {
    let _ = tokens.eat_all(&["IF", "EXISTS"]) || tokens.eat_all(&["IF", "NOT", "EXISTS"]);
}

/// `[database.]table`.
fn name(tokens: &mut Tokens<'_>) -> Option<Name> {
    let first = simple(tokens)?;
    if tokens.eat_sign(b'.') {
        return Some(Name { database: Some(first), table: simple(tokens)? });
    }
    Some(Name { database: None, table: first })
}

fn simple(tokens: &mut Tokens<'_>) -> Option<String> {
    tokens.next().and_then(|token| token.name().map(|name| name.into_owned()))
}

/// The table behind the first ON.
fn on_table(tokens: &mut Tokens<'_>) -> Vec<Name> {
    if tokens.by_ref().any(|token| token.is("ON")) { name(tokens).into_iter().collect() } else { Vec::new() }
}

/// Whether the last words are START TRANSACTION.
fn ends_with_start(tokens: &Tokens<'_>) -> bool {
    let (mut start, mut end) = (false, false);
    for token in tokens.clone() {
        end = start && token.is("TRANSACTION");
        start = token.is("START");
    }
    end
}
