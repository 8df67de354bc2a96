//! TLS for the server side: which cryptography the process uses, where the certificate comes from,
//! and how it is replaced without a restart.
//!
//! Connections to databases configure their own TLS; they only share the provider installed here.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use clap::{ArgAction, Args};
use metrics::Unit;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::telemetry::{Kind, Metric};

/// How long a self-signed certificate is valid.
const SELF_SIGNED_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// A self-signed certificate is valid a little earlier than now, for clients whose clock is behind.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);

/// How often the files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(3);

/// Longest file that is read; a chain takes some kilobytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

const RELOADS: &str = "tls_reloads_total";

/// The metrics of this module.
pub const METRICS: &[Metric] = &[Metric {
    name: RELOADS,
    kind: Kind::Counter,
    unit: Unit::Count,
    labels: "outcome",
    help: "Times that a new certificate was loaded (success) or could not be used (failure).",
}];

/// Registers the counters, so that the first failure already shows as a rise.
fn begin_metrics() {
    for outcome in ["success", "failure"] {
        metrics::counter!(RELOADS, "outcome" => outcome).increment(0);
    }
}

/// How the aws-lc-rs provider's random source prints; rustls gives providers no other name.
const AWS_LC_RS: &str = "AwsLcRs";

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the pair is missing.
    #[error("--tlsCertificate and --tlsPrivateKey must be given together")]
    HalfAPair,
    /// Two sources of a certificate.
    #[error("--tlsSelfSigned can't be combined with --tlsCertificate and --tlsPrivateKey")]
    TwoSources,
    /// A file can't be read or holds no PEM of the right kind.
    #[error("can't read {what} from {}", path.display())]
    File {
        /// Certificate or private key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the parser says.
        #[source]
        source: pem::Error,
    },
    /// Both files were read, but don't make a usable pair.
    #[error("the certificate in {} and the private key in {} can't be used together",
        certificate.display(), private_key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        private_key: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// The self-signed certificate could not be made.
    #[error("can't make a self-signed certificate")]
    SelfSigned(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// rustls refused the configuration.
    #[error("can't configure TLS")]
    Config(#[source] rustls::Error),
    /// A library installed another provider first.
    #[error("the process's TLS provider is {active}, expected aws-lc-rs")]
    Provider {
        /// What is installed instead.
        active: String,
    },
}

/// Where the server's certificate comes from.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Path to a PEM-encoded TLS certificate chain; read again when it changes, and on SIGHUP.
    #[arg(
        long = "tlsCertificate",
        alias = "tls-certificate",
        env = "CDC_TLS_CERTIFICATE",
        value_name = "FILE"
    )]
    pub tls_certificate: Option<PathBuf>,

    /// Path to the PEM-encoded private key of the certificate; read again when it changes, and on SIGHUP.
    #[arg(
        long = "tlsPrivateKey",
        alias = "tls-private-key",
        env = "CDC_TLS_PRIVATE_KEY",
        value_name = "FILE"
    )]
    pub tls_private_key: Option<PathBuf>,

    /// Generate a self-signed certificate for localhost, valid for a year. Not for production.
    #[arg(
        long = "tlsSelfSigned",
        alias = "tls-self-signed",
        env = "CDC_TLS_SELF_SIGNED",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub tls_self_signed: bool,
}

impl TlsArgs {
    /// Checks the combination. `None`: no TLS.
    ///
    /// # Errors
    /// Half a pair, or files together with `--tlsSelfSigned`.
    pub fn source(&self) -> Result<Option<CertSource>, TlsError> {
        match (&self.tls_certificate, &self.tls_private_key, self.tls_self_signed) {
            (None, None, false) => Ok(None),
            (None, None, true) => Ok(Some(CertSource::SelfSigned)),
            (Some(certificate), Some(private_key), false) => Ok(Some(CertSource::Files {
                certificate: certificate.clone(),
                private_key: private_key.clone(),
            })),
            (Some(_), None, false) | (None, Some(_), false) => Err(TlsError::HalfAPair),
            (Some(_), _, true) | (_, Some(_), true) => Err(TlsError::TwoSources),
        }
    }
}

/// A checked choice of [`TlsArgs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertSource {
    /// PEM files, chain first to last.
    Files {
        /// The certificate chain.
        certificate: PathBuf,
        /// Its private key: PKCS#8, PKCS#1 or SEC1.
        private_key: PathBuf,
    },
    /// A certificate made up at start.
    SelfSigned,
}

/// The certificate in use, replaceable while connections come and go. Connections already open keep
/// the one they started with.
pub struct CertReloader {
    source: CertSource,
    current: RwLock<Loaded>,
}

/// A certificate and what its files held.
struct Loaded {
    key: Arc<CertifiedKey>,
    fingerprint: u64,
}

