//! What a statement in the log is about.
//!
//! Just enough of SQL is understood to tell apart what begins and ends transactions, what changes definitions, and what
//! changes rows without saying which. Statements come with comments around them, as the server rewrote them, or as a
//! client typed them.

mod definition;
#[cfg(test)]
mod tests;
mod tokens;
mod xid;

pub use definition::{Definition, Loss, Name};
use tokens::{Token, Tokens};
pub use xid::Xid;

/// A statement, as far as a reader of rows needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Nothing but comments.
    Empty,
    /// A transaction begins.
    Begin,
    /// It ends.
    Commit,
    /// It ends, and nothing of it was done.
    Rollback,
    /// A mark of this name. Names are compared in lower case.
    Savepoint(String),
    /// Back to the mark.
    RollbackTo(String),
    /// The mark is gone.
    Release(String),
    /// A transaction with a name of its own begins.
    XaStart(Xid),
    /// Its statements are at their end.
    XaEnd,
    /// It is to be decided later.
    XaPrepare(Xid),
    /// It is decided.
    XaCommit {
        /// Its name.
        xid: Xid,
        /// Without having been prepared.
        one_phase: bool,
    },
    /// It is decided, and nothing of it was done.
    XaRollback(Xid),
    /// Definitions change.
    Definition(Definition),
    /// Neither rows nor definitions of tables change: accounts, variables, maintenance.
    Harmless,
    /// Rows may have changed.
    Change {
        /// The first word.
        verb: &'static str,
        /// Databases and tables that are named with a dot between them, or may be. At most [`MOST_NAMES`].
        names: Vec<Name>,
    },
}

/// Most names taken from one statement.
pub const MOST_NAMES: usize = 1000;

/// Words that begin statements which change rows.
const CHANGES: [&str; 9] = ["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH", "CALL", "DO", "SELECT"];
/// Words that begin statements which change neither rows nor tables.
const HARMLESS: [&str; 24] = [
    "ANALYZE",
    "BACKUP",
    "CACHE",
    "CHANGE",
    "CHECK",
    "CHECKSUM",
    "CLONE",
    "EXPLAIN",
    "FLUSH",
    "GRANT",
    "HELP",
    "INSTALL",
    "KILL",
    "LOCK",
    "OPTIMIZE",
    "PURGE",
    "REPAIR",
    "RESET",
    "REVOKE",
    "SET",
    "SHOW",
    "SHUTDOWN",
    "UNINSTALL",
    "UNLOCK",
];

impl Statement {
    /// Reads the text of a query event.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut tokens = Tokens::new(text);
        for_statement(&mut tokens);
        let Some(first) = tokens.next() else { return Self::Empty };
        let Token::Word(verb) = first else { return Self::change("a statement", text) };
        let verb = verb.to_ascii_uppercase();
        match verb.as_str() {
            "BEGIN" => Self::Begin,
            "START" if tokens.eat("TRANSACTION") => Self::Begin,
            "COMMIT" => Self::Commit,
            "ROLLBACK" => rollback(&mut tokens),
            "SAVEPOINT" => mark(&mut tokens, Self::Savepoint),
            "RELEASE" if tokens.eat("SAVEPOINT") => mark(&mut tokens, Self::Release),
            "XA" => xa(&mut tokens).unwrap_or_else(|| Self::change("XA", text)),
            "CREATE" | "ALTER" | "DROP" | "RENAME" | "TRUNCATE" => {
                Self::Definition(Definition::parse(&verb, tokens))
            }
            verb if HARMLESS.contains(&verb) => Self::Harmless,
            verb => {
                let known = CHANGES.iter().find(|known| **known == verb);
                Self::change(known.copied().unwrap_or("a statement"), text)
            }
        }
    }

    fn change(verb: &'static str, text: &[u8]) -> Self {
        Self::Change { verb, names: names(text) }
    }
}

/// `SET STATEMENT variable=value, … FOR` in front of what it is for (MariaDB).
fn for_statement(tokens: &mut Tokens<'_>) {
    let mut ahead = tokens.clone();
    if ahead.eat_all(&["SET", "STATEMENT"]) && ahead.any(|token| token.is("FOR")) {
        *tokens = ahead;
        for_statement(tokens);
    }
}

fn rollback(tokens: &mut Tokens<'_>) -> Statement {
    tokens.eat("WORK");
    if !tokens.eat("TO") {
        return Statement::Rollback;
    }
    tokens.eat("SAVEPOINT");
    mark(tokens, Statement::RollbackTo)
}

fn mark(tokens: &mut Tokens<'_>, statement: fn(String) -> Statement) -> Statement {
    let name = tokens.next().and_then(|token| token.name().map(|name| name.to_lowercase()));
    statement(name.unwrap_or_default())
}

fn xa(tokens: &mut Tokens<'_>) -> Option<Statement> {
    let verb = tokens.next()?;
    if verb.is("END") {
        return Some(Statement::XaEnd);
    }
    let xid = Xid::parse(tokens)?;
    if verb.is("START") || verb.is("BEGIN") {
        Some(Statement::XaStart(xid))
    } else if verb.is("PREPARE") {
        Some(Statement::XaPrepare(xid))
    } else if verb.is("COMMIT") {
        let one_phase = tokens.eat_all(&["ONE", "PHASE"]);
        Some(Statement::XaCommit { xid, one_phase })
    } else if verb.is("ROLLBACK") {
        Some(Statement::XaRollback(xid))
    } else {
        None
    }
}

/// Names with a dot in them, and those behind words that a table follows.
fn names(text: &[u8]) -> Vec<Name> {
    let mut names = Vec::new();
    let mut tokens = Tokens::new(text);
    let mut follows = false;
    while let Some(token) = tokens.next().filter(|_| names.len() < MOST_NAMES) {
        if ["INTO", "UPDATE", "FROM", "TABLE", "JOIN"].iter().any(|word| token.is(word)) {
            follows = true;
            continue;
        }
        // `INSERT IGNORE INTO`, `UPDATE LOW_PRIORITY t`.
        let modifier = ["IGNORE", "LOW_PRIORITY", "DELAYED", "ONLY"].iter().any(|word| token.is(word));
        if follows && modifier {
            continue;
        }
        let dotted = tokens.peek() == Some(Token::Sign(b'.'));
        let Some(name) = token.name().filter(|_| dotted || follows).map(|name| name.into_owned()) else {
            follows = false;
            continue;
        };
        follows = false;
        if !dotted {
            names.push(Name { database: None, table: name });
            continue;
        }
        tokens.next();
        let table = tokens.peek().and_then(|token| token.name().map(|name| name.into_owned()));
        names.push(Name { database: Some(name), table: table.unwrap_or_default() });
    }
    names
}
