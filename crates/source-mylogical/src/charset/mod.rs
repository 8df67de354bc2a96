//! Character sets of MySQL and MariaDB, and text in them as UTF-8.

mod collations;
mod convert;
mod multi;
mod single;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::table::PlanProblem;
pub use multi::Multi;

/// A character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// Bytes, not text.
    Binary,
    /// `utf8mb4`, `utf8mb3` and `ascii`.
    Utf8,
    /// `utf16` and `ucs2`: big-endian.
    Utf16,
    /// `utf16le`.
    Utf16Le,
    /// `utf32`.
    Utf32,
    /// `latin1`: Windows-1252, with control characters where that has none.
    Latin1,
    /// One byte for each character: the upper half.
    Single(&'static [u16; 128]),
    /// `swe7`.
    Swe7,
    /// One byte or more.
    Multi(Multi),
}

/// Bytes that are not text in their character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotText;

impl Charset {
    /// By its name on the server. `None`: we cannot convert it.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "binary" => Self::Binary,
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Self::Utf8,
            "utf16" | "ucs2" => Self::Utf16,
            "utf16le" => Self::Utf16Le,
            "utf32" => Self::Utf32,
            "latin1" => Self::Latin1,
            "swe7" => Self::Swe7,
            _ => {
                return single::upper(name)
                    .map(Self::Single)
                    .or_else(|| Multi::of_name(name).map(Self::Multi));
            }
        })
    }

    /// Appends the bytes as UTF-8.
    ///
    /// # Errors
    /// If they are not text. Part of it may have been appended.
    pub fn decode(self, bytes: &[u8], text: &mut String) -> Result<(), NotText> {
        convert::decode(self, bytes, text)
    }
}

/// Which collation has which character set. The numbers of common collations are the same on every server; those that are
/// not are to be asked for once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Charsets {
    asked: HashMap<u32, Option<Charset>>,
}

impl Charsets {
    /// What the server says, beside what is known: numbers of collations and names of character sets. On MySQL
    /// `SELECT id, character_set_name FROM information_schema.collations`, on MariaDB the same of
    /// `information_schema.collation_character_set_applicability`, which has those of version 11 as well.
    pub fn new<'a>(answers: impl IntoIterator<Item = (u32, &'a str)>) -> Self {
        Self { asked: answers.into_iter().map(|(id, name)| (id, Charset::of_name(name))).collect() }
    }

    pub(crate) fn of(&self, collation: u32) -> Result<Charset, PlanProblem> {
        match self.asked.get(&collation) {
            Some(charset) => charset.ok_or(PlanProblem::UnknownCharset(collation)),
            None => {
                let name =
                    collations::charset_of(collation).ok_or(PlanProblem::UnknownCollation(collation))?;
                Charset::of_name(name).ok_or(PlanProblem::UnknownCharset(collation))
            }
        }
    }
}