impl CertReloader {
    /// Loads or makes the first certificate. Reads files, briefly blocking.
    ///
    /// # Errors
    /// The files are missing, malformed or don't fit together.
    pub fn new(source: CertSource) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(load(&source)?);
        begin_metrics();
        Ok(Arc::new(Self { source, current }))
    }

    /// Loads the certificate again, or makes a new self-signed one. Reads files, briefly blocking.
    ///
    /// # Errors
    /// As for [`CertReloader::new`]; the certificate then stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let new = load(&self.source)
            .inspect_err(|_| metrics::counter!(RELOADS, "outcome" => "failure").increment(1))?;
        // Only whole values are stored, so a poisoned lock still guards a good one.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        metrics::counter!(RELOADS, "outcome" => "success").increment(1);
        Ok(())
    }

    /// Looks at the files every few seconds and loads them when their content has changed, until `stop`. A pair that is
    /// half written, or does not fit together, leaves the old certificate in use; it is tried again when the files
    /// change again. Ends at once for a self-signed certificate.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        if self.source == CertSource::SelfSigned {
            return;
        }
        // What failed once is not worth trying, or complaining of, until it changes.
        let mut failed = None;
        while stop.run_until_cancelled(tokio::time::sleep(WATCH_INTERVAL)).await.is_some() {
            let this = Arc::clone(&self);
            // Files may be on a network: reading them must not hold up requests.
            let looked = tokio::task::spawn_blocking(move || this.look(failed)).await;
            failed = looked.unwrap_or(failed);
        }
    }

    /// One look; answers the fingerprint of files that cannot be used.
    fn look(&self, failed: Option<u64>) -> Option<u64> {
        let CertSource::Files { certificate, private_key } = &self.source else { return None };
        // A file that is missing for the moment is being replaced.
        let Ok(files) = Files::read(certificate, private_key) else { return failed };
        let found = files.fingerprint();
        if found == self.current.read().unwrap_or_else(PoisonError::into_inner).fingerprint {
            return None;
        }
        if failed == Some(found) {
            return failed;
        }
        match self.reload() {
            Ok(()) => {
                tracing::info!("the certificate has changed and is in use");
                None
            }
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                tracing::warn!(error = %format!("{error}{cause}"), "the new certificate cannot be used; the old one stays");
                Some(found)
            }
        }
    }

    /// The certificate chain new connections get, leaf first.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current().cert.clone()
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).key)
    }
}

impl fmt::Debug for CertReloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertReloader").field("source", &self.source).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for CertReloader {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// The configuration of a server which offers HTTP/2 and HTTP/1.1, TLS 1.2 and 1.3.
///
/// # Errors
/// Only if rustls and its provider disagree about the protocol versions.
pub fn server_config(certificates: Arc<CertReloader>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Config)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn load(source: &CertSource) -> Result<Loaded, TlsError> {
    match source {
        CertSource::Files { certificate, private_key } => {
            let files = Files::read(certificate, private_key)?;
            let key = load_files(certificate, private_key, &files)?;
            Ok(Loaded { key: Arc::new(key), fingerprint: files.fingerprint() })
        }
        CertSource::SelfSigned => Ok(Loaded { key: Arc::new(self_signed()?), fingerprint: 0 }),
    }
}

/// The bytes of both files, read once, so that what is loaded is what was looked at.
struct Files {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
}

impl Files {
    fn read(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        let read = |what, path: &Path| {
            let failed =
                |error| TlsError::File { what, path: path.to_path_buf(), source: pem::Error::Io(error) };
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path).map_err(failed)?;
            file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(failed)?;
            Ok(bytes)
        };
        Ok(Self {
            certificate: read("a certificate", certificate)?,
            private_key: read("a private key", private_key)?,
        })
    }

    /// Tells contents apart; nobody gains by making two that it does not.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.private_key).hash(&mut hasher);
        hasher.finish()
    }
}

fn load_files(certificate: &Path, private_key: &Path, files: &Files) -> Result<CertifiedKey, TlsError> {
    let failed = |what, path: &Path, source| TlsError::File { what, path: path.to_path_buf(), source };
    let chain = CertificateDer::pem_slice_iter(&files.certificate)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|error| failed("a certificate", certificate, error))?;
    let key = PrivateKeyDer::from_pem_slice(&files.private_key)
        .map_err(|error| failed("a private key", private_key, error))?;
    // Also checks that the key belongs to the first certificate.
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| TlsError::Pair {
        certificate: certificate.to_path_buf(),
        private_key: private_key.to_path_buf(),
        source,
    })
}

