//! The fields of one row of an answer, taken in order.

use std::str::FromStr;

use super::CatalogError;
use crate::transport::Row;

/// A row that is read from left to right.
pub(crate) struct Fields<'a> {
    what: &'static str,
    left: std::slice::Iter<'a, Option<String>>,
}

impl<'a> Fields<'a> {
    /// `what` says in errors what is being read.
    pub(crate) fn new(what: &'static str, row: &'a Row) -> Self {
        Self { what, left: row.iter() }
    }

    pub(crate) fn malformed(&self, expected: &'static str) -> CatalogError {
        CatalogError::Malformed { what: self.what, expected }
    }

    /// A text, or NULL.
    pub(crate) fn maybe_text(&mut self) -> Result<Option<&'a str>, CatalogError> {
        let field = self.left.next().ok_or_else(|| self.malformed("a row of that many columns"))?;
        Ok(field.as_deref())
    }

    /// A text.
    pub(crate) fn text(&mut self) -> Result<&'a str, CatalogError> {
        self.maybe_text()?.ok_or_else(|| self.malformed("a text"))
    }

    /// A text of its own.
    pub(crate) fn string(&mut self) -> Result<String, CatalogError> {
        self.text().map(str::to_owned)
    }

    /// A text of its own, or NULL.
    pub(crate) fn maybe_string(&mut self) -> Result<Option<String>, CatalogError> {
        Ok(self.maybe_text()?.map(str::to_owned))
    }

    /// A boolean.
    pub(crate) fn flag(&mut self) -> Result<bool, CatalogError> {
        match self.text()? {
            "t" => Ok(true),
            "f" => Ok(false),
            _ => Err(self.malformed("true or false")),
        }
    }

    /// A number, or whatever else is written as text.
    pub(crate) fn parsed<T: FromStr>(&mut self) -> Result<T, CatalogError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.malformed("a number in its range"))
    }

    /// The same, or NULL.
    pub(crate) fn maybe_parsed<T: FromStr>(&mut self) -> Result<Option<T>, CatalogError> {
        let Some(text) = self.maybe_text()? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.malformed("a number in its range"))
    }

    /// One character of the catalogue's many enumerations.
    pub(crate) fn letter(&mut self) -> Result<char, CatalogError> {
        let mut letters = self.text()?.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Ok(letter),
            (Some(_) | None, _) => Err(self.malformed("one letter")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_order_and_say_what_they_are_not() {
        let row: Row = vec![Some("t".into()), None, Some("7".into()), Some("xy".into())];
        let mut fields = Fields::new("a test", &row);
        assert!(fields.flag().unwrap());
        assert_eq!(fields.maybe_text().unwrap(), None);
        assert_eq!(fields.parsed::<u32>().unwrap(), 7);
        let error = fields.letter().unwrap_err().to_string();
        assert!(error.contains("a test") && error.contains("one letter"), "{error}");
        assert!(fields.text().is_err(), "there is no fifth");
    }
}
