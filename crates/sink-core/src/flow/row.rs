//! The values of a row, as texts.

use std::cmp::Ordering;
use std::fmt;

/// A value of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Not given: the row keeps what it has, a new row takes the default.
    Absent,
    /// SQL NULL.
    Null,
    /// What the type's output function of the source wrote.
    Text(&'a str),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Null => f.write_str("Null"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

/// Room made for a value before it is known, in bytes.
const USUAL_BYTES: usize = 12;
/// Values of most rows. Rows of more take another allocation while they are made.
const USUAL_VALUES: usize = 16;

/// Some values in a row, owned. `Debug` shows no value.
///
/// In one allocation, since there is a row for each change: the texts one after the other, then a mark for each value.
/// Marks are ASCII, so that the whole is one string, which is compared and hashed at once.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Row {
    text: String,
    values: usize,
}

/// Where a value ends in the text of its row, and of which kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark(u64);

impl Mark {
    /// Digits of seven bits each. Enough for 8 GiB of text, which is more than a server sends in one row.
    const DIGITS: usize = 5;
    const ABSENT: u64 = 0;
    const NULL: u64 = 1;
    const TEXT: u64 = 2;
    const KIND_BITS: u32 = 2;

    fn new(kind: u64, end: usize) -> Self {
        Self((u64::try_from(end).unwrap_or(u64::MAX) << Self::KIND_BITS) | kind)
    }

    fn kind(self) -> u64 {
        self.0 & ((1 << Self::KIND_BITS) - 1)
    }

    fn end(self) -> usize {
        usize::try_from(self.0 >> Self::KIND_BITS).unwrap_or(usize::MAX)
    }

    fn digits(self) -> [u8; Self::DIGITS] {
        [28, 21, 14, 7, 0].map(|shift| ((self.0 >> shift) & 0x7f).to_le_bytes()[0])
    }

    fn of_digits(digits: &[u8]) -> Self {
        Self(digits.iter().fold(0, |number, digit| (number << 7) | u64::from(*digit)))
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

impl<'a> FromIterator<Value<'a>> for Row {
    fn from_iter<I: IntoIterator<Item = Value<'a>>>(values: I) -> Self {
        let values = values.into_iter();
        let expected = values.size_hint().1.unwrap_or(0);
        let mut row =
            Self { text: String::with_capacity(expected * (USUAL_BYTES + Mark::DIGITS)), values: 0 };
        let (mut near, mut far) = ([0; USUAL_VALUES * Mark::DIGITS], Vec::new());
        for value in values {
            let kind = match value {
                Value::Absent => Mark::ABSENT,
                Value::Null => Mark::NULL,
                Value::Text(text) => {
                    row.text.push_str(text);
                    Mark::TEXT
                }
            };
            let digits = Mark::new(kind, row.text.len()).digits();
            match near.get_mut(row.values * Mark::DIGITS..(row.values + 1) * Mark::DIGITS) {
                Some(room) => room.copy_from_slice(&digits),
                None => far.extend(digits),
            }
            row.values += 1;
        }
        let near = &near[..row.values.min(USUAL_VALUES) * Mark::DIGITS];
        for marks in [near, &far] {
            // Digits are ASCII.
            row.text.push_str(str::from_utf8(marks).unwrap_or_default());
        }
        row
    }
}

impl Row {
    fn mark(&self, at: usize) -> Mark {
        let begin = self.text.len() - (self.values - at) * Mark::DIGITS;
        Mark::of_digits(&self.text.as_bytes()[begin..begin + Mark::DIGITS])
    }

    fn marks(&self) -> impl Iterator<Item = Mark> {
        let digits = &self.text.as_bytes()[self.text.len() - self.values * Mark::DIGITS..];
        digits.chunks_exact(Mark::DIGITS).map(Mark::of_digits)
    }

    /// One value.
    ///
    /// # Panics
    /// If the row has no such position.
    #[must_use]
    pub fn value(&self, at: usize) -> Value<'_> {
        assert!(at < self.values, "a row of {} values has none at {at}", self.values);
        let mark = self.mark(at);
        match mark.kind() {
            Mark::TEXT => {
                let begin = if at == 0 { 0 } else { self.mark(at - 1).end() };
                Value::Text(&self.text[begin..mark.end()])
            }
            Mark::NULL => Value::Null,
            _ => Value::Absent,
        }
    }

    /// All values in order.
    pub fn values(&self) -> impl Iterator<Item = Value<'_>> {
        (0..self.values).map(|at| self.value(at))
    }

    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }

    /// Which values are given, as a digest, and how many they are.
    pub(super) fn shape(&self) -> (u64, usize) {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        self.marks().fold((OFFSET, 0), |(digest, given), mark| {
            let is_given = mark.kind() != Mark::ABSENT;
            ((digest ^ u64::from(is_given)).wrapping_mul(PRIME), given + usize::from(is_given))
        })
    }

    /// An order in which small numbers come before large ones.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let values = 0..self.values.min(other.values);
        let each = values.map(|at| rank(self.value(at)).cmp(&rank(other.value(at))));
        let first = each.into_iter().find(|order| order.is_ne());
        first.unwrap_or_else(|| self.values.cmp(&other.values))
    }

    /// These values, and those of `older` where they are absent.
    #[must_use]
    pub fn over(&self, older: &Self) -> Self {
        if self.marks().all(|mark| mark.kind() != Mark::ABSENT) {
            return self.clone();
        }
        let each = self.values().zip(older.values());
        each.map(|(new, old)| if new == Value::Absent { old } else { new }).collect()
    }
}

/// Length before content.
fn rank(value: Value<'_>) -> (usize, &str) {
    match value {
        Value::Absent | Value::Null => (0, ""),
        Value::Text(text) => (text.len(), text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_gives_back_what_it_was_made_of(
            values in prop::collection::vec(prop::option::of(prop::option::of(".{0,200}")), 0..40)
        ) {
            let values: Vec<Value<'_>> = values
                .iter()
                .map(|value| match value {
                    None => Value::Absent,
                    Some(None) => Value::Null,
                    Some(Some(text)) => Value::Text(text),
                })
                .collect();
            let row: Row = values.iter().copied().collect();
            prop_assert_eq!(row.values().collect::<Vec<_>>(), values.clone());
            let unhinted: Row = values.iter().copied().filter(|_| true).collect();
            prop_assert_eq!(&row, &unhinted);
            prop_assert_eq!(row.shape().1, values.iter().filter(|value| **value != Value::Absent).count());
        }
    }

    #[test]
    fn rows_that_only_differ_in_where_values_end_differ() {
        let rows: [Row; 4] = [
            [Value::Text("a"), Value::Text("bc")].into_iter().collect(),
            [Value::Text("ab"), Value::Text("c")].into_iter().collect(),
            [Value::Text("abc"), Value::Text("")].into_iter().collect(),
            [Value::Text("abc"), Value::Null].into_iter().collect(),
        ];
        for (at, one) in rows.iter().enumerate() {
            assert!(rows[at + 1..].iter().all(|other| one != other));
        }
    }
}
