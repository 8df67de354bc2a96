//! Keys, tokens and the authenticator together, with keys made on the spot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::request::Parts;
use http::{Request, StatusCode};
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};
use sink_core::clock::Clock;
use sink_core::credentials::{Credentials, StoredKey};

use super::Authenticator;
use super::keys::{Algorithm, KeyError, VerifyingKey};
use super::signing::{SigningError, SigningKey};
use super::token::{MAX_TOKEN_BYTES, TokenError, token_of, verify};

/// A pair as two PEM texts.
struct Pair {
    private: String,
    public: String,
}

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

fn ec(curve: &'static EcdsaSigningAlgorithm) -> Pair {
    let pair = EcdsaKeyPair::generate(curve).unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    Pair {
        private: pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()),
        public: pem("PUBLIC KEY", public.as_ref()),
    }
}

fn rsa() -> Pair {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    Pair { private: pem("PRIVATE KEY", private.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) }
}

fn p256() -> Pair {
    ec(&ECDSA_P256_SHA256_FIXED_SIGNING)
}

/// Claims that open everything.
fn claims(id: &str) -> Value {
    json!({ "jti": id, "https://github.com/cockroachdb/cdc-sink": { "schemas": [["*", "*"]] } })
}

fn sign(pair: &Pair, claims: &Value) -> String {
    SigningKey::from_pem(pair.private.as_bytes()).unwrap().sign(claims.to_string().as_bytes()).unwrap()
}

fn key(pair: &Pair) -> VerifyingKey {
    VerifyingKey::from_pem(&pair.public).unwrap()
}

/// A token with this header, signed as the key signs, whatever the header says.
fn forged(pair: &Pair, header: &Value, claims: &Value) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let der = pair.private.lines().nth(1).unwrap();
    let key = EncodingKey::from_ec_der(&STANDARD.decode(der).unwrap());
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::ES256).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn every_kind_of_key_verifies_its_own_tokens_and_no_others() {
    let pairs = [
        (Algorithm::Es256, p256()),
        (Algorithm::Es384, ec(&ECDSA_P384_SHA384_FIXED_SIGNING)),
        (Algorithm::Es512, ec(&ECDSA_P521_SHA512_FIXED_SIGNING)),
        (Algorithm::Rs256, rsa()),
    ];
    for (at, (algorithm, pair)) in pairs.iter().enumerate() {
        assert_eq!(SigningKey::from_pem(pair.private.as_bytes()).unwrap().algorithm(), *algorithm);
        let token = sign(pair, &claims("a"));
        for (other, (_, verifier)) in pairs.iter().enumerate() {
            let verified = verify(&token, [&key(verifier)]);
            assert_eq!(verified.is_ok(), at == other, "{algorithm:?} {other}: {verified:?}");
        }
        let all: Vec<_> = pairs.iter().map(|(_, pair)| key(pair)).collect();
        assert_eq!(verify(&token, &all).unwrap().id(), "a");
        // One bit of any part.
        for part in 0..3 {
            let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
            let flipped = if parts[part].starts_with('A') { "B" } else { "A" };
            parts[part].replace_range(0..1, flipped);
            assert!(verify(&parts.join("."), &all).is_err(), "{algorithm:?} part {part}");
        }
    }
}

#[test]
fn tokens_of_the_other_library_are_verified_with_every_rsa_algorithm() {
    let pair = rsa();
    // jsonwebtoken signs with PKCS #1 alone, which is the inner part of PKCS #8 after 26 bytes of head.
    let der = STANDARD.decode(pair.private.lines().nth(1).unwrap()).unwrap();
    let signer = EncodingKey::from_rsa_der(&der[26..]);
    for algorithm in
        [jsonwebtoken::Algorithm::RS256, jsonwebtoken::Algorithm::RS384, jsonwebtoken::Algorithm::RS512]
    {
        let token = jsonwebtoken::encode(&Header::new(algorithm), &claims("a"), &signer).unwrap();
        assert!(verify(&token, [&key(&pair)]).is_ok(), "{algorithm:?}");
    }
    for algorithm in [jsonwebtoken::Algorithm::PS256, jsonwebtoken::Algorithm::PS512] {
        let token = jsonwebtoken::encode(&Header::new(algorithm), &claims("a"), &signer).unwrap();
        assert_eq!(verify(&token, [&key(&pair)]), Err(TokenError::Algorithm), "{algorithm:?}");
    }
}

