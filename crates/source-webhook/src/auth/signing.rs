//! Makes tokens with a private key, for `make-jwt` and for tests. Pure.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::{self, PemObject as _};

use super::keys::{Algorithm, MAX_RSA_BITS, MIN_RSA_BITS};

/// Why a file holds no key that can sign. Never holds anything of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// No private key in PEM form.
    #[error("it holds no private key in PEM form (BEGIN PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY)")]
    NoKey,
    /// Protected by a password.
    #[error(
        "the private key is encrypted; decrypt it first, for instance with: openssl pkey -in KEY -out PLAIN"
    )]
    Encrypted,
    /// A key of another kind, of a size that nobody would accept, or a damaged one.
    #[error(
        "the private key is neither EC on P-256, P-384 or P-521 nor RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits; \
         make one with: openssl ecparam -out KEY -genkey -name prime256v1"
    )]
    Unusable,
    /// The library failed; it does not say why.
    #[error("the token could not be signed")]
    Failed,
}

/// A private key that signs tokens. By aws-lc-rs alone: jsonwebtoken reads neither SEC 1 nor RSA in PKCS #8, and knows
/// no ES512.
pub struct SigningKey {
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// The curves, and the one algorithm of each.
const CURVES: [(Algorithm, &EcdsaSigningAlgorithm); 3] = [
    (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED_SIGNING),
    (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED_SIGNING),
    (Algorithm::Es512, &ECDSA_P521_SHA512_FIXED_SIGNING),
];

impl SigningKey {
    /// Reads the first private key of a PEM text: PKCS #8, SEC 1 or PKCS #1. Other blocks, such as the EC PARAMETERS
    /// that OpenSSL writes in front, are passed over.
    ///
    /// # Errors
    /// See [`SigningError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, SigningError> {
        if is_encrypted(text) {
            return Err(SigningError::Encrypted);
        }
        let der = PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
            pem::Error::NoItemsFound => SigningError::NoKey,
            _ => SigningError::Unusable,
        })?;
        let der = der.secret_der();
        for (algorithm, curve) in CURVES {
            if let Ok(pair) = EcdsaKeyPair::from_private_key_der(curve, der) {
                return Ok(Self { algorithm, pair: Pair::Ec(pair) });
            }
        }
        // The library refuses RSA below 2048 bits by itself, without saying so.
        let pair = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
        let pair = pair.map_err(|_| SigningError::Unusable)?;
        Ok(Self { algorithm: Algorithm::Rs256, pair: Pair::Rsa(pair) })
    }

    /// The algorithm of its tokens.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A token with these claims, as JSON.
    ///
    /// # Errors
    /// If signing fails.
    pub fn sign(&self, claims: &[u8]) -> Result<String, SigningError> {
        let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, self.algorithm.name());
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ec(pair) => {
                pair.sign(&random, message.as_bytes()).map(|signature| URL_SAFE_NO_PAD.encode(signature))
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature);
                signed.map(|()| URL_SAFE_NO_PAD.encode(signature))
            }
        };
        let signature = signature.map_err(|_| SigningError::Failed)?;
        Ok(format!("{message}.{signature}"))
    }
}

/// Both ways in which OpenSSL writes an encrypted key.
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}
