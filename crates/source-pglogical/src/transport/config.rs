//! Where the source is and how to speak with it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::error::ConfigError;

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A host's name or address, and port.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Socket(PathBuf),
}

/// How far the server's identity is checked; the names are those of `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it, unchecked.
    Prefer,
    /// TLS, unchecked.
    Require,
    /// TLS with a certificate of a known authority.
    VerifyCa,
    /// The same, made out to the host connected to.
    VerifyFull,
}

/// Bounds of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest message accepted, in bytes: one row, with both its old and its new values.
    pub message_bytes: usize,
    /// Largest answer to a command, in bytes.
    pub answer_bytes: usize,
    /// Time to connect and authenticate.
    pub connect: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The server itself cannot build a message above 1 GiB; a row of 200 MB may come twice in one message.
            message_bytes: 512 << 20,
            answer_bytes: 1 << 20,
            connect: Duration::from_secs(10),
        }
    }
}

/// A source's connection settings. `Debug` leaves out the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Where.
    pub endpoint: Endpoint,
    /// As whom.
    pub user: String,
    /// With which password; empty if none is needed.
    pub password: String,
    /// In which database.
    pub database: String,
    /// Shown in the server's views.
    pub application_name: String,
    /// Added to the session's settings before those in [`PINNED`], which win.
    pub options: String,
    /// TLS.
    pub tls: TlsMode,
    /// PEM file of authorities; the public ones without it.
    pub root_certificate: Option<PathBuf>,
    /// PEM files of our own certificate chain and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Bounds.
    pub limits: Limits,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoint", &self.endpoint)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Settings that change the text of values. Defaults of a role or database would, too, so every session to the source
/// says them, the one that copies tables included: with a role's `extra_float_digits=0` digits are lost, and with an
/// empty `search_path` names of tables are written otherwise.
pub const PINNED: &[(&str, &str)] = &[
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "3"),
    ("search_path", "pg_catalog"),
    ("lc_monetary", "C"),
];

const DEFAULT_PORT: u16 = 5432;
const APPLICATION_NAME: &str = "cdc-pglogical";

impl Config {
    /// Reads `postgres://user:password@host:port/database?sslmode=…`, with the parameters of libpq that are supported:
    /// `host`, `port`, `user`, `password`, `dbname`, `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `application_name`,
    /// `options`, `connect_timeout`.
    ///
    /// # Errors
    /// Whatever is missing, malformed or unknown.
    pub fn from_url(text: &str) -> Result<Self, ConfigError> {
        let url = Url::parse(text).map_err(|_| ConfigError::NotAUrl)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(ConfigError::NotAUrl);
        }
        let mut parts = Parts::of(&url)?;
        for (name, value) in url.query_pairs() {
            parts.parameter(&name, value.into_owned())?;
        }
        parts.finish()
    }

    /// The `options` of the startup message.
    pub(super) fn startup_options(&self) -> String {
        let mut options = self.options.clone();
        for (name, value) in PINNED {
            let space = if options.is_empty() { "" } else { " " };
            options.push_str(&format!("{space}-c {name}={value}"));
        }
        options
    }

    /// Texts go out with a zero byte at their end.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let texts = [
            ("the user", &self.user),
            ("the password", &self.password),
            ("the database", &self.database),
            ("the application's name", &self.application_name),
            ("the options", &self.options),
        ];
        match texts.iter().find(|(_, text)| text.contains('\0')) {
            Some((what, _)) => Err(ConfigError::ZeroByte { what }),
            None => Ok(()),
        }
    }
}