#[test]
fn the_header_cannot_choose_another_algorithm() {
    let pair = p256();
    let keys = [key(&pair)];
    for (alg, error) in [
        ("none", TokenError::Algorithm),
        ("None", TokenError::Algorithm),
        ("", TokenError::Algorithm),
        ("HS256", TokenError::Algorithm),
        ("es256", TokenError::Algorithm),
        ("EdDSA", TokenError::Algorithm),
        ("ES256K", TokenError::Algorithm),
        ("ES384", TokenError::Signature),
        ("ES512", TokenError::Signature),
        ("RS256", TokenError::Signature),
    ] {
        assert_eq!(verify(&forged(&pair, &json!({ "alg": alg }), &claims("a")), &keys), Err(error), "{alg}");
    }
    // Without a signature, and signed with the public key's text as if that were a secret.
    let unsigned = forged(&pair, &json!({ "alg": "none" }), &claims("a"));
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    assert_eq!(verify(&unsigned, &keys), Err(TokenError::Algorithm));
    let secret = EncodingKey::from_secret(pair.public.as_bytes());
    let hmac =
        jsonwebtoken::encode(&Header::new(jsonwebtoken::Algorithm::HS256), &claims("a"), &secret).unwrap();
    assert_eq!(verify(&hmac, &keys), Err(TokenError::Algorithm));
}

#[test]
fn what_the_header_says_of_keys_is_ignored_and_what_it_calls_critical_is_not() {
    let (pair, other) = (p256(), p256());
    let header = |extra: Value| {
        let mut header = json!({ "alg": "ES256" });
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        header
    };
    for extra in [
        json!({ "kid": "../../etc/passwd" }),
        json!({ "jku": "https://attacker.example/keys" }),
        json!({ "jwk": { "kty": "EC", "crv": "P-256", "x": "a", "y": "b" } }),
        json!({ "x5u": 7, "x5c": [], "typ": null }),
    ] {
        assert!(
            verify(&forged(&pair, &header(extra.clone()), &claims("a")), [&key(&pair)]).is_ok(),
            "{extra}"
        );
        let token = forged(&other, &header(extra.clone()), &claims("a"));
        assert_eq!(verify(&token, [&key(&pair)]), Err(TokenError::Signature), "{extra}");
    }
    let critical = forged(&pair, &header(json!({ "crit": ["exp"] })), &claims("a"));
    assert_eq!(verify(&critical, [&key(&pair)]), Err(TokenError::Malformed));
}

#[test]
fn tokens_have_three_parts_of_some_length() {
    let pair = p256();
    let token = sign(&pair, &claims("a"));
    let parts: Vec<&str> = token.split('.').collect();
    for wrong in [
        String::new(),
        "..".into(),
        parts[0].into(),
        parts[..2].join("."),
        format!("{token}."),
        format!("{token}.e30.e30"),
        format!("{}.{}=.{}", parts[0], parts[1], parts[2]),
        format!("{}\n.{}.{}", parts[0], parts[1], parts[2]),
    ] {
        assert!(
            matches!(verify(&wrong, [&key(&pair)]), Err(TokenError::Malformed | TokenError::Signature)),
            "{wrong}"
        );
    }
    assert_eq!(verify(&token[..token.len() - 4], [&key(&pair)]), Err(TokenError::Signature));
    assert_eq!(verify(&"a".repeat(MAX_TOKEN_BYTES + 1), [&key(&pair)]), Err(TokenError::TooLong));
}

#[test]
fn what_is_no_key_is_refused_with_a_reason() {
    let pair = p256();
    let bad = |text: &str| VerifyingKey::from_pem(text).err();
    assert_eq!(bad(""), Some(KeyError::NotPem));
    assert_eq!(bad("ssh-rsa AAAA"), Some(KeyError::NotPem));
    assert_eq!(bad(&pair.private), Some(KeyError::Private));
    assert_eq!(bad(&pem("PUBLIC KEY", b"junk")), Some(KeyError::Unusable));
    assert_eq!(bad(&pair.public.replace("-----END", "----END")), Some(KeyError::NotPem));
    let sign = |text: &str| SigningKey::from_pem(text.as_bytes()).err();
    assert_eq!(sign(""), Some(SigningError::NoKey));
    assert_eq!(sign(&pair.public), Some(SigningError::NoKey));
    assert_eq!(sign(&pem("PRIVATE KEY", b"junk")), Some(SigningError::Unusable));
    assert_eq!(sign(&pem("ENCRYPTED PRIVATE KEY", b"junk")), Some(SigningError::Encrypted));
    // What stands around a key does not matter.
    let bag = format!("some text\n{}{}", pem("EC PARAMETERS", b"x"), pair.public);
    assert!(bad(&bag).is_none());
}

