//! The server, the role we are there, and the slot.

use std::time::Duration;

use super::CatalogError;
use super::fields::Fields;
use crate::Lsn;
use crate::transport::Row;

/// The server and those of its settings that a stream depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `server_version_num`: 150004 is 15.4.
    pub version: u32,
    /// The session's database.
    pub database: String,
    /// The encoding of its texts.
    pub encoding: String,
    /// A standby.
    pub in_recovery: bool,
    /// `minimal`, `replica` or `logical`.
    pub wal_level: String,
    /// After how much silence of ours the server ends a stream, for this role and database; zero is never.
    pub wal_sender_timeout: Duration,
    /// How many bytes of log a slot may keep; none is without limit.
    pub max_slot_wal_keep_bytes: Option<u64>,
    /// After how long without a reader a slot is given up (18); none is never.
    pub idle_slot_timeout: Option<Duration>,
    /// How many slots there may be.
    pub max_slots: u32,
    /// How many there are.
    pub slots: u32,
    /// How many replication sessions there may be.
    pub max_senders: u32,
    /// The end of its log; on a standby, how far it has replayed.
    pub end_of_log: Lsn,
}

impl Server {
    /// Whether the server is of this major version or later.
    #[must_use]
    pub fn is_at_least(&self, major: u32) -> bool {
        self.version / 10_000 >= major
    }

    pub(super) fn parse(row: &Row) -> Result<Self, CatalogError> {
        let mut fields = Fields::new("the server's settings", row);
        Ok(Self {
            version: fields.parsed()?,
            database: fields.string()?,
            encoding: fields.string()?,
            in_recovery: fields.flag()?,
            wal_level: fields.string()?,
            wal_sender_timeout: Duration::from_millis(fields.parsed()?),
            // Megabytes; -1 is without limit.
            max_slot_wal_keep_bytes: u64::try_from(fields.parsed::<i64>()?).ok().map(|mib| mib << 20),
            idle_slot_timeout: {
                let seconds = fields.maybe_parsed::<u64>()?.filter(|seconds| *seconds > 0);
                seconds.map(Duration::from_secs)
            },
            max_slots: fields.parsed()?,
            slots: fields.parsed()?,
            max_senders: fields.parsed()?,
            end_of_log: fields.parsed()?,
        })
    }
}

/// Who we are at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// May do everything.
    pub superuser: bool,
    /// May replicate: by its own attribute, or by membership of the role that a hosted service has for it.
    pub replication: bool,
    /// Row security does not apply to it.
    pub bypasses_row_security: bool,
    /// May create objects in the database, such as publications.
    pub may_create_in_database: bool,
}

impl Role {
    pub(super) fn parse(row: &Row) -> Result<Self, CatalogError> {
        let mut fields = Fields::new("the role", row);
        Ok(Self {
            name: fields.string()?,
            superuser: fields.flag()?,
            replication: fields.flag()?,
            bypasses_row_security: fields.flag()?,
            may_create_in_database: fields.flag()?,
        })
    }
}

/// Whether the log that a slot needs is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalStatus {
    /// Within `max_wal_size`.
    Reserved,
    /// Beyond it, kept for the slot.
    Extended,
    /// To be removed at the next checkpoint.
    Unreserved,
    /// Gone: the slot is of no use any more.
    Lost,
}

