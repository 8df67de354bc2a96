//! One database on a server, by address and name.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, Result};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// Longest name of a database that PostgreSQL keeps whole.
const NAME_LIMIT: usize = 63;

/// Which product a server is, where the two differ for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// PostgreSQL.
    Postgres,
    /// CockroachDB.
    Cockroach,
}

/// A database a test owns.
#[derive(Debug, Clone)]
pub struct Database {
    url: String,
    name: String,
    product: Product,
}

impl Database {
    /// Creates an empty database, replacing one of the same name. `server` is the connection
    /// string of any other database there.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached or refuses.
    pub async fn create(server: &str, product: Product, name: &str) -> Result<Database> {
        let name = identifier(name);
        let mut connection = PgConnection::connect(server).await.context("cannot connect to the server")?;
        let drop = match product {
            Product::Postgres => format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            Product::Cockroach => format!("DROP DATABASE IF EXISTS {name} CASCADE"),
        };
        // Names are made of letters, digits and underscores only; see `identifier`.
        for statement in [drop, format!("CREATE DATABASE {name}")] {
            let done = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await;
            done.with_context(|| statement)?;
        }
        connection.close().await.context("cannot disconnect")?;
        Ok(Database { url: with_database(server, &name), name, product })
    }

    /// Connection string.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connection string that takes another way to the same database, such as through a proxy.
    #[must_use]
    pub fn url_through(&self, address: SocketAddr) -> String {
        with_address(&self.url, &address.to_string())
    }

    /// The database's name on the server, in lower case, in need of no quotes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of server it is on.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// Where the server listens.
    ///
    /// # Errors
    ///
    /// Fails if the host's name cannot be resolved.
    pub fn address(&self) -> Result<SocketAddr> {
        let (begin, end) = authority(&self.url);
        let authority = &self.url[begin..end];
        let found = authority.to_socket_addrs().with_context(|| format!("cannot resolve {authority}"))?;
        found.into_iter().next().with_context(|| format!("{authority} has no address"))
    }

    /// A connection of its own.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached.
    pub async fn connect(&self) -> Result<PgConnection> {
        PgConnection::connect(&self.url).await.with_context(|| format!("cannot connect to {}", self.name))
    }

    /// A pool of at most `size` connections.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached.
    pub async fn pool(&self, size: u32) -> Result<PgPool> {
        let pool = PgPoolOptions::new().max_connections(size).connect(&self.url).await;
        pool.with_context(|| format!("cannot connect to {}", self.name))
    }

    /// Runs statements that return nothing, separated by semicolons.
    ///
    /// # Errors
    ///
    /// Fails if one of them does.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
        done.with_context(|| sql.to_owned())?;
        connection.close().await.context("cannot disconnect")
    }
}

/// Makes a name that needs no quotes anywhere.
pub(super) fn identifier(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let mut plain: String = name.chars().map(plain).collect();
    if !plain.starts_with(|c: char| c.is_ascii_lowercase()) {
        plain.insert_str(0, "t_");
    }
    plain.truncate(NAME_LIMIT);
    plain
}

/// Begin and end of `host:port` in a connection string.
fn authority(url: &str) -> (usize, usize) {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url[begin..].find(['/', '?']).map_or(url.len(), |at| begin + at);
    let begin = url[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    (begin, end)
}

fn with_database(url: &str, name: &str) -> String {
    let (_, end) = authority(url);
    let options = url[end..].find('?').map_or("", |at| &url[end + at..]);
    format!("{}/{name}{options}", &url[..end])
}

pub(super) fn with_address(url: &str, address: &str) -> String {
    let (begin, end) = authority(url);
    format!("{}{address}{}", &url[..begin], &url[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_connection_string_are_replaced() {
        let url = "postgresql://root:p%40ss@host:26257/defaultdb?sslmode=disable";
        assert_eq!(with_database(url, "x"), "postgresql://root:p%40ss@host:26257/x?sslmode=disable");
        assert_eq!(with_address(url, "a:1"), "postgresql://root:p%40ss@a:1/defaultdb?sslmode=disable");
        assert_eq!(with_database("postgres://host", "x"), "postgres://host/x");
    }

    #[test]
    fn any_name_becomes_an_identifier() {
        assert_eq!(identifier("Webhook::a lost-answer"), "webhook__a_lost_answer");
        assert_eq!(identifier("9 lives"), "t_9_lives");
        assert_eq!(identifier(&"x".repeat(100)).len(), NAME_LIMIT);
    }
}
