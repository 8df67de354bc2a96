//! Who may write, as the operator keeps it in the home database: public keys and revoked token ids, as plain text.
//!
//! Nothing is judged here: what a key is and what a token says is the business of the source that takes tokens.

mod store;

use std::collections::HashSet;
use std::time::Duration;

pub use store::read;

/// Most keys that are active at once. A token is tried against all of them, so they bound the work that a stranger
/// can cause with a forged one.
pub const MAX_KEYS: usize = 100;
/// Longest key text that is read, in bytes; an RSA key of 8192 bits has about 1,400.
pub const MAX_KEY_BYTES: usize = 16 * 1024;
/// Longest id of a token, in bytes. Longer ones are not read, so a source must refuse tokens that have one.
pub const MAX_ID_BYTES: usize = 1_024;
/// Most revoked ids. They are all held in memory, at most [`MAX_ID_BYTES`] each.
pub const MAX_REVOKED: usize = 100_000;
/// Longest time for reading both tables.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// An active row of `jwt_public_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its `id`, by which operators find it.
    pub id: String,
    /// Its `public_key`; `None` if that is longer than [`MAX_KEY_BYTES`].
    pub text: Option<String>,
}

/// What both tables hold, at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The active keys, ordered by id.
    pub keys: Vec<StoredKey>,
    /// Ids of tokens that are no longer accepted.
    pub revoked: HashSet<String>,
}
