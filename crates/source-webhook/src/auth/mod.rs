//! Tells who may write: requests carry a token, and the home database holds the public keys of those who may issue
//! them.
//!
//! ```text
//! home database ─► keys ───┐ every minute and on SIGHUP
//! request ─► token ─► verified claims (remembered) ─► time, revocation, schema ─► allowed
//! ```
//!
//! Whoever is refused learns nothing but that; the log says why at `debug`.

pub mod claims;
pub mod keys;
pub mod signing;
pub mod token;

mod remembered;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use sink_core::clock::{Clock, SystemClock};
use sink_core::credentials::{self, Credentials, MAX_KEY_BYTES, StoredKey};
use sink_core::failure::{Failure, chain};
use sink_core::target::Target;
use tokio_util::sync::CancellationToken;

use self::claims::Claims;
use self::keys::VerifyingKey;
use self::remembered::{NoExpiry, Remembered};
use self::token::TokenError;
use crate::metrics;
use crate::reply::Refusal;

/// How often keys and revoked ids are read again.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// The same while they could not be read since the start: nobody gets in until then.
const FIRST_READ_INTERVAL: Duration = Duration::from_secs(5);

/// What everybody is told who is not let in. Always the same, so that it tells nothing about keys and tokens.
const REFUSED: &str = "a valid token for this schema is required; give it to CREATE CHANGEFEED as \
                       webhook_auth_header='Bearer <token>'. Tokens are made with `cdc-webhook make-jwt`, and their \
                       public key must be in the table jwt_public_keys of the staging area";

/// Checks tokens.
pub struct Authenticator {
    /// Whether tokens without `exp` are accepted (`--jwtAllowNoExpiry`).
    allow_no_expiry: bool,
    clock: Box<dyn Clock>,
    inner: RwLock<Arc<KeySet>>,
    no_expiry: NoExpiry,
    /// One reload at a time: the older of two must not be installed last.
    reloading: tokio::sync::Mutex<()>,
}

/// What is known of the tables, replaced as a whole.
#[derive(Default)]
struct KeySet {
    stored: Vec<StoredKey>,
    keys: Arc<[VerifyingKey]>,
    /// Problem by id.
    bad: HashMap<String, String>,
    revoked: HashSet<String>,
    remembered: Arc<Remembered>,
    /// Seconds since 1970; `None` before the tables were read for the first time.
    read_at: Option<Duration>,
    /// Whether the last attempt failed.
    stale: bool,
}

/// What `/_/readyz` shows: counts only, for anybody may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// Keys that verify tokens.
    pub keys: usize,
    /// Active rows that are no usable key.
    pub bad_keys: usize,
    /// Revoked ids.
    pub revoked: usize,
    /// When the tables were last read, in whole seconds since 1970.
    pub read_at: Option<u64>,
    /// Whether the last attempt to read them failed.
    pub stale: bool,
}

impl Authenticator {
    /// Lets nobody in until [`Authenticator::reload`] has found a key.
    #[must_use]
    pub fn new(allow_no_expiry: bool) -> Self {
        Self::with_clock(allow_no_expiry, SystemClock)
    }

    fn with_clock(allow_no_expiry: bool, clock: impl Clock) -> Self {
        Self {
            allow_no_expiry,
            clock: Box::new(clock),
            inner: RwLock::default(),
            no_expiry: NoExpiry::default(),
            reloading: tokio::sync::Mutex::new(()),
        }
    }

    /// Whether a request carries a token for this schema. Looks at the head alone, waits for nothing.
    ///
    /// # Errors
    /// 401 with a text that is always the same.
    pub fn authorize(&self, head: &Parts, database: &str, schema: &str) -> Result<(), Refusal> {
        self.check(head, database, schema).map_err(|error| {
            tracing::debug!(database, schema, %error, "a request was not let in");
            Refusal::new(StatusCode::UNAUTHORIZED, REFUSED)
        })
    }

