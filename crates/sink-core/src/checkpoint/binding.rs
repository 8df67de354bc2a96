//! Which feed a schema belongs to. A mark of one feed promises for every row of the schema, so a second feed would lose
//! rows. Only feeds that say who they are can be told apart.

mod sql;

/// How a feed says who it is. Each kind is bound by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// By a name that its URL carries.
    Name,
    /// By the number of the job that runs it at the source.
    Job,
}

impl IdentityKind {
    /// The word stored in the staging area.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Job => "job",
        }
    }
}
