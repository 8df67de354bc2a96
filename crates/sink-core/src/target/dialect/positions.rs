//! Statements about positions of feeds. Both products read them alike.

use super::StagingArea;

/// Reads a position. Parameters: feed, scope. Answer: position, epoch, source identity.
#[must_use]
pub fn read(area: &StagingArea) -> String {
    format!(
        "SELECT position, epoch, source_identity::text FROM {} WHERE feed = $1 AND scope = $2",
        area.table("positions")
    )
}

/// Raises the epoch, or begins a feed. Parameters: feed, scope, first position, source identity. Answers like [`read`],
/// with no row if the position belongs to another source.
#[must_use]
pub fn take_over(area: &StagingArea) -> String {
    format!(
        "INSERT INTO {} AS p (feed, scope, position, source_identity, epoch) VALUES ($1, $2, $3, $4::jsonb, 1) \
         ON CONFLICT (feed, scope) DO UPDATE SET epoch = p.epoch + 1, updated_at = now() \
         WHERE p.source_identity = excluded.source_identity \
         RETURNING p.position, p.epoch, p.source_identity::text",
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
