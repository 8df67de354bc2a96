//! Names of things in the target database.

use std::fmt;
use std::sync::Arc;

/// One SQL identifier as the catalogue spells it: never empty, never with a NUL character. Not quoted;
/// quoting is the dialect's business. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(Arc<str>);

/// Why a text is not an [`Ident`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentError {
    /// The empty text names nothing.
    #[error("a name must not be empty")]
    Empty,
    /// No SQL product stores NUL in a name.
    #[error("a name must not contain a NUL character")]
    Nul,
}

impl Ident {
    /// Takes a name as it is, case and all.
    ///
    /// # Errors
    /// If the text is empty or holds a NUL character.
    pub fn new(text: impl AsRef<str>) -> Result<Self, IdentError> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(IdentError::Empty);
        }
        if text.contains('\0') {
            return Err(IdentError::Nul);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The name, unquoted.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A schema of one database of the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId {
    /// The database.
    pub database: Ident,
    /// The schema within it.
    pub schema: Ident,
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.schema)
    }
}

/// A table of the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// The schema it is in.
    pub schema: SchemaId,
    /// The table within the schema.
    pub table: Ident,
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_every_character_but_nul() {
        for name in ["a", "A.b", "\"", "📦", " "] {
            assert_eq!(Ident::new(name).unwrap().as_str(), name);
        }
        assert_eq!(Ident::new(""), Err(IdentError::Empty));
        assert_eq!(Ident::new("a\0b"), Err(IdentError::Nul));
    }
}