/// What a connection string said so far.
struct Parts {
    host: String,
    port: u16,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    config: Config,
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
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let config = Config {
            endpoint: Endpoint::Socket(PathBuf::new()),
            user: decoded(url.username())?,
            password: decoded(url.password().unwrap_or_default())?,
            database: decoded(url.path().trim_start_matches('/'))?,
            application_name: APPLICATION_NAME.to_owned(),
            options: String::new(),
            tls: TlsMode::Prefer,
            root_certificate: None,
            client_certificate: None,
            limits: Limits::default(),
        };
        Ok(Self { host, port: url.port().unwrap_or(DEFAULT_PORT), certificate: None, key: None, config })
    }

    fn parameter(&mut self, name: &str, value: String) -> Result<(), ConfigError> {
        let config = &mut self.config;
        match name {
            "host" => self.host = value,
            "port" => {
                let expected = "a number from 1 to 65535";
                let port = value.parse().map_err(|_| ConfigError::Parameter { name: "port", expected });
                self.port = port?;
            }
            "user" => config.user = value,
            "password" => config.password = value,
            "dbname" => config.database = value,
            "sslmode" | "ssl-mode" => config.tls = tls_mode(&value)?,
            "sslrootcert" => config.root_certificate = Some(value.into()),
            "sslcert" => self.certificate = Some(value.into()),
            "sslkey" => self.key = Some(value.into()),
            "application_name" => config.application_name = value,
            "options" => config.options = value,
            "connect_timeout" => {
                let expected = "a number of seconds from 1";
                let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                let seconds = seconds.ok_or(ConfigError::Parameter { name: "connect_timeout", expected })?;
                config.limits.connect = Duration::from_secs(seconds);
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
        if config.database.is_empty() {
            return Err(ConfigError::NoDatabase);
        }
        config.client_certificate = match (self.certificate, self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => {
                return Err(ConfigError::Parameter {
                    name: "sslkey",
                    expected: "a file, as sslcert is given",
                });
            }
            (None, Some(_)) => {
                return Err(ConfigError::Parameter {
                    name: "sslcert",
                    expected: "a file, as sslkey is given",
                });
            }
        };
        config.endpoint = if self.host.starts_with('/') {
            Endpoint::Socket(PathBuf::from(self.host).join(format!(".s.PGSQL.{}", self.port)))
        } else if self.host.is_empty() {
            Endpoint::Tcp { host: "localhost".to_owned(), port: self.port }
        } else {
            Endpoint::Tcp { host: self.host, port: self.port }
        };
        if matches!(config.endpoint, Endpoint::Socket(_)) {
            match config.tls {
                TlsMode::Disable | TlsMode::Prefer => config.tls = TlsMode::Disable,
                TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
                    return Err(ConfigError::TlsOnSocket);
                }
            }
        }
        config.check()?;
        Ok(config)
    }
}

fn tls_mode(value: &str) -> Result<TlsMode, ConfigError> {
    match value {
        "disable" => Ok(TlsMode::Disable),
        "allow" | "prefer" => Ok(TlsMode::Prefer),
        "require" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => Err(ConfigError::Parameter {
            name: "sslmode",
            expected: "disable, prefer, require, verify-ca or verify-full",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_read_with_its_escapes() {
        let text =
            "postgresql://us%40er:p%2Bss+w@db.example:6543/my%20db?sslmode=verify-full&sslrootcert=%2Fca.pem";
        let config = Config::from_url(text).unwrap();
        assert_eq!(config.endpoint, Endpoint::Tcp { host: "db.example".to_owned(), port: 6543 });
        assert_eq!((config.user.as_str(), config.password.as_str()), ("us@er", "p+ss+w"));
        assert_eq!((config.database.as_str(), config.tls), ("my db", TlsMode::VerifyFull));
        assert_eq!(config.root_certificate, Some("/ca.pem".into()));
        assert!(!format!("{config:?}").contains("p+ss"));
    }

    #[test]
    fn parameters_win_and_a_path_as_host_is_a_socket() {
        let config = Config::from_url("postgres:///d?host=/run/pg&port=6000&user=u&sslmode=prefer").unwrap();
        assert_eq!(config.endpoint, Endpoint::Socket("/run/pg/.s.PGSQL.6000".into()));
        assert_eq!(config.tls, TlsMode::Disable);
        let config = Config::from_url("postgres://u@[::1]/d").unwrap();
        assert_eq!(config.endpoint, Endpoint::Tcp { host: "::1".to_owned(), port: 5432 });
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        assert_eq!(Config::from_url("nonsense"), Err(ConfigError::NotAUrl));
        assert_eq!(Config::from_url("mysql://u@h/d"), Err(ConfigError::NotAUrl));
        assert_eq!(Config::from_url("postgres://h/d"), Err(ConfigError::NoUser));
        assert_eq!(Config::from_url("postgres://u@h"), Err(ConfigError::NoDatabase));
        assert_eq!(
            Config::from_url("postgres://u@h/d?channel_binding=require"),
            Err(ConfigError::UnknownParameter { name: "channel_binding".to_owned() })
        );
        assert_eq!(Config::from_url("postgres://u:pa?ss@h/d"), Err(ConfigError::NotAUrl));
        assert_eq!(
            Config::from_url("postgres://u@h/%00"),
            Err(ConfigError::ZeroByte { what: "the database" })
        );
        assert_eq!(
            Config::from_url("postgres:///d?host=/run&user=u&sslmode=require"),
            Err(ConfigError::TlsOnSocket)
        );
        let half = Config::from_url("postgres://u@h/d?sslcert=c");
        assert!(matches!(half, Err(ConfigError::Parameter { name: "sslkey", .. })));
    }

    #[test]
    fn pinned_settings_come_after_the_operators_own() {
        let mut config = Config::from_url("postgres://u@h/d?options=-c%20datestyle%3DSQL").unwrap();
        assert!(config.startup_options().starts_with("-c datestyle=SQL -c datestyle=ISO "));
        config.options.clear();
        assert!(config.startup_options().starts_with("-c datestyle=ISO "));
    }
}
