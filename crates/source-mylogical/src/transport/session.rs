//! A connection for questions.

use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable as _};
use mysql_async::{Conn, Params};
use tokio::time::timeout;

use super::config::{Config, TlsMode};
use super::error::TransportError;
use crate::Flavor;

/// The server's own limit on how long it waits for us while it sends, in seconds: a target that stalls for less is none of
/// its business. The default of a minute would end the stream.
pub const NET_WRITE_TIMEOUT_SECONDS: u32 = 86_400;
/// Oldest versions that are followed: MySQL, MariaDB.
const OLDEST: [(u32, u32); 2] = [(8, 0), (10, 11)];

/// What every session says. Defaults of a server or an account change the text of values and what statements mean.
pub(super) fn settings() -> Vec<String> {
    vec![
        "SET NAMES utf8mb4".to_owned(),
        format!(
            "SET SESSION time_zone = '+00:00', sql_mode = '', autocommit = 1, net_write_timeout = \
             {NET_WRITE_TIMEOUT_SECONDS}, net_read_timeout = 3600"
        ),
    ]
}

/// A connection that answers questions.
#[derive(Debug)]
pub struct Session {
    conn: Conn,
    flavor: Flavor,
    version: String,
}

impl Session {
    /// Connects, authenticates and asks who answers.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made, and servers that are too old.
    pub async fn connect(config: &Config) -> Result<Self, TransportError> {
        let limit = config.connect_timeout;
        let what = "connecting to the source";
        let connected = timeout(limit, connect(config)).await;
        let mut conn = connected.map_err(|_| TransportError::Timeout { what, limit })??;
        let version: Option<String> = timeout(limit, conn.query_first("SELECT VERSION()"))
            .await
            .map_err(|_| TransportError::Timeout { what, limit })??;
        let version = version.unwrap_or_default();
        let flavor = Flavor::of_version(&version);
        check_version(flavor, &version)?;
        Ok(Self { conn, flavor, version })
    }

    /// Which product answers.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// Its version, as it says it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The version's first two numbers.
    #[must_use]
    pub fn release(&self) -> (u32, u32) {
        release(self.flavor, &self.version)
    }

    /// The driver's connection, for those who read many rows.
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// The driver's connection.
    #[must_use]
    pub fn into_conn(self) -> Conn {
        self.conn
    }

    /// All rows of an answer, by the binary protocol: the text protocol cuts floating-point numbers.
    ///
    /// # Errors
    /// The server's or the network's, or `limit`.
    pub async fn rows<R>(
        &mut self,
        sql: &str,
        params: impl Into<Params> + Send,
        limit: Duration,
    ) -> Result<Vec<R>, TransportError>
    where
        R: FromRow + Send + 'static,
    {
        let what = "an answer of the source";
        let rows = timeout(limit, self.conn.exec(sql, params.into())).await;
        Ok(rows.map_err(|_| TransportError::Timeout { what, limit })??)
    }

    /// All rows of an answer about names and numbers, by the text protocol.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub async fn ask<R>(&mut self, sql: &str, limit: Duration) -> Result<Vec<R>, TransportError>
    where
        R: FromRow + Send + 'static,
    {
        let what = "an answer of the source";
        let rows = timeout(limit, self.conn.query(sql)).await;
        Ok(rows.map_err(|_| TransportError::Timeout { what, limit })??)
    }

    /// A statement without an answer. Not prepared: not every statement can be.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub async fn run(&mut self, sql: &str, limit: Duration) -> Result<(), TransportError> {
        let what = "an answer of the source";
        let done = timeout(limit, self.conn.query_drop(sql)).await;
        Ok(done.map_err(|_| TransportError::Timeout { what, limit })??)
    }

    /// Says goodbye, for at most a second.
    pub async fn close(self) {
        // The server finds out anyway.
        drop(timeout(Duration::from_secs(1), self.conn.disconnect()).await);
    }
}

async fn connect(config: &Config) -> Result<Conn, TransportError> {
    match config.tls {
        TlsMode::Disable => Ok(Conn::new(config.driver(false)).await?),
        TlsMode::Preferred => match Conn::new(config.driver(true)).await.map_err(TransportError::from) {
            Err(TransportError::NoTls) => Ok(Conn::new(config.driver(false)).await?),
            other => other,
        },
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
            Ok(Conn::new(config.driver(true)).await?)
        }
    }
}

fn release(flavor: Flavor, version: &str) -> (u32, u32) {
    // MariaDB may say 5.5.5 first, for old clients.
    let version = match flavor {
        Flavor::MariaDb => version.strip_prefix("5.5.5-").unwrap_or(version),
        Flavor::MySql => version,
    };
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn check_version(flavor: Flavor, version: &str) -> Result<(), TransportError> {
    let oldest = match flavor {
        Flavor::MySql => OLDEST[0],
        Flavor::MariaDb => OLDEST[1],
    };
    if release(flavor, version) >= oldest {
        return Ok(());
    }
    Err(TransportError::Unsupported(format!(
        "the source is {flavor} {version}; {flavor} {}.{} is the oldest version that can be followed, since older logs do \
         not say what the columns are called and whether numbers have a sign",
        oldest.0, oldest.1
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_refused() {
        for (version, good) in [
            ("8.0.36", true),
            ("9.7.4-1", true),
            ("5.7.44-log", false),
            ("10.11.18-MariaDB-0+deb12u1", true),
            ("5.5.5-10.11.2-MariaDB", true),
            ("10.6.16-MariaDB", false),
            ("11.8.6-MariaDB", true),
        ] {
            let checked = check_version(Flavor::of_version(version), version);
            assert_eq!(checked.is_ok(), good, "{version}");
            assert!(checked.is_ok() || checked.unwrap_err().to_string().contains(version));
        }
    }
}
