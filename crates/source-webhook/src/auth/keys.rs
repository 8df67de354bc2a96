//! Public keys: what can be one, and which algorithms it can verify. Pure.
//!
//! The key decides, never the token: an EC key verifies the one algorithm of its curve, an RSA key RS256, RS384 and
//! RS512. There is no way from a key to HMAC or to no signature at all.

use aws_lc_rs::rsa::PublicKey as RsaPublicKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::{self, PemObject as _};

/// RSA keys below this can be broken.
pub const MIN_RSA_BITS: usize = 2_048;
/// RSA keys above this cost too much time for each token.
pub const MAX_RSA_BITS: usize = 8_192;

/// A signature algorithm that we take; there are no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA, P-256, SHA-256.
    Es256,
    /// ECDSA, P-384, SHA-384.
    Es384,
    /// ECDSA, P-521, SHA-512.
    Es512,
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    Rs384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    Rs512,
}

impl Algorithm {
    /// The algorithm with this name in a token's header. Names are case-sensitive (RFC 7515, 4.1.1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Es256, Self::Es384, Self::Es512, Self::Rs256, Self::Rs384, Self::Rs512];
        all.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name in a token's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }
}

/// Why a text is not a key that we use. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No `BEGIN PUBLIC KEY` block.
    #[error("it is not a public key in PEM form, which begins with -----BEGIN PUBLIC KEY-----")]
    NotPem,
    /// A private key does not belong into a table that others can read.
    #[error(
        "it is a private key: remove it from the table, make a new pair, and store the public half alone"
    )]
    Private,
    /// A key of another kind, or a damaged one.
    #[error("it is neither an RSA key nor an EC key on P-256, P-384 or P-521")]
    Unusable,
    /// RSA, too short or too long.
    #[error("it is an RSA key of {0} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")]
    RsaBits(usize),
}

/// A key that verifies tokens.
#[derive(Clone)]
pub struct VerifyingKey(Kind);

#[derive(Clone)]
enum Kind {
    P256(DecodingKey),
    P384(DecodingKey),
    /// jsonwebtoken knows no ES512.
    P521(ParsedPublicKey),
    Rsa(DecodingKey),
}

impl VerifyingKey {
    /// Reads the first public key of a PEM text (PKIX, as `openssl … -pubout` prints it).
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
            pem::Error::NoItemsFound if text.contains("PRIVATE KEY-----") => KeyError::Private,
            _ => KeyError::NotPem,
        })?;
        let on = |curve: &'static EcdsaVerificationAlgorithm| ParsedPublicKey::new(curve, &der).ok();
        if on(&ECDSA_P256_SHA256_FIXED).is_some() {
            return Ok(Self(Kind::P256(DecodingKey::from_ec_der(&der))));
        }
        if on(&ECDSA_P384_SHA384_FIXED).is_some() {
            return Ok(Self(Kind::P384(DecodingKey::from_ec_der(&der))));
        }
        if let Some(key) = on(&ECDSA_P521_SHA512_FIXED) {
            return Ok(Self(Kind::P521(key)));
        }
        let key = RsaPublicKey::from_der(&der).map_err(|_| KeyError::Unusable)?;
        let bits = bits(key.modulus().big_endian_without_leading_zero());
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(KeyError::RsaBits(bits));
        }
        Ok(Self(Kind::Rsa(DecodingKey::from_rsa_der(&der))))
    }

    /// Whether `signature` (base64url) is this key's signature of `message` by this algorithm.
    #[must_use]
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        use jsonwebtoken::Algorithm as Known;
        let (key, algorithm) = match (&self.0, algorithm) {
            (Kind::P256(key), Algorithm::Es256) => (key, Known::ES256),
            (Kind::P384(key), Algorithm::Es384) => (key, Known::ES384),
            (Kind::Rsa(key), Algorithm::Rs256) => (key, Known::RS256),
            (Kind::Rsa(key), Algorithm::Rs384) => (key, Known::RS384),
            (Kind::Rsa(key), Algorithm::Rs512) => (key, Known::RS512),
            (Kind::P521(key), Algorithm::Es512) => {
                let signature = URL_SAFE_NO_PAD.decode(signature);
                return signature.is_ok_and(|signature| key.verify_sig(message, &signature).is_ok());
            }
            (Kind::P256(_) | Kind::P384(_) | Kind::P521(_) | Kind::Rsa(_), _) => return false,
        };
        jsonwebtoken::crypto::verify(signature, message, key, algorithm).unwrap_or(false)
    }
}

/// Length of a number without leading zero bytes.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |byte| byte.leading_zeros());
    (number.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or(0))
}
