//! The expressions of substitute columns: SQL text in which `$0` stands for the incoming value.
//!
//! Only as much of SQL is read as is needed to know where `$0` is a placeholder and where it is part of a literal,
//! and to refuse what could end the expression early. What the expression means is the target's business.

use std::fmt;

/// Longest expression that is taken, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 16 << 10;

/// What an expression gets for `$0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Input {
    /// The value as the column's type, so that `2 * $0` is as wide as the column.
    #[default]
    Typed,
    /// The value as text: for expressions that cast it themselves (`$0::int8`) or cannot take the column's type.
    Text,
}

/// A checked expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expression {
    /// What stands between the placeholders; one more than there are placeholders.
    pieces: Vec<String>,
    input: Input,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// Longer than [`MAX_EXPRESSION_BYTES`].
    #[error("the expression is longer than {MAX_EXPRESSION_BYTES} bytes")]
    TooLong,
    /// A literal, quoted name or parenthesis without an end.
    #[error("the expression has {0} without an end")]
    Open(&'static str),
    /// A closing parenthesis or bracket that closes nothing.
    #[error("the expression has a closing `{0}` that closes nothing")]
    Unbalanced(char),
    /// A parameter other than `$0`.
    #[error("the expression names the parameter {0}; only $0, the incoming value, exists")]
    Parameter(String),
    /// A semicolon.
    #[error("the expression holds a semicolon; it must be a single expression")]
    Semicolon,
    /// A comment, which could hide what follows.
    #[error("the expression holds a comment (`--` or `/*`); remove it")]
    Comment,
    /// NUL cannot be sent to a database.
    #[error("the expression holds a NUL character")]
    Nul,
}

impl Expression {
    /// Finds the placeholders.
    ///
    /// # Errors
    /// If the text cannot be a single expression, or names a parameter other than `$0`.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_EXPRESSION_BYTES {
            return Err(ExpressionError::TooLong);
        }
        let mut reader = Reader { text, at: 0, open: Vec::new(), pieces: Vec::new(), start: 0 };
        reader.run()?;
        Ok(Self { pieces: reader.pieces, input: Input::Typed })
    }

    /// The same expression with another input.
    #[must_use]
    pub fn with_input(self, input: Input) -> Self {
        Self { input, ..self }
    }

    /// What it gets for `$0`.
    #[must_use]
    pub fn input(&self) -> Input {
        self.input
    }

    /// Whether it does not use the incoming value at all.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.pieces.len() == 1
    }

    /// Whether every `$0` is cast on the spot (`$0::type`), so that its own type does not matter.
    #[must_use]
    pub fn casts_every_input(&self) -> bool {
        !self.is_constant() && self.pieces[1..].iter().all(|piece| piece.trim_start().starts_with("::"))
    }

    /// The SQL with `value` in the place of `$0`.
    #[must_use]
    pub fn with(&self, value: &str) -> String {
        self.pieces.join(value)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with("$0"))
    }
}

