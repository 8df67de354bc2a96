//! Tokens, their claims, and keys.

use std::sync::LazyLock;

use http::header::AUTHORIZATION;
use source_webhook::auth::claims::Claims;
use source_webhook::auth::keys::VerifyingKey;
use source_webhook::auth::token::{MAX_TOKEN_BYTES, token_of, verify};

/// A public key whose private key was thrown away.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzPKDCFGRfrU7l7c/9CHcx266G1HE
iLQrwUyEkVZCCkXEwf8/fZmJr7w8Sni2CpjWqnf4zPpCUhHz66F445YQog==
-----END PUBLIC KEY-----
";

static KEYS: LazyLock<[VerifyingKey; 1]> =
    LazyLock::new(|| [VerifyingKey::from_pem(KEY).expect("a key that openssl made")]);

/// Nobody can have signed a token; where a request carries it makes no difference.
pub(super) fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(verify(text, KEYS.iter()).is_err(), "a forged token was accepted");
    let header = http::Request::get("/db/schema").header(AUTHORIZATION, format!("Bearer {text}")).body(());
    let query = http::Request::get(format!("/db/schema?access_token={text}")).body(());
    for request in [header, query].into_iter().flatten() {
        let (head, ()) = request.into_parts();
        if let Ok(token) = token_of(&head) {
            assert!(!token.is_empty() && token.len() <= MAX_TOKEN_BYTES);
            assert!(verify(&token, KEYS.iter()).is_err(), "a forged token was accepted");
        }
    }
}

/// Claims that are understood have an id and open something, but never a name that they do not hold.
pub(super) fn claims(bytes: &[u8]) {
    let Ok(claims) = Claims::parse(bytes) else { return };
    assert!(!claims.id().is_empty());
    let wildcard = bytes.windows(3).any(|part| part == b"\"*\"") || bytes.contains(&b'\\');
    assert!(wildcard || !claims.covers("no such database \u{7f}", "no such schema \u{7f}"));
}

/// Whatever is taken for a key verifies nothing that its owner did not sign.
pub(super) fn key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(key) = VerifyingKey::from_pem(text) else { return };
    assert!(verify("eyJhbGciOiJFUzI1NiJ9.e30.AAAA", [&key]).is_err());
}