fn self_signed() -> Result<CertifiedKey, TlsError> {
    let failed = |error: rcgen::Error| TlsError::SelfSigned(error.into());
    let localhost = "localhost".try_into().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![
        SanType::DnsName(localhost),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    params.distinguished_name.push(DnType::CommonName, "cdc-sink self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCK_TOLERANCE;
    params.not_after = now + SELF_SIGNED_VALIDITY;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| TlsError::SelfSigned(error.into()))
}

/// Makes aws-lc-rs the process's TLS provider. Call it first thing: libraries which find none may
/// install another. A second call is harmless.
///
/// # Errors
/// Another provider was installed before; it can't be replaced any more.
pub fn install_crypto_provider() -> Result<(), TlsError> {
    // An error only says that there is one already; which one is checked next.
    let _ = aws_lc_rs::default_provider().install_default();
    assert_crypto_provider()
}

/// Checks that aws-lc-rs is the process's TLS provider, for use after libraries have started up.
///
/// # Errors
/// Another one is, or none.
pub fn assert_crypto_provider() -> Result<(), TlsError> {
    match active_crypto_provider() {
        Some(active) if active == AWS_LC_RS => Ok(()),
        active => Err(TlsError::Provider { active: active.unwrap_or_else(|| "not set".to_owned()) }),
    }
}

/// The name of the process's TLS provider: `AwsLcRs`, `Ring` or another library's own; `None` before
/// one is installed.
#[must_use]
pub fn active_crypto_provider() -> Option<String> {
    CryptoProvider::get_default().map(|provider| format!("{:?}", provider.secure_random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        tls: TlsArgs,
    }

    fn source(args: &[&str]) -> Result<Option<CertSource>, TlsError> {
        Cli::try_parse_from(["test"].iter().chain(args)).unwrap().tls.source()
    }

    #[test]
    fn the_flags_allow_files_or_self_signed_or_nothing() {
        assert_eq!(source(&[]).unwrap(), None);
        assert_eq!(source(&["--tlsSelfSigned"]).unwrap(), Some(CertSource::SelfSigned));
        assert_eq!(source(&["--tls-self-signed=false"]).unwrap(), None);
        let pair = CertSource::Files { certificate: "c".into(), private_key: "k".into() };
        let both = ["--tlsCertificate", "c", "--tls-private-key", "k"];
        assert_eq!(source(&both).unwrap(), Some(pair.clone()));
        assert_eq!(source(&[&both[..], &["--tlsSelfSigned=false"]].concat()).unwrap(), Some(pair));
        assert!(matches!(source(&both[..2]), Err(TlsError::HalfAPair)));
        assert!(matches!(source(&both[2..]), Err(TlsError::HalfAPair)));
        let all = [&both[..], &["--tlsSelfSigned"]].concat();
        assert!(matches!(source(&all), Err(TlsError::TwoSources)));
        assert!(matches!(source(&["--tlsCertificate", "c", "--tlsSelfSigned"]), Err(TlsError::TwoSources)));
    }

    #[test]
    fn the_provider_is_aws_lc_rs_also_when_asked_twice() {
        install_crypto_provider().unwrap();
        install_crypto_provider().unwrap();
        assert_eq!(active_crypto_provider().as_deref(), Some("AwsLcRs"));
    }

    fn write_pair(folder: &Path) -> CertSource {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, private_key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&private_key, made.signing_key.serialize_pem()).unwrap();
        CertSource::Files { certificate, private_key }
    }

    #[test]
    fn a_bad_reload_keeps_the_old_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let reloader = CertReloader::new(write_pair(folder.path())).unwrap();
        let first = reloader.chain();

        let other = tempfile::tempdir().unwrap();
        write_pair(other.path());
        std::fs::copy(other.path().join("cert.pem"), folder.path().join("cert.pem")).unwrap();
        assert!(matches!(reloader.reload(), Err(TlsError::Pair { .. })), "key of another certificate");
        std::fs::write(folder.path().join("cert.pem"), "no certificate here").unwrap();
        assert!(matches!(reloader.reload(), Err(TlsError::File { what: "a certificate", .. })));
        std::fs::remove_file(folder.path().join("key.pem")).unwrap();
        assert!(reloader.reload().is_err());
        assert_eq!(reloader.chain(), first);

        write_pair(folder.path());
        reloader.reload().unwrap();
        assert_ne!(reloader.chain(), first);
    }

    #[test]
    fn a_changed_pair_is_found_by_its_content_and_a_torn_one_is_tried_once_per_change() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let reloader = CertReloader::new(write_pair(folder.path())).unwrap();
        let first = reloader.chain();
        assert_eq!(reloader.look(None), None);
        write_pair(other.path());
        let copy = |name: &str| {
            std::fs::copy(other.path().join(name), folder.path().join(name)).unwrap();
        };
        copy("cert.pem");
        let torn = reloader.look(None);
        assert!(torn.is_some());
        assert_eq!(reloader.look(torn), torn);
        assert_eq!(reloader.chain(), first);
        let half = std::fs::read(other.path().join("key.pem")).unwrap();
        std::fs::write(folder.path().join("key.pem"), &half[..half.len() / 2]).unwrap();
        let half_written = reloader.look(torn);
        assert!(half_written.is_some() && half_written != torn);
        std::fs::remove_file(folder.path().join("key.pem")).unwrap();
        assert_eq!(reloader.look(half_written), half_written, "a missing file is waited for");
        copy("key.pem");
        assert_eq!(reloader.look(half_written), None);
        assert_ne!(reloader.chain(), first);
    }

    #[test]
    fn a_self_signed_certificate_is_made_anew_by_a_reload() {
        let reloader = CertReloader::new(CertSource::SelfSigned).unwrap();
        let first = reloader.chain();
        reloader.reload().unwrap();
        assert_ne!(reloader.chain(), first);
        assert!(!format!("{reloader:?}").contains("key:"));
    }
}
