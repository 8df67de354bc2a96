//! What one stream leaves behind for the next one of the same feed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::gtid::Gtid;
use crate::transport::HEARTBEAT;

/// Thrown out this often within [`FIGHT`]: it will not end by itself.
const MOST_FIGHTS: usize = 5;
/// How long being thrown out is remembered.
const FIGHT: Duration = Duration::from_secs(300);
/// Longest silence that is put up with: a very large row over a slow line.
const LONGEST_SILENCE: Duration = Duration::from_secs(600);

/// Shared between streams, which come one after the other.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Left>);

#[derive(Debug, Default)]
struct Left {
    careful: Option<Gtid>,
    thrown_out: Vec<Instant>,
    silence: Option<Duration>,
}

impl Memory {
    fn left(&self) -> MutexGuard<'_, Left> {
        // Nothing is done under the lock that could leave half of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows of this transaction are taken back by the log itself.
    pub(crate) fn be_careful(&self, gtid: Gtid) {
        self.left().careful = Some(gtid);
    }

    /// The transaction to be careful with.
    pub(crate) fn careful(&self) -> Option<Gtid> {
        self.left().careful.clone()
    }

    /// Another reader has thrown us out. Says whether that is a fight.
    pub(crate) fn thrown_out(&self) -> bool {
        let now = Instant::now();
        let mut left = self.left();
        left.thrown_out.retain(|then| now.duration_since(*then) < FIGHT);
        left.thrown_out.push(now);
        left.thrown_out.len() >= MOST_FIGHTS
    }

    /// The line was silent: what comes next may be larger than what arrives in that time.
    pub(crate) fn was_silent(&self, for_: Duration) {
        self.left().silence = Some((for_ * 2).clamp(HEARTBEAT, LONGEST_SILENCE));
    }

    /// A transaction has come through.
    pub(crate) fn moved(&self) {
        let mut left = self.left();
        left.silence = None;
        left.careful = None;
    }

    /// How long a silence is to be put up with, if it is not the usual one.
    pub(crate) fn silence(&self) -> Option<Duration> {
        self.left().silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn being_thrown_out_again_and_again_is_a_fight() {
        let memory = Memory::default();
        let fights: Vec<bool> = (0..MOST_FIGHTS).map(|_| memory.thrown_out()).collect();
        assert_eq!(fights.iter().filter(|fight| **fight).count(), 1);
    }

    #[test]
    fn patience_grows_until_something_comes_through() {
        let memory = Memory::default();
        memory.was_silent(Duration::from_secs(15));
        assert_eq!(memory.silence(), Some(Duration::from_secs(30)));
        memory.was_silent(LONGEST_SILENCE);
        assert_eq!(memory.silence(), Some(LONGEST_SILENCE));
        memory.moved();
        assert_eq!(memory.silence(), None);
    }
}
