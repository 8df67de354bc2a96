//! What the process tells the shell, the init system or the orchestrator when it ends.

use std::process::ExitCode;

/// Why the process ended. The numbers are part of the interface: a supervisor may restart on
/// [`Exit::Failure`] and [`Exit::Target`] and must not on [`Exit::Usage`] and [`Exit::Refused`].
///
/// Outside this list: 101 after a panic of the main thread, and 128 plus the signal's number (130
/// for SIGINT, 143 for SIGTERM) when a second signal cut the shutdown short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Finished as asked; also after a signal, when everything in flight was drained.
    Success = 0,
    /// Something unexpected; trying again may help.
    Failure = 1,
    /// The command line, the environment or the configuration file is wrong (clap uses 2 as well).
    Usage = 2,
    /// A database can't be reached, or is not one this program can work with.
    Target = 3,
    /// Going on would lose or invent data, so a person has to decide first.
    Refused = 4,
    /// Asked to stop, but work in flight outlasted the grace period. Nothing that was confirmed to
    /// a source is lost; what was not will be sent again.
    Undrained = 5,
}

impl Exit {
    /// The number itself.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Target => 3,
            Self::Refused => 4,
            Self::Undrained => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_do_not_change() {
        let all = [Exit::Success, Exit::Failure, Exit::Usage, Exit::Target, Exit::Refused, Exit::Undrained];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5]);
        assert_eq!(all.map(|exit| exit as u8), all.map(Exit::code));
        assert_eq!(ExitCode::from(Exit::Refused), ExitCode::from(4));
    }
}
