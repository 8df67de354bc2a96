//! Texts of replication commands and of statements. The grammar of the commands knows no parameters, and neither does
//! the simple protocol, so names and texts are quoted here, and nowhere else.

use crate::Lsn;

/// An identifier in double quotes.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name with its schema, both in double quotes.
#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// A text constant of a statement. Means the same whatever `standard_conforming_strings` is.
#[must_use]
pub fn literal(text: &str) -> String {
    if text.contains('\\') {
        return format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// A text in a replication command, which has no escapes beside the doubled quote.
fn command_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The plugin reads its list of publications as identifiers: without quotes, names are folded to lower case and split
/// at commas.
#[must_use]
pub fn publication_names(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| identifier(name)).collect();
    quoted.join(",")
}

fn publication_list(names: &[String]) -> String {
    command_text(&publication_names(names))
}

pub(super) fn start_replication(slot: &str, from: Lsn, publications: &[String]) -> String {
    format!(
        "START_REPLICATION SLOT {} LOGICAL {from} (proto_version '1', publication_names {}, messages 'true')",
        identifier(slot),
        publication_list(publications),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_constant_means_itself_whatever_backslashes_mean() {
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
        assert_eq!(qualified("S", "a\"b"), r#""S"."a""b""#);
    }

    #[test]
    fn names_keep_their_letters_commas_and_quotes() {
        let names = ["Pub Mixed,X".to_owned(), "a'b\"c".to_owned()];
        assert_eq!(publication_list(&names), r#"'"Pub Mixed,X","a''b""c"'"#);
        assert_eq!(
            start_replication("1slot", Lsn::new(0x1_0000_000A), &names[..1]),
            "START_REPLICATION SLOT \"1slot\" LOGICAL 1/A (proto_version '1', publication_names '\"Pub Mixed,X\"', \
             messages 'true')"
        );
    }
}
