//! Tokens that were verified before, so that the signature of a feed's token is checked once and not with each request.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use super::claims::Claims;
use super::locked;

/// Most tokens that are remembered; a feed has one. Only verified ones get here, so strangers cannot fill it.
const MAX_TOKENS: usize = 1_024;
/// Most ids of tokens without expiry that are warned of one by one.
const MAX_WARNED: usize = 1_024;

/// A token itself is not kept, only its digest.
type TokenDigest = [u8; 32];

/// Claims by token, for one set of keys: another set begins with nothing.
#[derive(Default)]
pub(super) struct Remembered(Mutex<HashMap<TokenDigest, Arc<Claims>>>);

impl Remembered {
    pub(super) fn get(&self, token: &str) -> Option<Arc<Claims>> {
        locked(&self.0).get(&digest(token)).cloned()
    }

    pub(super) fn put(&self, token: &str, claims: &Arc<Claims>) {
        let mut tokens = locked(&self.0);
        if tokens.len() >= MAX_TOKENS {
            // Those in use are back with their next request.
            tokens.clear();
        }
        tokens.insert(digest(token), Arc::clone(claims));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        locked(&self.0).len()
    }
}

fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token).into()
}

/// Which tokens without expiry were warned of.
#[derive(Default)]
pub(super) struct NoExpiry(Mutex<HashSet<String>>);

impl NoExpiry {
    /// Whether this id was never asked about. Beyond a bound nothing is new any more.
    pub(super) fn is_new(&self, id: &str) -> bool {
        let mut known = locked(&self.0);
        known.len() < MAX_WARNED && !known.contains(id) && known.insert(id.to_owned())
    }
}
