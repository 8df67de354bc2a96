//! What a feed has to say about a source: every version from its initial scan on, in commit order.

use std::ops::Range;

use sink_core::model::HlcTimestamp;

use crate::source::{Key, Row, Source, Table, Version};

/// One version of a row, as a feed emits it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The time in `updated`: that of the scan for rows of the scan, else that of the commit.
    pub at: HlcTimestamp,
    /// When the version was committed.
    pub written: HlcTimestamp,
    /// Position of the table.
    pub table: usize,
    /// The key.
    pub key: Key,
    /// The row, or `None` for a delete.
    pub row: Option<Row>,
    /// The version before; none for rows of the scan.
    pub before: Option<Row>,
    /// CRC-32 of the key's text, by which a node keeps requests apart.
    pub key_hash: u32,
}

/// All changes of a feed. Invariant: `changes` is sorted by time and `commits` cuts it at every time.
#[derive(Debug, Clone)]
pub struct ChangeLog {
    tables: Vec<Table>,
    changes: Vec<Change>,
    commits: Vec<(HlcTimestamp, Range<usize>)>,
}

impl ChangeLog {
    /// What a feed with an initial scan at this time sends.
    #[must_use]
    pub fn new(source: &Source, scan_at: HlcTimestamp) -> Self {
        let mut changes = Vec::new();
        for table in 0..source.tables().len() {
            for (key, versions) in source.history(table) {
                push_key(&mut changes, table, key, versions, scan_at);
            }
        }
        changes.sort_by_key(|change| change.at);
        // The scan is there even if it shows no row.
        let mut commits = vec![(scan_at, 0..0)];
        for (i, change) in changes.iter().enumerate() {
            match commits.last_mut() {
                Some((at, range)) if *at == change.at => range.end = i + 1,
                Some(_) | None => commits.push((change.at, i..i + 1)),
            }
        }
        Self { tables: source.tables().to_vec(), changes, commits }
    }

    /// The tables of the source.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Every change, in order of time; of one time, in order of table and key.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The initial scan and each commit: its time, and which changes it made.
    #[must_use]
    pub fn commits(&self) -> &[(HlcTimestamp, Range<usize>)] {
        &self.commits
    }

    /// How many commits, the scan included, are at or below a time.
    #[must_use]
    pub fn commits_upto(&self, at: HlcTimestamp) -> usize {
        self.commits.partition_point(|(commit, _)| *commit <= at)
    }
}

fn push_key(changes: &mut Vec<Change>, table: usize, key: &Key, versions: &[Version], scan_at: HlcTimestamp) {
    let key_hash = crc32(key.json().as_bytes());
    let live = versions.partition_point(|version| version.at <= scan_at);
    let mut before = None;
    for (i, version) in versions.iter().enumerate().skip(live.saturating_sub(1)) {
        let scanned = i < live;
        // A row that was deleted before the scan is not mentioned.
        if !scanned || version.row.is_some() {
            changes.push(Change {
                at: if scanned { scan_at } else { version.at },
                written: version.at,
                table,
                key: key.clone(),
                row: version.row.clone(),
                before: before.take(),
                key_hash,
            });
        }
        before.clone_from(&version.row);
    }
}

/// CRC-32 (IEEE), bit by bit: keys are short.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_common_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
