//! The encoded token: where a request carries it, what its parts are, and whether a key signed it. Pure.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::claims::{Claims, ClaimsError, is_object};
use super::keys::{Algorithm, VerifyingKey};
use crate::route::percent_decode;

/// Longest token that is looked at, in bytes; usual ones have a few hundred.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Name of the query parameter, for sources that cannot send a header.
const PARAMETER: &str = "access_token";

/// Why a token is not accepted. Never holds anything of the token; only the log tells these apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("the request carries no token")]
    Missing,
    /// An Authorization header that is not `Bearer …`, or several.
    #[error("the Authorization header is not a bearer token")]
    NotBearer,
    /// Above [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three parts of base64url with a header in front.
    #[error("the token is malformed")]
    Malformed,
    /// Signed in a way that we do not take, or not at all.
    #[error("the token's algorithm is none of ES256, ES384, ES512, RS256, RS384 and RS512")]
    Algorithm,
    /// No active key made the signature.
    #[error("no active key has signed the token")]
    Signature,
    /// The claims are not good enough.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// Too early or too late.
    #[error("the token is expired or not yet valid")]
    Time,
    /// It would never end, which is not allowed here.
    #[error("the token has no `exp`, and --jwtAllowNoExpiry=false is given")]
    NoExpiry,
    /// On the list of revoked ids.
    #[error("the token is revoked")]
    Revoked,
    /// It opens other schemas.
    #[error("the token does not cover the schema")]
    Schema,
}

/// The token of a request. An Authorization header wins, whatever it holds; without one, the query parameter counts.
///
/// # Errors
/// If there is none, or it cannot be one.
pub fn token_of(head: &Parts) -> Result<Cow<'_, str>, TokenError> {
    let mut headers = head.headers.get_all(AUTHORIZATION).iter();
    let token = match (headers.next(), headers.next()) {
        (Some(header), None) => {
            Cow::Borrowed(header.to_str().ok().and_then(bearer).ok_or(TokenError::NotBearer)?)
        }
        (Some(_), Some(_)) => return Err(TokenError::NotBearer),
        (None, _) => {
            let token = head.uri.query().and_then(parameter).ok_or(TokenError::Missing)?;
            if token.len() > MAX_TOKEN_BYTES {
                return Err(TokenError::TooLong);
            }
            Cow::Owned(percent_decode(token).ok_or(TokenError::Malformed)?)
        }
    };
    if token.is_empty() {
        return Err(TokenError::Missing);
    }
    if token.len() > MAX_TOKEN_BYTES { Err(TokenError::TooLong) } else { Ok(token) }
}

/// What follows `Bearer`, which is written in any case (RFC 9110, 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The first parameter of our name in a query string, not yet decoded.
fn parameter(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix(PARAMETER)?.strip_prefix('='))
}

/// The one member of the header that matters, and the one that would change the meaning of the rest. `kid`, `jku`, `jwk`
/// and `x5u` are not looked at: the keys are those of our table.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

/// The claims of a token that one of the keys has signed.
///
/// # Errors
/// See [`TokenError`]. Times, revocation and schemas are the caller's to judge.
pub fn verify<'k>(
    token: &str,
    keys: impl IntoIterator<Item = &'k VerifyingKey>,
) -> Result<Claims, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Malformed);
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
    let json = decode(header)?;
    let parsed = if is_object(&json) { serde_json::from_slice::<Header>(&json).ok() } else { None };
    let parsed = parsed.ok_or(TokenError::Malformed)?;
    if parsed.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let algorithm = Algorithm::from_name(&parsed.alg).ok_or(TokenError::Algorithm)?;
    let message = &token.as_bytes()[..header.len() + 1 + claims.len()];
    if !keys.into_iter().any(|key| key.verifies(algorithm, message, signature)) {
        return Err(TokenError::Signature);
    }
    Ok(Claims::parse(&decode(claims)?)?)
}
