//! One database on a MySQL or MariaDB server, by address and name.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Row, Value};

use super::Flavor;
use crate::harness::database::{identifier, with_address};

/// A database a test owns, to be replicated.
#[derive(Debug, Clone)]
pub struct SourceDatabase {
    flavor: Flavor,
    /// Of the server, without a database.
    server: String,
    name: String,
}

impl SourceDatabase {
    pub(crate) fn new(flavor: Flavor, server: String, name: &str) -> SourceDatabase {
        SourceDatabase { flavor, server, name: name.to_owned() }
    }

    /// Creates an empty database, replacing one of the same name. `server` is the connection string of the server.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached or refuses.
    pub async fn create(flavor: Flavor, server: String, name: &str) -> Result<SourceDatabase> {
        let name = identifier(name);
        let none = SourceDatabase::new(flavor, server.clone(), "");
        // Names are made of letters, digits and underscores only; see `identifier`.
        none.execute(&format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}")).await?;
        Ok(SourceDatabase::new(flavor, server, &name))
    }

    /// Creates another database on the same server, as [`create`](Self::create) does.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached or refuses.
    pub async fn another(&self, name: &str) -> Result<SourceDatabase> {
        SourceDatabase::create(self.flavor, self.server.clone(), name).await
    }

    /// Which product it is on.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// The database's name, in lower case, in need of no quotes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connection string, of an account that may do everything.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.server, self.name)
    }

    /// Connection string that takes another way to the same database, such as through a proxy.
    #[must_use]
    pub fn url_through(&self, address: SocketAddr) -> String {
        with_address(&self.url(), &address.to_string())
    }

    /// Connection string for another account, `name` or `name:password`.
    #[must_use]
    pub fn url_as(&self, account: &str) -> String {
        self.url().replacen("root@", &format!("{account}@"), 1)
    }

    /// A connection of its own, on which times are UTC.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached.
    pub async fn connect(&self) -> Result<Conn> {
        let options = Opts::from_url(&self.url()).context("not an address")?;
        let mut connection =
            Conn::new(options).await.with_context(|| format!("cannot connect to {}", self.flavor))?;
        connection.query_drop("SET NAMES utf8mb4, time_zone = '+00:00'").await?;
        Ok(connection)
    }

    /// Runs statements that return nothing of interest, separated by semicolons, on one connection.
    ///
    /// # Errors
    ///
    /// Fails if one of them does.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        connection.query_drop(sql).await.with_context(|| sql.to_owned())?;
        connection.disconnect().await.context("cannot disconnect")
    }

    /// The rows of a query as text, over the prepared protocol: the other one cuts floating-point numbers.
    ///
    /// # Errors
    ///
    /// Fails if the query does.
    pub async fn query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let mut connection = self.connect().await?;
        let rows: Vec<Row> = connection.exec(sql, ()).await.with_context(|| sql.to_owned())?;
        connection.disconnect().await.context("cannot disconnect")?;
        Ok(rows.into_iter().map(|row| row.unwrap().iter().map(text).collect()).collect())
    }

    /// The first value of a query's first row; none if there is no row, or it is NULL.
    ///
    /// # Errors
    ///
    /// Fails if the query does.
    pub async fn value(&self, sql: &str) -> Result<Option<String>> {
        let rows = self.query(sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// The server's position in its log, as text on one line: everything that was committed by now.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached.
    pub async fn position(&self) -> Result<String> {
        let sql = match self.flavor {
            Flavor::MySql => "SELECT @@GLOBAL.gtid_executed",
            Flavor::MariaDb => "SELECT @@GLOBAL.gtid_binlog_pos",
        };
        Ok(self.value(sql).await?.unwrap_or_default().replace('\n', ""))
    }
}

/// A value as a person would write it; bytes that are no text as `0x…`.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => value.as_sql(true).replace("X'", "0x").replace('\'', ""),
        }),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        Value::Date(..) | Value::Time(..) => Some(value.as_sql(true).trim_matches('\'').to_owned()),
    }
}
