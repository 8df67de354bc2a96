//! Sets of numbers as the intervals they make up.

use std::fmt;

use super::GtidError;

/// The largest number of a transaction (MySQL manual, replication-gtids-concepts).
pub(super) const LARGEST: u64 = i64::MAX as u64 - 1;

/// Numbers of transactions of one origin. Intervals are in order, and neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    /// Whether there is no number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// First and last number of each interval, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Whether the number is in it.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| number <= *last)
    }

    /// Adds the numbers from the first to the last.
    ///
    /// # Errors
    /// If no transaction can have such numbers, or the last is before the first.
    pub fn add(&mut self, first: u64, last: u64) -> Result<(), GtidError> {
        if first == 0 || last > LARGEST || first > last {
            return Err(GtidError::Number);
        }
        self.join(first, last);
        Ok(())
    }

    /// What is touched becomes one interval. Numbers are at most [`LARGEST`], so that one more is always a number.
    fn join(&mut self, mut first: u64, mut last: u64) {
        let from = self.0.partition_point(|(_, end)| *end + 1 < first);
        let to = self.0.partition_point(|(start, _)| *start <= last + 1);
        if let (Some((start, _)), true) = (self.0.get(from), from < to) {
            first = first.min(*start);
        }
        if let Some((_, end)) = to.checked_sub(1).filter(|at| *at >= from).and_then(|at| self.0.get(at)) {
            last = last.max(*end);
        }
        self.0.splice(from..to.max(from), [(first, last)]);
    }

    /// Adds everything of the other.
    pub fn union(&mut self, other: &Self) {
        for (first, last) in other.iter() {
            self.join(first, last);
        }
    }

    /// Takes away everything of the other.
    pub fn subtract(&mut self, other: &Self) {
        let mut left = Vec::with_capacity(self.0.len());
        let mut cuts = other.0.iter().peekable();
        for (mut first, last) in self.0.drain(..) {
            while let Some((from, to)) = cuts.peek().copied().copied() {
                if to < first {
                    cuts.next();
                    continue;
                }
                if from > last {
                    break;
                }
                if from > first {
                    left.push((first, from - 1));
                }
                // A cut that reaches further may cut the next interval as well.
                first = to + 1;
                if to >= last {
                    break;
                }
                cuts.next();
            }
            if first <= last {
                left.push((first, last));
            }
        }
        self.0 = left;
    }

    /// Whether the other has all of these.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|(first, last)| {
            let after = other.0.partition_point(|(start, _)| *start <= first);
            after.checked_sub(1).and_then(|at| other.0.get(at)).is_some_and(|(_, end)| last <= *end)
        })
    }

    /// The smallest number that is not in it.
    #[must_use]
    pub fn next_missing(&self) -> u64 {
        match self.0.first() {
            Some((1, last)) => last + 1,
            Some(_) | None => 1,
        }
    }
}

impl fmt::Display for Intervals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(":")?;
            }
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        Ok(())
    }
}
