//! Where a feed stands, as far as the target knows. Pure.

use std::fmt;
use std::sync::Arc;

/// A consistent point of a source, in its own notation. Nothing here looks inside; two positions are only ever compared
/// for equality.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position(Arc<str>);

impl Position {
    /// Takes what a source wrote.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// What the source wrote.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which position: one feed may keep several, each for another scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedName {
    /// The feed, as the operator calls it.
    pub feed: String,
    /// What of it the position is about; empty for all of it.
    pub scope: String,
}

impl FeedName {
    /// The position of a whole feed.
    #[must_use]
    pub fn whole(feed: impl Into<String>) -> Self {
        Self { feed: feed.into(), scope: String::new() }
    }
}

/// A position with what guards it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Everything up to here is in the target, and nothing beyond.
    pub position: Position,
    /// Raised by whoever takes over; steps with an older one are refused.
    pub epoch: i64,
    /// Which source the position belongs to, as the JSON text of the target.
    pub source_identity: String,
    /// Rows from beyond the position may be in the target: it was written without keeping transactions together.
    pub torn: bool,
    /// When the newest transaction up to here was committed at the source, in microseconds since 1970.
    pub source_time_micros: Option<i64>,
}

/// One step of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance<'a> {
    /// Which position.
    pub feed: &'a FeedName,
    /// Where it must stand.
    pub from: &'a Position,
    /// Where it goes. Never equal to `from`: what happened could not be told from what did not.
    pub to: &'a Position,
    /// The epoch it must have.
    pub epoch: i64,
    /// When `to` was committed at the source, in microseconds since 1970; none if nothing was.
    pub source_time_micros: Option<i64>,
}

/// What became of a step whose answer was an error, was lost, or said that nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// It was done.
    Done,
    /// It was not done. It may still be under way at the server; trying again then waits for it.
    NotDone,
    /// Somebody else has taken over, or the position is elsewhere: stop.
    Fenced,
}

impl Advance<'_> {
    /// Judges by what is stored now.
    #[must_use]
    pub fn happened(&self, now: Option<&Stored>) -> Happened {
        match now {
            Some(now) if now.epoch == self.epoch && now.position == *self.to => Happened::Done,
            Some(now) if now.epoch == self.epoch && now.position == *self.from => Happened::NotDone,
            // In another's epoch the step may have been done, by us or by them. They go on either way.
            Some(_) | None => Happened::Fenced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_told_by_position_and_epoch() {
        let (feed, from, to) = (FeedName::whole("f"), Position::new("1"), Position::new("2"));
        let advance = Advance { feed: &feed, from: &from, to: &to, epoch: 7, source_time_micros: None };
        let stored = |position: &str, epoch| Stored {
            position: Position::new(position),
            epoch,
            source_identity: "{}".into(),
            torn: false,
            source_time_micros: None,
        };
        assert_eq!(advance.happened(Some(&stored("2", 7))), Happened::Done);
        assert_eq!(advance.happened(Some(&stored("1", 7))), Happened::NotDone);
        for other in [stored("3", 7), stored("2", 8), stored("1", 8), stored("1", 6)] {
            assert_eq!(advance.happened(Some(&other)), Happened::Fenced);
        }
        assert_eq!(advance.happened(None), Happened::Fenced);
    }
}
