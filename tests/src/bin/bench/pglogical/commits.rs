//! Who waits for the disk at a commit.

/// How both sides commit during a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Commits {
    /// Both wait.
    On,
    /// Each as it does by default: a subscription does not wait, ours does.
    Default,
}

impl Commits {
    /// What figures are called by.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::On => "both on",
            Self::Default => "as by default",
        }
    }

    /// What that is.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::On => "synchronous_commit = on for the subscription and for cdc-pglogical",
            Self::Default => "synchronous_commit = off for the subscription, on for cdc-pglogical",
        }
    }

    /// What the subscription's `synchronous_commit` is.
    pub(crate) fn rival(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Default => "off",
        }
    }
}
