//! The key of a row: from its members, or from what the source sends with a deletion.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use serde_json::value::RawValue;

use super::{CONTRADICTED, IncomingKey, RowError, TableAdmission, UNKNOWN};
use crate::model::{ColumnSchema, RowKey, ValueClass};
use crate::staging::key_text::{canonical, canonical_number};

/// How the source's key compares with the target's key values in the upserts seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alignment {
    Unknown,
    /// The last elements of a key with this many are the target's key, in order.
    Confirmed(usize),
    /// They are not, in some row at least.
    Contradicted,
}

impl TableAdmission {
    /// Writes the key values as a JSON array that is the same text whenever the values have the same text. Where an
    /// expression takes no input there is no value: null stands in its place.
    pub(super) fn canonical_key(&self, values: &[Option<&RawValue>]) -> Result<RowKey, RowError> {
        let given: usize = values.iter().flatten().map(|value| value.get().len() + 1).sum();
        let mut text = String::with_capacity(given + 2);
        text.push('[');
        for (at, value) in self.table.primary_key.iter().zip(values) {
            let column = &self.table.columns[*at];
            if matches!(
                column.class,
                ValueClass::Json { .. } | ValueClass::Array | ValueClass::Composite | ValueClass::Geo { .. }
            ) {
                let (table, sql_type) = (self.name(), column.sql_type.clone());
                return Err(RowError::KeyType { table, column: column.name.to_string(), sql_type });
            }
            if text.len() > 1 {
                text.push(',');
            }
            let Some(value) = value else {
                text.push_str("null");
                continue;
            };
            self.check_kind(*at, value)?;
            if value.get() == "null" {
                return Err(self.wrong_kind(column, "null, being part of the primary key"));
            }
            match column.class {
                ValueClass::Numeric | ValueClass::Float => text.push_str(&canonical_number(value.get())),
                _ => text.push_str(&canonical(value.get())),
            }
        }
        text.push(']');
        Ok(RowKey::from_canonical(text))
    }

    /// Whether the value of a key column comes from the row.
    fn key_takes_value(&self, column: usize) -> bool {
        !self.table.writes_always(column)
    }

    pub(super) fn key_of_deletion(
        &self,
        key: IncomingKey<'_>,
        elements: Option<&[&RawValue]>,
        before: Option<&str>,
    ) -> Result<RowKey, RowError> {
        let mut missing = self.table.key_columns().next();
        if let Some(before) = before {
            match self.key_by_name(&self.members(before, "before")?) {
                Ok(values) => return self.canonical_key(&values),
                Err(column) => missing = Some(column),
            }
        }
        if let IncomingKey::Object(key) = key {
            self.check_text(key)?;
            match self.key_by_name(&self.members(key, "key")?) {
                Ok(values) => return self.canonical_key(&values),
                Err(column) => missing = Some(column),
            }
        }
        match elements {
            Some(elements) => self.key_by_place(elements),
            None => {
                let column = missing.map(|column| column.name.to_string()).unwrap_or_default();
                Err(RowError::KeyMember { table: self.name(), column })
            }
        }
    }

    /// The key from the elements of an array.
    fn key_by_place(&self, elements: &[&RawValue]) -> Result<RowKey, RowError> {
        let key = &self.table.primary_key;
        // The source may or may not have a column that gets its value here.
        let taken = key.iter().filter(|column| self.key_takes_value(**column)).count();
        let has_all = taken < key.len() && elements.len() == key.len();
        let expected = if has_all { key.len() } else { taken };
        let alignment = self.alignment();
        let (length, known) = (elements.len(), alignment == Alignment::Confirmed(elements.len()));
        if length < expected || (length > expected && !known) {
            return Err(RowError::KeyLength { table: self.name(), received: length, expected });
        }
        if alignment == Alignment::Contradicted {
            return Err(RowError::KeyOrder(self.name()));
        }
        // A longer key starts with what only the source has: a hash bucket or a region.
        let mut rest = elements[length - expected..].iter().copied();
        let values = key.iter().map(|column| {
            let takes = self.key_takes_value(*column);
            if takes || has_all { rest.next().filter(|_| takes) } else { None }
        });
        self.canonical_key(&values.collect::<Vec<_>>())
    }

    /// The values of the target's key columns among these members, or the first column that has none.
    fn key_by_name<'s, 'a>(
        &'s self,
        members: &[(Cow<'a, str>, &'a RawValue)],
    ) -> Result<Vec<Option<&'a RawValue>>, &'s ColumnSchema> {
        let value_of = |column: &usize| {
            if !self.key_takes_value(*column) {
                return Ok(None);
            }
            let source = self.table.source_of(*column);
            let exact = members.iter().find(|(name, _)| name == source);
            let folded = source.to_lowercase();
            let hit = exact.or_else(|| members.iter().find(|(name, _)| name.to_lowercase() == folded));
            hit.map(|(_, value)| Some(*value)).ok_or(&self.table.columns[*column])
        };
        self.table.primary_key.iter().map(value_of).collect()
    }

    fn alignment(&self) -> Alignment {
        match self.alignment.load(Ordering::Relaxed) {
            UNKNOWN => Alignment::Unknown,
            CONTRADICTED => Alignment::Contradicted,
            length => Alignment::Confirmed(length),
        }
    }

    /// A row whose key elements are all different shows which belongs to which column; others prove nothing. One row
    /// that contradicts outweighs any number that confirm.
    pub(super) fn learn_alignment(&self, elements: &[&RawValue], values: &[Option<&RawValue>]) {
        if elements.len() == 1 && values.len() == 1 {
            return;
        }
        let elements: Vec<Cow<'_, str>> = elements.iter().map(|element| canonical(element.get())).collect();
        let values: Vec<Option<Cow<'_, str>>> =
            values.iter().map(|value| value.map(|value| canonical(value.get()))).collect();
        let same = if elements.len() == values.len() {
            elements.iter().zip(&values).all(|(element, value)| value.as_ref().is_none_or(|v| v == element))
        } else {
            let taken: Vec<&Cow<'_, str>> = values.iter().flatten().collect();
            elements.len() >= taken.len() && elements[elements.len() - taken.len()..].iter().eq(taken)
        };
        let distinct = elements.iter().enumerate().all(|(at, element)| !elements[..at].contains(element));
        let known = self.alignment.load(Ordering::Relaxed);
        if !same {
            self.alignment.store(CONTRADICTED, Ordering::Relaxed);
        } else if distinct && known != CONTRADICTED {
            self.alignment.store(elements.len(), Ordering::Relaxed);
        }
    }
}