/// Reads an expression from left to right.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Closing characters that are still to come.
    open: Vec<char>,
    pieces: Vec<String>,
    /// Where the current piece began.
    start: usize,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), ExpressionError> {
        let mut before = ' ';
        while let Some(next) = self.rest().chars().next() {
            match next {
                '\0' => return Err(ExpressionError::Nul),
                ';' => return Err(ExpressionError::Semicolon),
                '-' | '/' if self.rest().starts_with("--") || self.rest().starts_with("/*") => {
                    return Err(ExpressionError::Comment);
                }
                '\'' => self.literal(self.is_escape_literal())?,
                '"' => self.quoted_name()?,
                '$' if is_name(before) => self.at += 1,
                '$' => self.dollar()?,
                '(' => self.push(')'),
                '[' => self.push(']'),
                ')' | ']' => self.pop(next)?,
                _ => self.at += next.len_utf8(),
            }
            before = next;
        }
        match self.open.last() {
            Some(')') => Err(ExpressionError::Open("an opening parenthesis")),
            Some(_) => Err(ExpressionError::Open("an opening bracket")),
            None => {
                self.pieces.push(self.text[self.start..].to_owned());
                Ok(())
            }
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn push(&mut self, close: char) {
        self.open.push(close);
        self.at += 1;
    }

    fn pop(&mut self, close: char) -> Result<(), ExpressionError> {
        if self.open.pop() != Some(close) {
            return Err(ExpressionError::Unbalanced(close));
        }
        self.at += 1;
        Ok(())
    }

    /// Whether the quote at hand opens a literal with backslash escapes: `E'…'`.
    fn is_escape_literal(&self) -> bool {
        let mut before = self.text[..self.at].chars().rev();
        matches!(before.next(), Some('e' | 'E' | 'b' | 'B')) && !before.next().is_some_and(is_name)
    }

    /// `'…'`, in which a doubled quote is a quote; with `escapes`, a backslash protects what follows. `b'…'` has
    /// escapes on CockroachDB and only digits on PostgreSQL, so it is read with them.
    fn literal(&mut self, escapes: bool) -> Result<(), ExpressionError> {
        let mut rest = self.text[self.at + 1..].char_indices().peekable();
        while let Some((offset, next)) = rest.next() {
            match next {
                '\0' => return Err(ExpressionError::Nul),
                '\\' if escapes => drop(rest.next()),
                '\'' if rest.peek().is_some_and(|(_, after)| *after == '\'') => drop(rest.next()),
                '\'' => {
                    self.at += 1 + offset + 1;
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(ExpressionError::Open("a literal"))
    }

    /// `"…"`, in which a doubled quote is a quote.
    fn quoted_name(&mut self) -> Result<(), ExpressionError> {
        let mut rest = self.text[self.at + 1..].char_indices().peekable();
        while let Some((offset, next)) = rest.next() {
            match next {
                '\0' => return Err(ExpressionError::Nul),
                '"' if rest.peek().is_some_and(|(_, after)| *after == '"') => drop(rest.next()),
                '"' => {
                    self.at += 1 + offset + 1;
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(ExpressionError::Open("a quoted name"))
    }

    /// `$0`, another parameter, a dollar-quoted literal, or a lone dollar.
    fn dollar(&mut self) -> Result<(), ExpressionError> {
        let after = &self.rest()[1..];
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        if digits == "0" {
            self.pieces.push(self.text[self.start..self.at].to_owned());
            self.at += 2;
            self.start = self.at;
            return Ok(());
        }
        if !digits.is_empty() {
            return Err(ExpressionError::Parameter(format!("${digits}")));
        }
        let tag: String = after.chars().take_while(|c| is_name(*c) && *c != '$').collect();
        if !after[tag.len()..].starts_with('$') {
            self.at += 1;
            return Ok(());
        }
        let quote = format!("${tag}$");
        let inside = self.at + quote.len();
        match self.text[inside..].find(&quote) {
            Some(end) if self.text[inside..inside + end].contains('\0') => Err(ExpressionError::Nul),
            Some(end) => {
                self.at = inside + end + quote.len();
                Ok(())
            }
            None => Err(ExpressionError::Open("a dollar-quoted literal")),
        }
    }
}

/// Whether a character can be inside an unquoted name.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_v(text: &str) -> String {
        Expression::parse(text).unwrap().with("v")
    }

    #[test]
    fn placeholders_outside_literals_and_names_are_replaced() {
        assert_eq!(with_v("2 * $0"), "2 * v");
        assert_eq!(with_v("$0 || $0"), "v || v");
        assert_eq!(with_v("true"), "true");
        for untouched in [
            "'$0'",
            "'it''s $0'",
            "\"$0\"",
            "\"a\"\"$0\"",
            "E'\\'$0'",
            "$$ $0 $$",
            "$t$ $0 $$ $t$",
            "name$0",
            "'\\' || \"$0\"",
        ] {
            assert_eq!(with_v(untouched), untouched);
            assert!(Expression::parse(untouched).unwrap().is_constant());
        }
        assert_eq!(with_v("'\\' || $0 || ''"), "'\\' || v || ''", "a plain literal has no escapes");
        assert_eq!(with_v("coalesce($0, 'é$0')"), "coalesce(v, 'é$0')");
        assert_eq!(with_v("($0)::json->>'$0'"), "(v)::json->>'$0'");
        assert_eq!(with_v("arr[$0]"), "arr[v]");
    }

    #[test]
    fn what_is_no_single_expression_is_refused() {
        for (text, error) in [
            ("$0; DROP TABLE t", ExpressionError::Semicolon),
            ("$0 -- more", ExpressionError::Comment),
            ("$0 /* more", ExpressionError::Comment),
            ("$0) OR (true", ExpressionError::Unbalanced(')')),
            ("($0]", ExpressionError::Unbalanced(']')),
            ("($0", ExpressionError::Open("an opening parenthesis")),
            ("'$0", ExpressionError::Open("a literal")),
            ("E'$0\\'", ExpressionError::Open("a literal")),
            ("\"$0", ExpressionError::Open("a quoted name")),
            ("$t$ $0", ExpressionError::Open("a dollar-quoted literal")),
            ("$1 + 1", ExpressionError::Parameter("$1".into())),
            ("$01", ExpressionError::Parameter("$01".into())),
            ("'\0'", ExpressionError::Nul),
        ] {
            assert_eq!(Expression::parse(text), Err(error), "{text}");
        }
        assert!(Expression::parse("';' || $0").is_ok());
        assert_eq!(Expression::parse(&"x".repeat(MAX_EXPRESSION_BYTES + 1)), Err(ExpressionError::TooLong));
    }

    #[test]
    fn explicit_casts_are_seen() {
        let casts = |text| Expression::parse(text).unwrap().casts_every_input();
        assert!(casts("$0::int8 * 2") && casts("$0 ::text"));
        assert!(!casts("$0::int8 * $0") && !casts("true") && !casts("$0"));
    }

    proptest! {
        #[test]
        fn never_panics_and_prints_what_it_read(text in "[a-zé$0-9'\"();\\[\\]\\\\ :\\-/*eE]{0,40}|\\PC*") {
            if let Ok(expression) = Expression::parse(&text) {
                prop_assert_eq!(expression.to_string(), text);
            }
        }

        #[test]
        fn what_is_parsed_cannot_close_what_is_around_it(text in "[a$0'\"()\\\\ eE]{0,24}") {
            // Inside parentheses it is still one expression: the closing one is not swallowed by a literal.
            if Expression::parse(&text).is_ok() {
                let wrapped = format!("({text} )");
                prop_assert!(Expression::parse(&wrapped).is_ok(), "{}", wrapped);
            }
        }
    }
}