impl WalStatus {
    /// The server's own word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Extended => "extended",
            Self::Unreserved => "unreserved",
            Self::Lost => "lost",
        }
    }

    pub(crate) fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            // Without a position there is nothing to keep, which the server says only of slots that are lost, too.
            None | Some("lost") => Some(Self::Lost),
            Some("reserved") => Some(Self::Reserved),
            Some("extended") => Some(Self::Extended),
            Some("unreserved") => Some(Self::Unreserved),
            Some(_) => None,
        }
    }
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// `pgoutput`, or another reader's; none for physical slots.
    pub plugin: Option<String>,
    /// Logical, not physical.
    pub logical: bool,
    /// The database it decodes; none for physical slots.
    pub database: Option<String>,
    /// Gone with its session.
    pub temporary: bool,
    /// Process of the session that reads from it now.
    pub active_pid: Option<u32>,
    /// What that session calls itself, if we may see it.
    pub active_application: Option<String>,
    /// Up to where changes are acknowledged.
    pub confirmed: Option<Lsn>,
    /// From where on the log is kept.
    pub restart: Option<Lsn>,
    /// Bytes of log kept for it.
    pub retained_bytes: Option<u64>,
    /// Whether what it needs is still there.
    pub wal_status: WalStatus,
    /// Bytes that may be written until it is in danger; none without a limit.
    pub safe_wal_bytes: Option<i64>,
    /// Sends prepared transactions before their commit.
    pub two_phase: bool,
    /// Why the server gave it up (17 and later).
    pub invalidation_reason: Option<String>,
    /// Since when nobody reads from it (17 and later), as text in UTC.
    pub inactive_since: Option<String>,
    /// A copy that a standby keeps of its primary's slot (17 and later).
    pub synced: bool,
    /// Transactions that may have changed the catalogue since: those before are seen whole by what is decoded.
    pub catalog_xmin: Option<u32>,
}

impl Slot {
    pub(super) fn parse(row: &Row) -> Result<Self, CatalogError> {
        let mut fields = Fields::new("the slot", row);
        Ok(Self {
            name: fields.string()?,
            plugin: fields.maybe_string()?,
            logical: fields.text()? == "logical",
            database: fields.maybe_string()?,
            temporary: fields.flag()?,
            active_pid: fields.maybe_parsed()?,
            active_application: fields.maybe_string()?.filter(|name| !name.is_empty()),
            confirmed: fields.maybe_parsed()?,
            restart: fields.maybe_parsed()?,
            retained_bytes: fields.maybe_parsed()?,
            wal_status: {
                let status = WalStatus::parse(fields.maybe_text()?);
                status.ok_or_else(|| fields.malformed("a state of a slot that is known"))?
            },
            safe_wal_bytes: fields.maybe_parsed()?,
            two_phase: fields.flag()?,
            catalog_xmin: fields.maybe_parsed()?,
            invalidation_reason: fields.maybe_string()?,
            inactive_since: fields.maybe_string()?,
            synced: fields.flag()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(texts: &[&str]) -> Row {
        texts.iter().map(|text| (*text != "NULL").then(|| (*text).to_owned())).collect()
    }

    #[test]
    fn settings_without_a_limit_are_told_from_those_with_one() {
        let texts = ["180004", "d", "UTF8", "f", "logical", "60000", "-1", "NULL", "10", "1", "10", "0/10"];
        let server = Server::parse(&row(&texts)).unwrap();
        assert_eq!((server.max_slot_wal_keep_bytes, server.idle_slot_timeout), (None, None));
        assert!(server.is_at_least(18) && !server.is_at_least(19));
        let mut limited = texts;
        limited[6] = "2";
        limited[7] = "60";
        let server = Server::parse(&row(&limited)).unwrap();
        assert_eq!(server.max_slot_wal_keep_bytes, Some(2 << 20));
        assert_eq!(server.idle_slot_timeout, Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_slot_is_read_with_what_the_version_does_not_know() {
        let texts = [
            "s", "pgoutput", "logical", "d", "f", "NULL", "", "0/20", "0/10", "16", "reserved", "NULL", "f",
            "700", "NULL", "NULL", "f",
        ];
        let slot = Slot::parse(&row(&texts)).unwrap();
        assert_eq!((slot.confirmed, slot.retained_bytes), (Some(Lsn::new(0x20)), Some(16)));
        assert_eq!((slot.active_application, slot.catalog_xmin), (None, Some(700)));
        let mut odd = texts;
        odd[10] = "odd";
        assert!(Slot::parse(&row(&odd)).is_err());
    }
}
