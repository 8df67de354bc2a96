//! Words of SQL text, as far as it takes to tell what a statement is about.

use std::borrow::Cow;

/// One word or sign. Values are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Letters, digits, `_`, `$` and whatever is not ASCII: a keyword, a name or a number.
    Word(&'a str),
    /// In back-quotes.
    Name(Cow<'a, str>),
    /// In single or double quotes; the second are names where a session says so. Without the quotes, not unescaped.
    Quoted(&'a [u8]),
    /// Any other sign.
    Sign(u8),
}

impl Token<'_> {
    /// Whether it is this keyword, given in upper case. Names in quotes never are.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// As a name, whichever way it is written.
    pub(super) fn name(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Word(word) => Some(Cow::Borrowed(word)),
            Self::Name(name) => Some(Cow::Borrowed(name)),
            Self::Quoted(text) => Some(String::from_utf8_lossy(text)),
            Self::Sign(_) => None,
        }
    }
}

/// Goes through a statement. Comments are passed over, except for those that servers execute, `/*!… */` and `/*M!… */`:
/// what is in them counts.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// Takes the next token if it is this keyword.
    pub(super) fn eat(&mut self, keyword: &str) -> bool {
        let mut ahead = self.clone();
        let found = ahead.next().is_some_and(|token| token.is(keyword));
        if found {
            *self = ahead;
        }
        found
    }

    /// Takes these keywords if they all come, one after the other.
    pub(super) fn eat_all(&mut self, keywords: &[&str]) -> bool {
        let mut ahead = self.clone();
        let found = keywords.iter().all(|keyword| ahead.eat(keyword));
        if found {
            *self = ahead;
        }
        found
    }

    /// Takes the next token if it is this sign.
    pub(super) fn eat_sign(&mut self, sign: u8) -> bool {
        let mut ahead = self.clone();
        let found = ahead.next() == Some(Token::Sign(sign));
        if found {
            *self = ahead;
        }
        found
    }

    /// The next token, which stays.
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.clone().next()
    }

    /// Passes over white space and comments.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            self.rest = match self.rest {
                [b'/', b'*', b'!', rest @ ..] | [b'/', b'*', b'M' | b'm', b'!', rest @ ..] => {
                    let version = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    rest.get(version..).unwrap_or_default()
                }
                // The end of such a comment, or nothing that means anything.
                [b'*', b'/', rest @ ..] => rest,
                [b'/', b'*', rest @ ..] => behind(rest, b"*/"),
                [b'#', rest @ ..] => behind(rest, b"\n"),
                [b'-', b'-'] => &[],
                [b'-', b'-', next, rest @ ..] if next.is_ascii_whitespace() || next.is_ascii_control() => {
                    if *next == b'\n' {
                        rest
                    } else {
                        behind(rest, b"\n")
                    }
                }
                _ => return,
            };
        }
    }
}

/// What follows the first of these; nothing if they do not come.
fn behind<'a>(text: &'a [u8], end: &[u8]) -> &'a [u8] {
    let at = text.windows(end.len()).position(|window| window == end);
    at.and_then(|at| text.get(at + end.len()..)).unwrap_or_default()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// Splits behind the closing quote. A doubled one does not close; behind a back-slash nothing does, if `escapes`.
fn quoted(text: &[u8], quote: u8, escapes: bool) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let next = text.get(at + 1);
        if *byte == quote && next == Some(&quote) || *byte == b'\\' && escapes {
            at += 2;
        } else if *byte == quote {
            break;
        } else {
            at += 1;
        }
    }
    let at = at.min(text.len());
    (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default())
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip();
        let (first, rest) = self.rest.split_first()?;
        match first {
            b'`' => {
                let (name, rest) = quoted(rest, b'`', false);
                self.rest = rest;
                let name = String::from_utf8_lossy(name);
                let name = if name.contains("``") { Cow::Owned(name.replace("``", "`")) } else { name };
                Some(Token::Name(name))
            }
            b'\'' | b'"' => {
                let (text, rest) = quoted(rest, *first, true);
                self.rest = rest;
                Some(Token::Quoted(text))
            }
            byte if is_word(*byte) => {
                let length = self.rest.iter().take_while(|byte| is_word(**byte)).count();
                let (word, rest) = self.rest.split_at(length);
                self.rest = rest;
                // Other character sets than UTF-8: not a keyword, and a name that is not replicated.
                Some(Token::Word(std::str::from_utf8(word).unwrap_or("\u{fffd}")))
            }
            sign => {
                self.rest = rest;
                Some(Token::Sign(*sign))
            }
        }
    }
}
