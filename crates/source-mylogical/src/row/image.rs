//! One row, before or after a change.

use sink_core::flow::Value;

/// Where a value is in the text of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Absent,
    Null,
    Text { begin: usize, end: usize },
}

/// One row, before or after a change. Its memory is used again for the next one. `Debug` shows no value.
#[derive(Clone, Default)]
pub struct Image {
    pub(super) text: String,
    pub(super) fields: Vec<Field>,
}

/// A text that became larger than this, in bytes, is given back before the next row.
const KEPT_BYTES: usize = 1 << 20;

impl Image {
    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no column: there was no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value of a column; absent if there is no such column.
    #[must_use]
    pub fn value(&self, at: usize) -> Value<'_> {
        self.fields.get(at).map_or(Value::Absent, |field| self.lend(*field))
    }

    /// All values in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = Value<'_>> {
        self.fields.iter().map(|field| self.lend(*field))
    }

    fn lend(&self, field: Field) -> Value<'_> {
        match field {
            Field::Absent => Value::Absent,
            Field::Null => Value::Null,
            Field::Text { begin, end } => Value::Text(&self.text[begin..end]),
        }
    }

    pub(super) fn clear(&mut self) {
        self.fields.clear();
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
    }

    /// Takes a value over from another image.
    pub(super) fn copy(&mut self, other: &Self, at: usize) {
        let field = match other.value(at) {
            Value::Absent => Field::Absent,
            Value::Null => Field::Null,
            Value::Text(text) => {
                let begin = self.text.len();
                self.text.push_str(text);
                Field::Text { begin, end: self.text.len() }
            }
        };
        self.fields.push(field);
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}
