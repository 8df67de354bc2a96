//! Who may write.

use std::sync::Arc;

use http::request::Parts;
use serde_json::{Value, json};

use crate::auth::Authenticator;
use crate::reply::Refusal;

/// The rule of this process.
#[derive(Debug, Clone)]
pub enum Access {
    /// Who shows a token that covers the schema.
    Tokens(Arc<Authenticator>),
    /// Everybody (`--disableAuthentication`).
    Everybody,
}

impl Access {
    /// Whether a request may do something with this schema, or with what the schema `_.diag` stands for.
    ///
    /// # Errors
    /// See [`Authenticator::authorize`].
    pub fn authorize(&self, head: &Parts, database: &str, schema: &str) -> Result<(), Refusal> {
        match self {
            Self::Tokens(authenticator) => authenticator.authorize(head, database, schema),
            Self::Everybody => Ok(()),
        }
    }

    /// What `/_/readyz` shows of it.
    #[must_use]
    pub fn state(&self) -> Value {
        match self {
            Self::Tokens(authenticator) => {
                let state = authenticator.state();
                json!({
                    "required": true,
                    "keys": state.keys,
                    "bad_keys": state.bad_keys,
                    "revoked_ids": state.revoked,
                    "last_refresh": state.read_at,
                    "last_refresh_failed": state.stale,
                })
            }
            Self::Everybody => json!({ "required": false }),
        }
    }
}
