//! Where the source is and how to speak with it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts};
use url::Url;

use super::error::ConfigError;

/// How far the server's identity is checked; the names are those of `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it, unchecked.
    Preferred,
    /// TLS, unchecked.
    Require,
    /// TLS with a certificate of a known authority.
    VerifyCa,
    /// The same, made out to the host connected to.
    VerifyFull,
}

/// A source's connection settings. `Debug` leaves out the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// As whom.
    pub user: String,
    /// With which password; empty if none is needed.
    pub password: String,
    /// The database, if one is named.
    pub database: Option<String>,
    /// TLS.
    pub tls: TlsMode,
    /// PEM file of authorities; the public ones without it.
    pub root_certificate: Option<PathBuf>,
    /// PEM files of our own certificate chain and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Time to connect and authenticate.
    pub connect_timeout: Duration,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

const DEFAULT_PORT: u16 = 3306;
/// A server closes a connection on which nobody speaks for this long; also what is told to it, in seconds.
const SECONDS_WITHOUT_A_WORD: usize = 28_800;
/// Largest packet, in bytes: the largest that the products know.
const LARGEST_PACKET: usize = 1 << 30;
const KEEPALIVE: Duration = Duration::from_secs(10);

impl Config {
    /// Reads `mysql://user:password@host:port/database?sslmode=…`, with the parameters `sslmode`, `sslrootcert`, `sslcert`,
    /// `sslkey` and `connect_timeout` (seconds). Of the driver's own spelling, `require_ssl`, `verify_ca` and
    /// `verify_identity` are understood.
    ///
    /// # Errors
    /// Whatever is missing, malformed or unknown.
    pub fn from_url(text: &str) -> Result<Self, ConfigError> {
        let url = Url::parse(text).map_err(|_| ConfigError::NotAUrl)?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err(ConfigError::NotAUrl);
        }
        let mut parts = Parts::of(&url)?;
        for (name, value) in url.query_pairs() {
            parts.parameter(&name, &value)?;
        }
        parts.finish()
    }

    /// The driver's settings, with TLS or without.
    pub(super) fn driver(&self, with_tls: bool) -> Opts {
        let user = (!self.user.is_empty()).then(|| self.user.clone());
        let password = (!self.password.is_empty()).then(|| self.password.clone());
        let builder = OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .user(user)
            .pass(password)
            // A database that is missing or not ours to read would be an error of the login, without its name.
            .db_name(None::<String>)
            .prefer_socket(false)
            .tcp_keepalive(Some(KEEPALIVE))
            .max_allowed_packet(Some(LARGEST_PACKET))
            .wait_timeout(Some(SECONDS_WITHOUT_A_WORD))
            .stmt_cache_size(16)
            .setup(super::session::settings())
            .ssl_opts(with_tls.then(|| self.tls_options()));
        Opts::from(builder)
    }

    fn tls_options(&self) -> SslOpts {
        // With authorities given, `require` checks against them.
        let unchecked = match self.tls {
            TlsMode::Disable | TlsMode::Preferred => true,
            TlsMode::Require => self.root_certificate.is_none(),
            TlsMode::VerifyCa | TlsMode::VerifyFull => false,
        };
        let mut options = SslOpts::default()
            .with_danger_accept_invalid_certs(unchecked)
            .with_danger_skip_domain_validation(self.tls != TlsMode::VerifyFull);
        if let Some(path) = &self.root_certificate {
            let roots = vec![path.clone().into()];
            options = options.with_root_certs(roots).with_disable_built_in_roots(true);
        }
        if let Some((chain, key)) = &self.client_certificate {
            let identity = ClientIdentity::new(chain.clone().into(), key.clone().into());
            options = options.with_client_identity(Some(identity));
        }
        options
    }
}

/// What a connection string said so far.
struct Parts {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    /// The driver's spelling of the modes.
    driver: DriverTls,
    config: Config,
}

/// How the driver spells what `sslmode` says.
#[derive(Default)]
struct DriverTls {
    require: Option<bool>,
    authority: Option<bool>,
    identity: Option<bool>,
}

impl DriverTls {
    fn mode(&self) -> Option<TlsMode> {
        match (self.require?, self.authority.unwrap_or(true), self.identity.unwrap_or(true)) {
            (false, _, _) => Some(TlsMode::Disable),
            (true, false, _) => Some(TlsMode::Require),
            (true, true, false) => Some(TlsMode::VerifyCa),
            (true, true, true) => Some(TlsMode::VerifyFull),
        }
    }
}

impl Parts {
    fn of(url: &Url) -> Result<Self, ConfigError> {
        let decoded = |text: &str| -> Result<String, ConfigError> {
            // The crate `url` has a decoder for queries only; in those a plus means a space.
            let pair = format!("x={}", text.replace('+', "%2B"));
            let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
            let (_, text) = pairs.next().ok_or(ConfigError::NotAUrl)?;
            Ok(text.into_owned())
        };
        let host = decoded(url.host_str().unwrap_or_default())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let database = decoded(url.path().trim_matches('/'))?;
        let config = Config {
            host: if host.is_empty() { "localhost".to_owned() } else { host.to_owned() },
            port: url.port().unwrap_or(DEFAULT_PORT),
            user: decoded(url.username())?,
            password: decoded(url.password().unwrap_or_default())?,
            database: (!database.is_empty()).then_some(database),
            tls: TlsMode::Preferred,
            root_certificate: None,
            client_certificate: None,
            connect_timeout: Duration::from_secs(10),
        };
        Ok(Self { certificate: None, key: None, driver: DriverTls::default(), config })
    }

