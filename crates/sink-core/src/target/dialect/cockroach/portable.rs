//! Which of PostgreSQL's expressions mean the same on CockroachDB. Only what is known to is taken; a condition left out is a
//! note to the operator, one that means something else would refuse rows.

/// Words that may stand in an expression.
const WORDS: &[&str] = &[
    "and", "or", "not", "is", "null", "true", "false", "in", "between", "any", "all", "array", "case",
    "when", "then", "else", "end", "distinct", "from",
];
/// Functions with the same meaning for the same arguments.
const FUNCTIONS: &[&str] = &["lower", "upper", "length", "char_length", "coalesce", "abs"];
/// Types by words; what several words make up is allowed if each word is.
const TYPES: &[&str] = &[
    "text",
    "character",
    "varying",
    "integer",
    "bigint",
    "smallint",
    "numeric",
    "boolean",
    "double",
    "precision",
    "date",
    "uuid",
];
/// Operators with the same meaning. Division is not one of them: it gives decimals there.
const OPERATORS: &[&str] = &["=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "||", "::"];

/// A piece of an expression.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Text(&'a str),
    Number,
    Operator(&'a str),
    Mark(char),
}

/// The expression with `VALUE` replaced, if it means the same there. Columns are those of the table.
pub(super) fn expression(text: &str, columns: &[&str], value: Option<&str>) -> Option<String> {
    let tokens = tokens(text)?;
    let (mut out, mut copied) = (String::new(), 0);
    for (at, (begin, token)) in tokens.iter().enumerate() {
        let called = matches!(tokens.get(at + 1), Some((_, Token::Mark('('))));
        let before = at.checked_sub(1).map(|before| &tokens[before].1);
        let cast = matches!(before, Some(Token::Operator("::") | Token::Word(_)));
        let same = match token {
            Token::Word("VALUE") => {
                out.push_str(&text[copied..*begin]);
                out.push_str(value?);
                copied = begin + "VALUE".len();
                true
            }
            Token::Word(word) => {
                let lower = word.to_lowercase();
                let listed = |list: &[&str]| list.contains(&lower.as_str());
                listed(WORDS)
                    || columns.contains(word) && !called
                    || called && listed(FUNCTIONS)
                    || cast && listed(TYPES)
            }
            Token::Quoted(name) => {
                let plain = name[1..name.len() - 1].replace("\"\"", "\"");
                !called && columns.contains(&plain.as_str())
            }
            Token::Operator(operator) => OPERATORS.contains(operator),
            // A backslash would be read by the session's settings at the source.
            Token::Text(text) => !text.contains('\\'),
            Token::Number | Token::Mark(_) => true,
        };
        if !same {
            return None;
        }
    }
    out.push_str(&text[copied..]);
    Some(out)
}

/// The pieces and where they begin; none if there is something unknown.
fn tokens(text: &str) -> Option<Vec<(usize, Token<'_>)>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let until = |outside: &dyn Fn(char) -> bool| rest.find(outside).unwrap_or(rest.len());
        let length = match first {
            '\'' | '"' => quoted(rest, first)?,
            c if c.is_ascii_digit() => until(&|c| !(c.is_ascii_digit() || c == '.')),
            c if word(c) => until(&|c| !word(c)),
            '(' | ')' | '[' | ']' | ',' => 1,
            _ => Some(until(&|c| !"=<>+-*/|&#~!%^@?:".contains(c))).filter(|length| *length > 0)?,
        };
        let (piece, after) = rest.split_at(length);
        let token = match first {
            '\'' => Token::Text(piece),
            '"' => Token::Quoted(piece),
            c if c.is_ascii_digit() => Token::Number,
            c if word(c) => Token::Word(piece),
            '(' | ')' | '[' | ']' | ',' => Token::Mark(first),
            _ => Token::Operator(piece),
        };
        tokens.push((text.len() - rest.len(), token));
        rest = after.trim_start();
    }
    Some(tokens)
}

/// Length of a text in quotes, which are doubled inside.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            continue;
        }
        if chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
        } else {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        expression(text, &["price", "state", "I d"], Some("\"price\""))
    }

    #[test]
    fn comparisons_lists_and_casts_are_taken() {
        for text in [
            "(price > (0)::numeric)",
            "((price >= 1) AND (price <= 10))",
            "((state)::text = ANY ((ARRAY['a'::character varying, 'it''s'::character varying])::text[]))",
            "(length(state) > 3)",
            "(\"I d\" IS NOT NULL)",
        ] {
            assert_eq!(read(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_value_of_a_domain_is_the_column() {
        assert_eq!(read("(VALUE > 0)").unwrap(), "(\"price\" > 0)");
        assert_eq!(expression("(VALUE > 0)", &[], None), None);
    }

    #[test]
    fn what_may_mean_something_else_is_refused() {
        for text in [
            "(price / 2 > 1)",
            "(state ~ '^a'::text)",
            "my_function(price)",
            "(price > other)",
            "(state = 'a\\b')",
            "(state = 'open)",
            "(price)::my_type",
            "(state ~~ 'a%')",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
