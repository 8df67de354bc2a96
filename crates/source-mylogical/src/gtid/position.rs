//! What is stored in the target: how far the source is applied there, with what of it is prepared and not decided.

use std::fmt;

use super::{GtidError, GtidSet, MariaDbGtid, MariaDbPosition, MySqlSet};
use crate::Flavor;

/// Begins the list of transactions that are prepared and not decided.
const PREPARED: &str = ";prepared=";

/// A transaction of MariaDB that is prepared and neither committed nor rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreparedAt {
    /// The last transaction of its domain before it; none if it is the domain's first.
    pub before: Option<MariaDbGtid>,
    /// The transaction that prepared it.
    pub gtid: MariaDbGtid,
}

/// Where the target stands.
///
/// A prepared transaction is applied when it is committed, with what comes then; until then its rows are held outside
/// of the target, and must be read again after a restart. A MySQL set simply leaves it out: the server sends what is
/// missing, wherever it is. A position of MariaDB cannot have holes; there it is remembered beside the position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPosition {
    /// Every transaction that is applied.
    MySql(MySqlSet),
    /// The last transactions applied, and those before them that are prepared only, in the order of the log.
    MariaDb {
        /// The last one of each domain.
        applied: MariaDbPosition,
        /// Not decided.
        prepared: Vec<PreparedAt>,
    },
}

impl LogPosition {
    /// Reads what [`Display`](fmt::Display) wrote, or a position without anything prepared as [`GtidSet::parse`] takes it.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(flavor: Flavor, stored: &str) -> Result<Self, GtidError> {
        let (set, prepared) = match stored.split_once(PREPARED) {
            Some((set, prepared)) => (set, Some(prepared)),
            None => (stored, None),
        };
        match (GtidSet::parse(flavor, set)?, prepared) {
            (GtidSet::MySql(set), None) => Ok(Self::MySql(set)),
            (GtidSet::MySql(_), Some(_)) => Err(GtidError::Suffix),
            (GtidSet::MariaDb(applied), prepared) => {
                let prepared = prepared.map(|list| list.split(',').map(PreparedAt::parse).collect());
                Ok(Self::MariaDb { applied, prepared: prepared.transpose()?.unwrap_or_default() })
            }
        }
    }

    /// What a stream is opened with, so that it sends everything that is still needed.
    #[must_use]
    pub fn resume(&self) -> GtidSet {
        match self {
            Self::MySql(set) => GtidSet::MySql(set.clone()),
            Self::MariaDb { applied, prepared } => {
                let mut resume = applied.clone();
                // The first of a domain counts, so the later ones are done before it.
                for at in prepared.iter().rev() {
                    match at.before {
                        Some(before) => drop(resume.replace(before)),
                        None => resume.forget(at.gtid.domain),
                    }
                }
                GtidSet::MariaDb(resume)
            }
        }
    }

    /// How far the target is, without what is prepared: for people, metrics and comparisons with the source.
    #[must_use]
    pub fn applied(&self) -> GtidSet {
        match self {
            Self::MySql(set) => GtidSet::MySql(set.clone()),
            Self::MariaDb { applied, .. } => GtidSet::MariaDb(applied.clone()),
        }
    }
}

impl From<GtidSet> for LogPosition {
    fn from(set: GtidSet) -> Self {
        match set {
            GtidSet::MySql(set) => Self::MySql(set),
            GtidSet::MariaDb(applied) => Self::MariaDb { applied, prepared: Vec::new() },
        }
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(set) => set.fmt(f),
            Self::MariaDb { applied, prepared } => {
                applied.fmt(f)?;
                for (at, one) in prepared.iter().enumerate() {
                    f.write_str(if at == 0 { PREPARED } else { "," })?;
                    one.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

impl PreparedAt {
    /// `before>transaction`, with nothing before the first transaction of a domain.
    fn parse(text: &str) -> Result<Self, GtidError> {
        let (before, gtid) = text.split_once('>').ok_or(GtidError::Suffix)?;
        let gtid: MariaDbGtid = gtid.parse()?;
        let before = if before.is_empty() { None } else { Some(before.parse::<MariaDbGtid>()?) };
        if before.is_some_and(|before| before.domain != gtid.domain) {
            return Err(GtidError::Suffix);
        }
        Ok(Self { before, gtid })
    }
}

impl fmt::Display for PreparedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(before) = self.before {
            before.fmt(f)?;
        }
        write!(f, ">{}", self.gtid)
    }
}
