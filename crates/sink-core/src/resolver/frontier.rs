//! How far a schema's time is promised, and how far kept. Pure.

use crate::model::HlcTimestamp;
use crate::staging::Window;

/// Invariant: `applied <= resolved`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frontier {
    resolved: HlcTimestamp,
    applied: HlcTimestamp,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Every promise is kept.
    Wait,
    /// These rows are promised and not yet applied.
    Apply(Window),
}

impl Frontier {
    /// Everything up to `applied` is in the target, and nothing more is promised yet.
    #[must_use]
    pub fn at(applied: HlcTimestamp) -> Self {
        Self { resolved: applied, applied }
    }

    /// A promise may arrive twice or late; it never moves the frontier back.
    pub fn resolve(&mut self, to: HlcTimestamp) {
        self.resolved = self.resolved.max(to);
    }

    /// Rows up to `to` are in the target.
    ///
    /// # Panics
    /// If that was never promised: our own code forbids it.
    pub fn apply(&mut self, to: HlcTimestamp) {
        assert!(to <= self.resolved, "applied up to {to}, promised up to {}", self.resolved);
        self.applied = self.applied.max(to);
    }

    /// How far the target is.
    #[must_use]
    pub fn applied(&self) -> HlcTimestamp {
        self.applied
    }

    /// How far the source has promised.
    #[must_use]
    pub fn resolved(&self) -> HlcTimestamp {
        self.resolved
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self) -> Step {
        if self.applied == self.resolved {
            Step::Wait
        } else {
            Step::Apply(Window { after: self.applied, upto: self.resolved })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> HlcTimestamp {
        HlcTimestamp::new(nanos, 0).unwrap()
    }

    #[test]
    fn a_late_promise_does_not_move_the_frontier_back() {
        let mut frontier = Frontier::at(at(5));
        frontier.resolve(at(9));
        frontier.resolve(at(7));
        assert_eq!(frontier.next(), Step::Apply(Window { after: at(5), upto: at(9) }));
        frontier.apply(at(9));
        frontier.resolve(at(3));
        assert_eq!(frontier.next(), Step::Wait);
    }

    #[test]
    #[should_panic(expected = "promised up to")]
    fn nothing_is_applied_beyond_the_promise() {
        Frontier::at(at(5)).apply(at(6));
    }
}
