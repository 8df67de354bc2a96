//! Names of transactions, and sets of them: where a stream can go on. Pure.
//!
//! The two products have nothing in common but the word. MySQL keeps a set of all transactions ever applied, with holes
//! if need be ([`MySqlSet`]); MariaDB the last one of each domain ([`MariaDbPosition`]).

mod intervals;
mod mariadb;
mod mysql;
mod position;
mod progress;
mod request;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;

pub use intervals::Intervals;
pub use mariadb::{MariaDbGtid, MariaDbPosition};
pub use mysql::{MySqlGtid, MySqlSet, Tag, Tsid};
pub use position::{LogPosition, PreparedAt};
pub use progress::{Missed, Progress, Seen};
pub use request::connect_state;

use crate::Flavor;

/// The name of one transaction, unique among all servers that replicate from each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gtid {
    /// `uuid[:tag]:number`.
    MySql(MySqlGtid),
    /// `domain-server-number`.
    MariaDb(MariaDbGtid),
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(gtid) => gtid.fmt(f),
            Self::MariaDb(gtid) => gtid.fmt(f),
        }
    }
}

/// What a server calls its position, in its own notation: `@@gtid_executed`, `@@gtid_binlog_pos`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GtidSet {
    /// Every transaction by name.
    MySql(MySqlSet),
    /// The last transaction of each domain.
    MariaDb(MariaDbPosition),
}

impl GtidSet {
    /// Before every transaction.
    #[must_use]
    pub fn empty(flavor: Flavor) -> Self {
        match flavor {
            Flavor::MySql => Self::MySql(MySqlSet::default()),
            Flavor::MariaDb => Self::MariaDb(MariaDbPosition::default()),
        }
    }

    /// Reads what a server, a dump or an operator wrote: upper case, white space, line ends after commas, and around it
    /// what belongs to `SET @@GLOBAL.GTID_PURGED=…;` and `SET GLOBAL gtid_slave_pos=…;`.
    ///
    /// # Errors
    /// If it is not a set in the notation of this product.
    pub fn parse(flavor: Flavor, text: &str) -> Result<Self, GtidError> {
        let bare = text::bare(text);
        match flavor {
            Flavor::MySql => bare.parse().map(Self::MySql),
            Flavor::MariaDb => bare.parse().map(Self::MariaDb),
        }
    }

    /// Which product wrote it.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        match self {
            Self::MySql(_) => Flavor::MySql,
            Self::MariaDb(_) => Flavor::MariaDb,
        }
    }

    /// Whether it names no transaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::MySql(set) => set.is_empty(),
            Self::MariaDb(position) => position.is_empty(),
        }
    }

    /// Whether a stream that stands here has passed everything that `other` names. Sets of different products never
    /// have.
    #[must_use]
    pub fn has_passed(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::MySql(ours), Self::MySql(theirs)) => theirs.is_subset(ours),
            (Self::MariaDb(ours), Self::MariaDb(theirs)) => ours.has_passed(theirs),
            (Self::MySql(_), Self::MariaDb(_)) | (Self::MariaDb(_), Self::MySql(_)) => false,
        }
    }
}

/// In the notation of the product, on one line: a set that was written is read back as the same.
impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(set) => set.fmt(f),
            Self::MariaDb(position) => position.fmt(f),
        }
    }
}

/// Text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GtidError {
    /// Not the name of a MySQL server.
    #[error(
        "a GTID set begins each entry with a server's UUID of 32 hexadecimal digits, as in 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"
    )]
    Uuid,
    /// Neither an interval nor a tag.
    #[error(
        "behind the UUID of a GTID set come intervals such as 1-5, and tags of at most 32 letters, digits and _"
    )]
    Part,
    /// A UUID or tag with nothing behind it.
    #[error("a UUID or a tag of a GTID set has no interval behind it")]
    NoInterval,
    /// A number that no transaction can have.
    #[error(
        "numbers of transactions go from 1 to 9223372036854775806, and intervals from the smaller to the larger"
    )]
    Number,
    /// Not a MariaDB GTID.
    #[error("a position of MariaDB is a list of domain-server-number, as in 0-1-100,7-2-15")]
    Domain,
    /// Two transactions of one domain, and none is the later one.
    #[error("a position of MariaDB names two transactions with the number {seq} in domain {domain}")]
    Ambiguous {
        /// The domain.
        domain: u32,
        /// The number.
        seq: u64,
    },
    /// What follows the position is not what we write there.
    #[error("the stored position has an unknown ending; it was written by another version of this program")]
    Suffix,
}
