//! Who may write.

/// The rule of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody: there is no way yet to tell who asks, and an unsafe default is no default.
    Denied,
    /// Everybody (`--disableAuthentication`).
    Everybody,
}