    fn check(&self, head: &Parts, database: &str, schema: &str) -> Result<(), TokenError> {
        let token = token::token_of(head)?;
        let set = self.set();
        let claims = match set.remembered.get(&token) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(token::verify(&token, set.keys.iter())?);
                set.remembered.put(&token, &claims);
                claims
            }
        };
        // None of these is remembered: a token ends, or is revoked, while its connection is open.
        if !claims.valid_at(self.clock.wall()) {
            return Err(TokenError::Time);
        }
        if set.revoked.contains(claims.id()) {
            return Err(TokenError::Revoked);
        }
        if claims.never_expires() {
            self.judge_no_expiry(&claims)?;
        }
        if claims.covers(database, schema) { Ok(()) } else { Err(TokenError::Schema) }
    }

    fn judge_no_expiry(&self, claims: &Claims) -> Result<(), TokenError> {
        if !self.allow_no_expiry {
            return Err(TokenError::NoExpiry);
        }
        if self.no_expiry.is_new(claims.id()) {
            tracing::warn!(
                jti = claims.id(),
                "a token without expiry is in use; make one with --expires, and refuse such tokens with \
                 --jwtAllowNoExpiry=false"
            );
        }
        Ok(())
    }

    /// Reads the tables again. If they cannot be read, what was known stays in force; if they are empty, nobody gets in.
    pub async fn reload(&self, target: &Target) {
        let _one = self.reloading.lock().await;
        match credentials::read(target).await {
            Ok(found) => self.install(found),
            Err(failure) => self.keep(&failure),
        }
    }

    /// Reads the tables every minute until told to stop.
    pub async fn keep_fresh(&self, target: &Target, stop: CancellationToken) {
        loop {
            let interval = if self.set().read_at.is_some() { REFRESH_INTERVAL } else { FIRST_READ_INTERVAL };
            if stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
                return;
            }
            self.reload(target).await;
        }
    }

    /// Takes what the tables hold into use, and says what has changed.
    fn install(&self, found: Credentials) {
        let old = self.set();
        let now = self.clock.wall();
        let first = old.read_at.is_none();
        let changed = first || old.stored != found.keys;
        let mut new = if changed {
            load(found.keys)
        } else {
            // The same keys: what they have verified stays verified.
            KeySet {
                stored: found.keys,
                keys: Arc::clone(&old.keys),
                bad: old.bad.clone(),
                remembered: Arc::clone(&old.remembered),
                ..KeySet::default()
            }
        };
        new.revoked = found.revoked;
        new.read_at = Some(now);
        if changed {
            report(&old, &new);
        } else if old.stale {
            tracing::info!("keys and revoked ids of tokens could be read again");
        }
        metrics::refreshed(now);
        self.replace(new);
    }

    fn keep(&self, failure: &Failure) {
        let old = self.set();
        if old.read_at.is_some() {
            tracing::error!(error = %chain(failure), "the tables of keys were not read again; those known stay in force");
        } else {
            tracing::error!(error = %chain(failure), "the tables of keys cannot be read: every delivery is refused");
        }
        self.replace(KeySet {
            stored: old.stored.clone(),
            keys: Arc::clone(&old.keys),
            bad: old.bad.clone(),
            revoked: old.revoked.clone(),
            remembered: Arc::clone(&old.remembered),
            read_at: old.read_at,
            stale: true,
        });
    }

    /// Counts for `/_/readyz`.
    #[must_use]
    pub fn state(&self) -> KeyState {
        let set = self.set();
        KeyState {
            keys: set.keys.len(),
            bad_keys: set.bad.len(),
            revoked: set.revoked.len(),
            read_at: set.read_at.map(|at| at.as_secs()),
            stale: set.stale,
        }
    }

    fn set(&self) -> Arc<KeySet> {
        Arc::clone(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, set: KeySet) {
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Every key that can be read; a bad one takes no other down.
fn load(stored: Vec<StoredKey>) -> KeySet {
    let (mut keys, mut bad) = (Vec::new(), HashMap::new());
    for row in &stored {
        let problem = match row.text.as_deref().map(VerifyingKey::from_pem) {
            Some(Ok(key)) => {
                keys.push(key);
                continue;
            }
            Some(Err(error)) => error.to_string(),
            None => format!("it is longer than {MAX_KEY_BYTES} bytes"),
        };
        bad.insert(row.id.clone(), problem);
    }
    KeySet { stored, keys: keys.into(), bad, ..KeySet::default() }
}

/// One line for what is new; nothing is said every minute.
fn report(old: &KeySet, new: &KeySet) {
    for (id, problem) in new.bad.iter().filter(|(id, problem)| old.bad.get(*id) != Some(problem)) {
        tracing::warn!(%id, %problem, "a row of jwt_public_keys cannot be used; the other keys can");
    }
    if new.keys.is_empty() {
        tracing::warn!(
            "there is no usable key in jwt_public_keys: every delivery is refused. Insert a public key, or start with \
             --disableAuthentication in a trusted network"
        );
    } else {
        tracing::info!(keys = new.keys.len(), revoked = new.revoked.len(), "tokens are checked");
    }
}

/// Only whole values are stored under these locks, so a poisoned one still guards a good value.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
