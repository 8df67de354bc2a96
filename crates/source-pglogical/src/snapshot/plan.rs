//! How a table is cut into pieces, and the statement that reads one. Pure.

use crate::transport::sql::{identifier, qualified};

/// Least and most that a piece takes at the source, roughly, in bytes. Between two pieces both servers wait for each other
/// and for a commit, which smaller ones would not be worth; larger ones only make long transactions.
const PIECE_BYTES: (u64, u64) = (32 << 20, 256 << 20);
/// Pieces per worker: those who are done early take over from those who are not.
const SHARES: u64 = 4;

/// A table with rows of its own: a published one, or a partition of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its number.
    pub oid: u32,
    /// The number of its file as of the snapshot: another one now means that it was rewritten since.
    pub file: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Pages of its rows.
    pub pages: u64,
    /// Bytes of it, long values included.
    pub bytes: u64,
    /// Names of the columns to read, in order.
    pub columns: Vec<String>,
    /// Only rows that pass one of these SQL expressions; all if there are none.
    pub filters: Vec<String>,
}

/// Pages from `begin`, up to and without `end`; without `end`, all that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// The first.
    pub begin: u64,
    /// The first that is not among them.
    pub end: Option<u64>,
}

impl Leaf {
    /// The quoted name.
    #[must_use]
    pub fn quoted(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// All its pages, in pieces of about the same size for so many workers, each with its share of the bytes. The last is
    /// open-ended: the size of a file is not part of a snapshot.
    #[must_use]
    pub fn pieces(&self, workers: u64) -> Vec<(Pages, u64)> {
        let page_bytes = self.bytes.checked_div(self.pages).unwrap_or(0).max(1);
        let (least, most) = PIECE_BYTES;
        // One worker alone gains nothing by sharing.
        let piece_bytes = if workers > 1 {
            (self.bytes / (workers.saturating_mul(SHARES))).clamp(least, most)
        } else {
            most
        };
        let step = (piece_bytes / page_bytes).max(1);
        let count = self.pages.div_ceil(step).max(1);
        let piece = |at: u64| {
            let begin = at * step;
            let end = (at + 1 < count).then_some(begin + step);
            let pages = end.unwrap_or(self.pages.max(begin)) - begin;
            (Pages { begin, end }, pages * page_bytes)
        };
        (0..count).map(piece).collect()
    }

    /// Reads these pages in COPY's text format.
    #[must_use]
    pub fn statement(&self, pages: Pages) -> String {
        let columns: Vec<_> = self.columns.iter().map(|name| identifier(name)).collect();
        let (columns, table) = (columns.join(", "), self.quoted());
        let mut conditions = Vec::new();
        if pages.begin > 0 {
            conditions.push(format!("ctid >= '({},0)'::tid", pages.begin));
        }
        if let Some(end) = pages.end {
            conditions.push(format!("ctid < '({end},0)'::tid"));
        }
        if !self.filters.is_empty() {
            let filters: Vec<_> = self.filters.iter().map(|filter| format!("({filter})")).collect();
            conditions.push(format!("({})", filters.join(" OR ")));
        }
        if conditions.is_empty() {
            // Without a plan, which is a little faster. Reads this table alone, as ONLY does.
            return format!("COPY {table} ({columns}) TO STDOUT");
        }
        format!("COPY (SELECT {columns} FROM ONLY {table} WHERE {}) TO STDOUT", conditions.join(" AND "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(pages: u64, bytes: u64) -> Leaf {
        Leaf {
            oid: 1,
            file: 1,
            schema: "S\"".into(),
            name: "t".into(),
            pages,
            bytes,
            columns: vec!["id".into(), "select".into()],
            filters: Vec::new(),
        }
    }

    #[test]
    fn pieces_cover_every_page_once_and_the_last_all_that_follows() {
        for pages in [0, 1, 4095, 4096, 4097, 50_000] {
            let pieces = leaf(pages, pages * 8192).pieces(2);
            let mut next = Some(0);
            for (piece, _) in &pieces {
                assert_eq!(next, Some(piece.begin), "{pages}");
                next = piece.end;
            }
            assert_eq!(next, None);
            let weight: u64 = pieces.iter().map(|(_, weight)| weight).sum();
            assert_eq!(weight, pages * 8192);
        }
        assert_eq!(leaf(8192, 8192 * 8192).pieces(2).len(), 2);
        assert_eq!(leaf(8192, 8192 * 8192).pieces(1).len(), 1);
        // A gigabyte and a terabyte for two.
        assert_eq!(leaf(1 << 17, 1 << 30).pieces(2).len(), 8);
        assert_eq!(leaf(1 << 27, 1 << 40).pieces(2).len(), 4096);
    }

    #[test]
    fn long_values_make_pieces_of_fewer_pages() {
        // One page of pointers to a gigabyte, and a thousand of them.
        assert_eq!(leaf(1, 1 << 30).pieces(2).len(), 1);
        assert_eq!(leaf(1000, 1 << 30).pieces(2).len(), 8);
    }

    #[test]
    fn only_the_table_itself_is_read_within_its_pages_and_filters() {
        let mut leaf = leaf(10, 81920);
        let all = Pages { begin: 0, end: None };
        assert_eq!(leaf.statement(all), "COPY \"S\"\"\".\"t\" (\"id\", \"select\") TO STDOUT");
        leaf.filters = vec!["a > 1".into(), "b".into()];
        assert_eq!(
            leaf.statement(Pages { begin: 4, end: Some(8) }),
            "COPY (SELECT \"id\", \"select\" FROM ONLY \"S\"\"\".\"t\" WHERE ctid >= '(4,0)'::tid AND \
             ctid < '(8,0)'::tid AND ((a > 1) OR (b))) TO STDOUT"
        );
    }
}
