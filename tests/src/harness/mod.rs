//! Servers, processes and waits for tests against the real thing.
//!
//! Nothing here knows what a changefeed is. What a run may use comes from the environment, which
//! `cargo xtask` fills in:
//!
//! | variable | meaning |
//! |---|---|
//! | `CDC_TEST_POSTGRES_BIN` | folder with `initdb` and `postgres`; else they are searched for |
//! | `CDC_TEST_POSTGRES_URL` | a server to share instead of starting one |
//! | `CDC_TEST_COCKROACH_URL` | a CockroachDB node to share |
//! | `CDC_TEST_MYSQL_BASE` | folder that a MySQL server is under: `sbin/mysqld` or `bin/mysqld`, and `share` |
//! | `CDC_TEST_MARIADB_BASE` | the same of a MariaDB server |
//! | `CDC_TEST_BIN_DIR` | folder with our own binaries; else the one cargo built the caller into |
//! | `CDC_TEST_REQUIRE` | servers whose absence fails a scenario: `postgres,cockroach,mysql,mariadb` |
//! | `CDC_TEST_LONG` | `1` also runs the full-size scenarios |
//! | `CDC_TEST_FILTER` | parts of names, separated by commas: which scenarios to run |
//! | `CDC_TEST_TELL_NEEDS` | `1` runs nothing and tells which servers the chosen scenarios need |

mod child;
pub mod database;
pub mod fingerprint;
pub mod http;
pub mod mysql;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod runner;
mod scratch;
pub mod wait;

pub use child::Signal;

/// The value of an environment variable that is set and not empty.
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
