//! A part of a table, and the question for a chunk of it. Pure.

use std::sync::Arc;

use mysql_async::Value;
use serde_json::json;

use super::key::{Condition, Key};
use super::layout::Layout;
use crate::assemble::TableName;
use crate::catalog::quoted;

/// Which first parts of the key are in a range: above one number, at most another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bounds {
    /// None: from the beginning.
    pub(super) above: Option<i128>,
    /// None: to the end.
    pub(super) upto: Option<i128>,
}

impl Bounds {
    /// As it is kept.
    #[must_use]
    pub(super) fn written(self) -> String {
        let number = |bound: Option<i128>| bound.map(|number| number.to_string());
        json!({ "above": number(self.above), "upto": number(self.upto) }).to_string()
    }

    /// What was kept.
    #[must_use]
    pub(super) fn read(text: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let number = |name: &str| match value.get(name)? {
            serde_json::Value::Null => Some(None),
            bound => bound.as_str()?.parse().ok().map(Some),
        };
        Some(Self { above: number("above")?, upto: number("upto")? })
    }

    /// So many ranges of about the same width between two numbers; open at both ends, for rows may come to lie there.
    #[must_use]
    pub(super) fn cut(least: i128, most: i128, ranges: u64) -> Vec<Self> {
        let ranges = i128::from(ranges.max(1));
        let width = (most.saturating_sub(least) / ranges).max(1);
        let mut all = Vec::new();
        let mut above = None;
        for number in 1..ranges {
            let upto = least.saturating_add(width.saturating_mul(number));
            if upto >= most {
                break;
            }
            all.push(Self { above, upto: Some(upto) });
            above = Some(upto);
        }
        all.push(Self { above, upto: None });
        all
    }
}

/// A part of a table.
#[derive(Debug)]
pub struct Part {
    /// Which table.
    pub(super) table: TableName,
    /// How its rows are read.
    pub(super) layout: Arc<Layout>,
    /// In which order.
    pub(super) key: Arc<Key>,
    /// Which rows.
    pub(super) bounds: Bounds,
    /// How many bytes a row is guessed to take.
    pub(super) row_bytes: u64,
    /// What a chunk should take, in bytes of text.
    pub(super) chunk_bytes: usize,
}

impl Part {
    /// Asks for the rows behind a place, at most so many.
    pub(super) fn statement(&self, after: Option<&[String]>, rows: u64) -> Condition {
        let mut condition = self.key.within(self.bounds.above, self.bounds.upto);
        if let Some(after) = after {
            let behind = self.key.behind(after);
            // What is behind a place is above the lower bound.
            let upto = self.key.within(None, self.bounds.upto);
            let and = if upto.sql.is_empty() { "" } else { " AND " };
            condition = Condition {
                sql: format!("{}{and}({})", upto.sql, behind.sql),
                values: upto.values.into_iter().chain(behind.values).collect(),
            };
        }
        let filter =
            if condition.sql.is_empty() { String::new() } else { format!(" WHERE {}", condition.sql) };
        let columns: Vec<&str> = self.layout.select.iter().map(String::as_str).collect();
        let mut values = condition.values;
        values.push(Value::UInt(rows));
        let sql = format!(
            "SELECT {}, {} FROM {}.{} FORCE INDEX ({}){filter} ORDER BY {} LIMIT ?",
            columns.join(", "),
            self.key.select(),
            quoted(&self.table.database),
            quoted(&self.table.table),
            quoted(self.key.index()),
            self.key.order(),
        );
        Condition { sql, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept_as_text() {
        for bounds in [
            Bounds::default(),
            Bounds { above: Some(-5), upto: None },
            Bounds { above: None, upto: Some(i128::from(u64::MAX)) },
        ] {
            assert_eq!(Bounds::read(&bounds.written()), Some(bounds));
        }
        assert_eq!(Bounds::read("{}"), None);
    }

    #[test]
    fn ranges_meet_and_are_open_at_the_ends() {
        let cut = Bounds::cut(i128::from(i64::MIN), i128::from(u64::MAX), 8);
        assert_eq!(cut.len(), 8);
        assert_eq!((cut[0].above, cut[7].upto), (None, None));
        assert!(cut.windows(2).all(|pair| pair[0].upto == pair[1].above && pair[0].upto.is_some()));
        assert_eq!(Bounds::cut(1, 2, 8).len(), 1);
        assert_eq!(Bounds::cut(5, 5, 8), [Bounds::default()]);
    }
}