    fn parameter(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let config = &mut self.config;
        match name {
            "sslmode" | "ssl-mode" => config.tls = tls_mode(value)?,
            "sslrootcert" | "ssl-ca" => config.root_certificate = Some(value.into()),
            "sslcert" | "ssl-cert" => self.certificate = Some(value.into()),
            "sslkey" | "ssl-key" => self.key = Some(value.into()),
            "require_ssl" => self.driver.require = Some(boolean("require_ssl", value)?),
            "verify_ca" => self.driver.authority = Some(boolean("verify_ca", value)?),
            "verify_identity" => self.driver.identity = Some(boolean("verify_identity", value)?),
            "connect_timeout" => {
                let expected = "a number of seconds from 1";
                let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                let seconds = seconds.ok_or(ConfigError::Parameter { name: "connect_timeout", expected })?;
                config.connect_timeout = Duration::from_secs(seconds);
            }
            // A password with a question mark in it ends up here; nothing of it is to be told.
            _ if !name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') => {
                return Err(ConfigError::NotAUrl);
            }
            _ => return Err(ConfigError::UnknownParameter { name: name.to_owned() }),
        }
        Ok(())
    }

    fn finish(self) -> Result<Config, ConfigError> {
        let mut config = self.config;
        if config.user.is_empty() {
            return Err(ConfigError::NoUser);
        }
        if let Some(mode) = self.driver.mode() {
            config.tls = mode;
        }
        let half = |name, expected| Err(ConfigError::Parameter { name, expected });
        config.client_certificate = match (self.certificate, self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => return half("sslkey", "a file, as sslcert is given"),
            (None, Some(_)) => return half("sslcert", "a file, as sslkey is given"),
        };
        Ok(config)
    }
}

fn tls_mode(value: &str) -> Result<TlsMode, ConfigError> {
    match value.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => Ok(TlsMode::Disable),
        "allow" | "prefer" | "preferred" => Ok(TlsMode::Preferred),
        "require" | "required" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" | "verify-identity" => Ok(TlsMode::VerifyFull),
        _ => Err(ConfigError::Parameter {
            name: "sslmode",
            expected: "disable, preferred, require, verify-ca or verify-full",
        }),
    }
}

fn boolean(name: &'static str, value: &str) -> Result<bool, ConfigError> {
    value.parse().map_err(|_| ConfigError::Parameter { name, expected: "true or false" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_read_with_its_escapes() {
        let text =
            "mysql://us%40er:p%2Bss+w@db.example:40000/my%20db?sslmode=verify-full&sslrootcert=%2Fca.pem";
        let config = Config::from_url(text).unwrap();
        assert_eq!((config.host.as_str(), config.port), ("db.example", 40_000));
        assert_eq!((config.user.as_str(), config.password.as_str()), ("us@er", "p+ss+w"));
        assert_eq!((config.database.as_deref(), config.tls), (Some("my db"), TlsMode::VerifyFull));
        assert_eq!(config.root_certificate, Some("/ca.pem".into()));
        assert!(!format!("{config:?}").contains("p+ss"));
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let config = Config::from_url("mysql://u@[::1]/").unwrap();
        assert_eq!((config.host.as_str(), config.port), ("::1", 3306));
        assert_eq!((config.database, config.tls), (None, TlsMode::Preferred));
    }

    #[test]
    fn the_drivers_own_spelling_is_understood() {
        let mode = |query: &str| Config::from_url(&format!("mysql://u@h/?{query}")).map(|config| config.tls);
        assert_eq!(mode("require_ssl=true"), Ok(TlsMode::VerifyFull));
        assert_eq!(mode("require_ssl=true&verify_identity=false"), Ok(TlsMode::VerifyCa));
        assert_eq!(mode("require_ssl=true&verify_ca=false"), Ok(TlsMode::Require));
        assert_eq!(mode("require_ssl=false"), Ok(TlsMode::Disable));
        assert_eq!(mode("sslmode=PREFERRED"), Ok(TlsMode::Preferred));
        assert_eq!(mode("sslmode=VERIFY_CA"), Ok(TlsMode::VerifyCa));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        assert_eq!(Config::from_url("nonsense"), Err(ConfigError::NotAUrl));
        assert_eq!(Config::from_url("postgres://u@h/d"), Err(ConfigError::NotAUrl));
        assert_eq!(Config::from_url("mysql://h/d"), Err(ConfigError::NoUser));
        let unknown = Err(ConfigError::UnknownParameter { name: "compression".to_owned() });
        assert_eq!(Config::from_url("mysql://u@h/d?compression=fast"), unknown);
        assert_eq!(Config::from_url("mysql://u:pa?ss@h/d"), Err(ConfigError::NotAUrl));
        let half = Config::from_url("mysql://u@h/d?sslcert=c");
        assert!(matches!(half, Err(ConfigError::Parameter { name: "sslkey", .. })));
    }
}
