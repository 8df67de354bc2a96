//! Positions as MariaDB writes them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::GtidError;

/// The name of a transaction. Numbers rise within a domain, whichever server writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MariaDbGtid {
    /// The domain: one line of succession.
    pub domain: u32,
    /// The server that committed it first.
    pub server: u32,
    /// Its number in the domain.
    pub seq: u64,
}

impl fmt::Display for MariaDbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.seq)
    }
}

impl FromStr for MariaDbGtid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let mut parts = text.trim().split('-').filter(|part| digits(part));
        let (Some(domain), Some(server), Some(seq), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(GtidError::Domain);
        };
        if text.trim().len() != domain.len() + server.len() + seq.len() + 2 {
            return Err(GtidError::Domain);
        }
        let number = |text: &str| text.parse().map_err(|_| GtidError::Domain);
        let seq = seq.parse().map_err(|_| GtidError::Domain)?;
        Ok(Self { domain: number(domain)?, server: number(server)?, seq })
    }
}

/// The last transaction of each domain. A domain that is missing is read from its beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MariaDbPosition(BTreeMap<u32, MariaDbGtid>);

impl MariaDbPosition {
    /// Whether there is no domain.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last transaction of each domain, by domain.
    pub fn iter(&self) -> impl Iterator<Item = MariaDbGtid> + '_ {
        self.0.values().copied()
    }

    /// The last transaction of this domain.
    #[must_use]
    pub fn get(&self, domain: u32) -> Option<MariaDbGtid> {
        self.0.get(&domain).copied()
    }

    /// The transaction is the last one of its domain now, whatever was before. Gives what was.
    pub fn replace(&mut self, gtid: MariaDbGtid) -> Option<MariaDbGtid> {
        self.0.insert(gtid.domain, gtid)
    }

    /// Back to before the domain's first transaction.
    pub fn forget(&mut self, domain: u32) {
        self.0.remove(&domain);
    }

    /// Whether a stream that stands here has passed everything that `other` names.
    #[must_use]
    pub fn has_passed(&self, other: &Self) -> bool {
        other.iter().all(|theirs| self.get(theirs.domain).is_some_and(|ours| ours.seq >= theirs.seq))
    }
}

impl FromStr for MariaDbPosition {
    type Err = GtidError;

    /// Reads `gtid_binlog_pos`, and `gtid_binlog_state`, which names several servers of one domain: the highest number
    /// counts.
    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut position = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let gtid: MariaDbGtid = entry.parse()?;
            match position.get(gtid.domain) {
                Some(known) if known == gtid || known.seq > gtid.seq => {}
                Some(known) if known.seq == gtid.seq => {
                    return Err(GtidError::Ambiguous { domain: gtid.domain, seq: gtid.seq });
                }
                Some(_) | None => {
                    position.replace(gtid);
                }
            }
        }
        Ok(position)
    }
}

impl fmt::Display for MariaDbPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, gtid) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            gtid.fmt(f)?;
        }
        Ok(())
    }
}
