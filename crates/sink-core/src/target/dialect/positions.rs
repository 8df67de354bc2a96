//! Statements about positions of feeds. Both products read them alike.

use super::StagingArea;

/// What is told of a position: itself, epoch, source identity, torn, source time in microseconds since 1970.
const COLUMNS: &str = "p.position, p.epoch, p.source_identity::text, p.torn, \
                       (extract(epoch FROM p.source_time) * 1000000)::int8";

/// Reads a position. Parameters: feed, scope. Answers itself, epoch, source identity, torn, source time.
#[must_use]
pub fn read(area: &StagingArea) -> String {
    format!("SELECT {COLUMNS} FROM {} p WHERE feed = $1 AND scope = $2", area.table("positions"))
}

/// Raises the epoch, or begins a feed. Parameters: feed, scope, first position, source identity. Answers like [`read`],
/// with no row if the position belongs to another source.
#[must_use]
pub fn take_over(area: &StagingArea) -> String {
    format!(
        "INSERT INTO {} AS p (feed, scope, position, source_identity, epoch) VALUES ($1, $2, $3, $4::jsonb, 1) \
         ON CONFLICT (feed, scope) DO UPDATE SET epoch = p.epoch + 1, updated_at = now() \
         WHERE p.source_identity = excluded.source_identity \
         RETURNING {COLUMNS}",
        area.table("positions")
    )
}

/// How many parameters [`advance`] takes.
pub const ADVANCE_PARAMS: usize = 6;

/// Moves a position if it stands where the caller believes, in the caller's epoch. Parameters: feed, scope, from, epoch,
/// to, source time in microseconds since 1970 or NULL. One row if it moved.
#[must_use]
pub fn advance(area: &StagingArea) -> String {
    format!(
        "UPDATE {} p SET position = $5, \
         source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now() \
         WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch",
        area.table("positions")
    )
}

/// Locks a position that stands where the caller believes, in the caller's epoch, until the transaction ends. Parameters:
/// feed, scope, position, epoch. One row if it does.
#[must_use]
pub fn lock(area: &StagingArea) -> String {
    format!(
        "SELECT 1 FROM {} WHERE feed = $1 AND scope = $2 AND position = $3 AND epoch = $4 FOR NO KEY UPDATE",
        area.table("positions")
    )
}

/// Says whether rows beyond the position may be in the target. Parameters: feed, scope, epoch, torn. One row if the epoch
/// is the caller's.
#[must_use]
pub fn set_torn(area: &StagingArea) -> String {
    format!("UPDATE {} SET torn = $4 WHERE feed = $1 AND scope = $2 AND epoch = $3", area.table("positions"))
}

/// Reads what the source published when it was last looked at; NULL if it never was. Parameters: feed, scope.
#[must_use]
pub fn published(area: &StagingArea) -> String {
    format!("SELECT published::text FROM {} WHERE feed = $1 AND scope = $2", area.table("positions"))
}

/// Notes what the source publishes. Parameters: feed, scope, epoch, JSON text. One row if the epoch is the caller's.
#[must_use]
pub fn set_published(area: &StagingArea) -> String {
    format!(
        "UPDATE {} SET published = $4::jsonb WHERE feed = $1 AND scope = $2 AND epoch = $3",
        area.table("positions")
    )
}

/// How many parameters [`in_epoch`] takes.
pub const IN_EPOCH_PARAMS: usize = 3;

/// Finds a position in the caller's epoch, and keeps others from taking over until the transaction ends. Parameters:
/// feed, scope, epoch. One row if it is the caller's.
#[must_use]
pub fn in_epoch(area: &StagingArea) -> String {
    format!(
        "SELECT p.epoch FROM {} p WHERE p.feed = $1 AND p.scope = $2 AND p.epoch = $3 FOR SHARE",
        area.table("positions")
    )
}