fn head(uri: &str, headers: &[&str]) -> Parts {
    let mut request = Request::builder().uri(uri);
    for header in headers {
        request = request.header("authorization", *header);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn a_bearer_header_wins_and_any_other_shuts_out_the_parameter() {
    let found = |uri: &str, headers: &[&str]| token_of(&head(uri, headers)).map(|token| token.into_owned());
    assert_eq!(found("/a/b", &["Bearer x.y.z"]).unwrap(), "x.y.z");
    assert_eq!(found("/a/b", &["bearer   x.y.z "]).unwrap(), "x.y.z");
    assert_eq!(found("/a/b?access_token=q", &["Bearer h"]).unwrap(), "h");
    assert_eq!(found("/a/b?access_token=q", &["Basic h"]), Err(TokenError::NotBearer));
    assert_eq!(found("/a/b?access_token=q", &["Bearer"]), Err(TokenError::NotBearer));
    assert_eq!(found("/a/b?access_token=q", &["Bearer "]), Err(TokenError::Missing));
    assert_eq!(found("/a/b", &["Bearer a", "Bearer b"]), Err(TokenError::NotBearer));
    assert_eq!(found("/a/b?x=y&access_token=a%2Eb.c&access_token=d", &[]).unwrap(), "a.b.c");
    assert_eq!(found("/a/b?access_token=%zz", &[]), Err(TokenError::Malformed));
    assert_eq!(found("/a/b?my_access_token=a", &[]), Err(TokenError::Missing));
    assert_eq!(found("/a/b?access_token=", &[]), Err(TokenError::Missing));
    assert_eq!(found("/a/b", &[]), Err(TokenError::Missing));
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(found(&format!("/a/b?access_token={long}"), &[]), Err(TokenError::TooLong));
    assert_eq!(found("/a/b", &[&format!("Bearer {long}")]), Err(TokenError::TooLong));
}

/// A clock that tests set.
#[derive(Clone, Default)]
struct Seconds(Arc<AtomicU64>);

impl Clock for Seconds {
    fn wall(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

struct Door {
    clock: Seconds,
    authenticator: Authenticator,
}

impl Door {
    fn new(allow_no_expiry: bool) -> Self {
        let clock = Seconds::default();
        clock.0.store(1_000_000, Ordering::Relaxed);
        Self { authenticator: Authenticator::with_clock(allow_no_expiry, clock.clone()), clock }
    }

    fn install(&self, keys: &[(&str, &str)], revoked: &[&str]) {
        let keys = keys.iter().map(|(id, text)| StoredKey { id: (*id).into(), text: Some((*text).into()) });
        let revoked = revoked.iter().map(|id| (*id).into()).collect();
        self.authenticator.install(Credentials { keys: keys.collect(), revoked });
    }

    fn open(&self, token: &str) -> Result<(), TokenError> {
        self.authenticator.check(&head("/db/s", &[&format!("Bearer {token}")]), "db", "s")
    }
}

#[test]
fn nobody_gets_in_without_keys_and_everybody_is_told_the_same() {
    let (door, pair) = (Door::new(true), p256());
    let token = sign(&pair, &claims("a"));
    assert_eq!(door.open(&token), Err(TokenError::Signature));
    door.install(&[("1", &pair.public)], &[]);
    assert_eq!(door.open(&token), Ok(()));
    door.install(&[], &[]);
    assert_eq!(door.open(&token), Err(TokenError::Signature), "what was remembered must not survive its key");
    door.install(&[("1", &pair.public)], &["a"]);
    let told = |headers: &[&str]| {
        let refusal = door.authenticator.authorize(&head("/db/s", headers), "db", "s").unwrap_err();
        assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
        refusal.text
    };
    let revoked = told(&[&format!("Bearer {token}")]);
    assert_eq!(
        (told(&[]), told(&["Basic x"]), told(&["Bearer x.y.z"])),
        (revoked.clone(), revoked.clone(), revoked)
    );
}

#[test]
fn a_remembered_token_is_judged_anew_each_time() {
    let (door, pair) = (Door::new(true), p256());
    let mut ending = claims("ends");
    ending["exp"] = 1_000_500.into();
    let (ending, endless) = (sign(&pair, &ending), sign(&pair, &claims("endless")));
    door.install(&[("1", &pair.public)], &[]);
    for _ in 0..3 {
        assert_eq!((door.open(&ending), door.open(&endless)), (Ok(()), Ok(())));
    }
    assert_eq!(door.authenticator.set().remembered.len(), 2);
    door.clock.0.store(1_000_560, Ordering::Relaxed);
    assert_eq!((door.open(&ending), door.open(&endless)), (Err(TokenError::Time), Ok(())));
    door.install(&[("1", &pair.public)], &["endless"]);
    assert_eq!(door.authenticator.set().remembered.len(), 2, "the same keys: nothing is verified again");
    assert_eq!(door.open(&endless), Err(TokenError::Revoked));
    door.install(&[("1", &pair.public)], &[]);
    assert_eq!(door.open(&endless), Ok(()));
}

#[test]
fn the_memory_for_tokens_is_bounded() {
    let (door, pair) = (Door::new(true), p256());
    door.install(&[("1", &pair.public)], &[]);
    for id in 0..1_100 {
        door.open(&sign(&pair, &claims(&id.to_string()))).unwrap();
    }
    assert!(door.authenticator.set().remembered.len() <= 1_024);
    // What is not signed takes no room.
    let before = door.authenticator.set().remembered.len();
    assert!(door.open("e30.e30.e30").is_err());
    assert_eq!(door.authenticator.set().remembered.len(), before);
}

#[test]
fn tokens_without_expiry_can_be_refused() {
    let pair = p256();
    for (allowed, expected) in [(true, Ok(())), (false, Err(TokenError::NoExpiry))] {
        let door = Door::new(allowed);
        door.install(&[("1", &pair.public)], &[]);
        assert_eq!(door.open(&sign(&pair, &claims("a"))), expected);
        let mut ending = claims("b");
        ending["exp"] = 2_000_000.into();
        assert_eq!(door.open(&sign(&pair, &ending)), Ok(()));
    }
}

#[test]
fn a_bad_key_takes_no_other_down() {
    let (door, pair) = (Door::new(true), p256());
    let long = StoredKey { id: "4".into(), text: None };
    let keys = [("1", "nonsense"), ("2", &*pair.private), ("3", &*pair.public)];
    let keys = keys.map(|(id, text)| StoredKey { id: id.into(), text: Some(text.into()) });
    let keys = keys.into_iter().chain([long]).collect();
    door.authenticator.install(Credentials { keys, revoked: Default::default() });
    assert_eq!(door.open(&sign(&pair, &claims("a"))), Ok(()));
    let state = door.authenticator.state();
    assert_eq!((state.keys, state.bad_keys, state.stale), (1, 3, false));
    let problems = format!("{:?}", door.authenticator.set().bad);
    assert!(!problems.contains("nonsense") && !problems.contains(pair.private.lines().nth(1).unwrap()));
}

#[test]
fn what_was_known_stays_in_force_while_the_tables_cannot_be_read() {
    let (door, pair) = (Door::new(true), p256());
    let failure = || sink_core::failure::Failure::new(sink_core::failure::Disposition::Retry, "read", "gone");
    let (good, revoked) = (sign(&pair, &claims("a")), sign(&pair, &claims("b")));
    door.authenticator.keep(&failure());
    assert!(door.open(&good).is_err() && door.authenticator.state().read_at.is_none());
    door.install(&[("1", &pair.public)], &["b"]);
    door.authenticator.keep(&failure());
    assert_eq!((door.open(&good), door.open(&revoked)), (Ok(()), Err(TokenError::Revoked)));
    assert!(door.authenticator.state().stale);
    door.install(&[], &[]);
    assert!(door.open(&good).is_err() && !door.authenticator.state().stale);
}

proptest! {
    #[test]
    fn nothing_that_is_sent_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        text in "([A-Za-z0-9_-]{0,20}[.]){0,5}[A-Za-z0-9_=-]{0,20}",
        header in "\\PC{0,60}",
    ) {
        let keys = [key(&Pair {
            private: String::new(),
            // A fixed key: making one takes longer than the rest.
            public: "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJblOqde1GsU8RM20b++vMoL+\
                     J7HmUaYEC6+yGP+fV8HmaGuCOr/4Es6V4+saauBPehjEkBwTJUgt6pPLuqChbg==\n-----END PUBLIC KEY-----".into(),
        })];
        let _ = verify(&text, &keys);
        let _ = verify(&String::from_utf8_lossy(&bytes), &keys);
        // A header that can be read leads deeper.
        let signed = format!("{}.{text}", URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"ES256\",\"x\":{header:?}}}")));
        let _ = verify(&signed, &keys);
        let _ = VerifyingKey::from_pem(&header);
        let _ = VerifyingKey::from_pem(&pem("PUBLIC KEY", &bytes));
        let _ = SigningKey::from_pem(pem("PRIVATE KEY", &bytes).as_bytes());
        if let Ok(value) = http::HeaderValue::from_bytes(&bytes) {
            let mut head = head("/a/b", &[]);
            head.headers.insert("authorization", value);
            let _ = token_of(&head);
        }
        if let Ok(uri) = format!("/a/b?access_token={text}").parse::<http::Uri>() {
            let mut head = head("/a/b", &[]);
            head.uri = uri;
            let _ = token_of(&head);
        }
    }
}
