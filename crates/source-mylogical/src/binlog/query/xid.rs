//! Names of XA transactions.

use std::fmt;

use super::tokens::{Token, Tokens};

/// Longest part of a name, in bytes (X/Open XA).
const LONGEST_PART: usize = 64;

/// The name that an application gave to a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Xid {
    format: u32,
    global: Vec<u8>,
    branch: Vec<u8>,
}

impl Xid {
    /// Of its parts; none if one is longer than the standard allows.
    #[must_use]
    pub fn new(format: u32, global: &[u8], branch: &[u8]) -> Option<Self> {
        let fits = global.len() <= LONGEST_PART && branch.len() <= LONGEST_PART;
        fits.then(|| Self { format, global: global.to_vec(), branch: branch.to_vec() })
    }

    /// `X'…'[,X'…'[,n]]` with strings of any notation.
    pub(super) fn parse(tokens: &mut Tokens<'_>) -> Option<Self> {
        let global = part(tokens)?;
        let branch = if tokens.eat_sign(b',') { part(tokens)? } else { Vec::new() };
        let format = if tokens.eat_sign(b',') {
            match tokens.next()? {
                Token::Word(number) => number.parse().ok()?,
                Token::Name(_) | Token::Quoted(_) | Token::Sign(_) => return None,
            }
        } else {
            1
        };
        Self::new(format, &global, &branch)
    }
}

fn part(tokens: &mut Tokens<'_>) -> Option<Vec<u8>> {
    match tokens.next()? {
        Token::Quoted(text) => Some(text.to_vec()),
        Token::Word("X" | "x") => match tokens.next()? {
            Token::Quoted(digits) => hex(digits),
            Token::Word(_) | Token::Name(_) | Token::Sign(_) => None,
        },
        Token::Word(word) => hex(word.strip_prefix("0x")?.as_bytes()),
        Token::Name(_) | Token::Sign(_) => None,
    }
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, left) = digits.as_chunks::<2>();
    if !left.is_empty() || digits.len() > 2 * LONGEST_PART {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// As the servers write it in the log.
impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.global, &self.branch] {
            f.write_str("X'")?;
            for byte in part {
                write!(f, "{byte:02x}")?;
            }
            f.write_str("',")?;
        }
        write!(f, "{}", self.format)
    }
}
