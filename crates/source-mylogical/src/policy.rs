//! What is done with values that the target cannot hold as they are.

use std::ops::AddAssign;

/// Dates without a year, month or day, and days that their month does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ZeroDates {
    /// NULL where the target's column can be NULL, else an error.
    #[default]
    Null,
    /// The feed stops.
    Error,
    /// The first moment of 1970.
    Epoch,
    /// As the source shows it where the target's column is text, else as [`Self::Null`].
    Text,
}

/// Zero characters in text, which PostgreSQL cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Nuls {
    /// The feed stops.
    #[default]
    Refuse,
    /// They are left out.
    Strip,
}

/// Times of the source below zero or of a day and more, where the target's column is a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LongTimes {
    /// The feed stops.
    #[default]
    Error,
    /// NULL where the target's column can be NULL, else an error.
    Null,
}

/// All of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Policies {
    /// Dates that do not exist.
    pub zero_dates: ZeroDates,
    /// Zero characters in text.
    pub nuls: Nuls,
    /// Times that are none of a day.
    pub long_times: LongTimes,
}

/// How many values were changed by a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changed {
    /// Dates that do not exist, made NULL or 1970.
    pub zero_dates: u64,
    /// Texts from which zero characters were taken.
    pub nuls: u64,
    /// Times that are none of a day, made NULL.
    pub long_times: u64,
}

impl AddAssign for Changed {
    fn add_assign(&mut self, more: Self) {
        self.zero_dates += more.zero_dates;
        self.nuls += more.nuls;
        self.long_times += more.long_times;
    }
}
