//! The flags of `cdc-webhook`. Those of the original keep its spelling; every one has a kebab-case alias and an
//! environment variable.

use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use sink_core::apply::OnRowError;
use sink_core::apply::sql::ApplierConfig;
use sink_core::checkpoint::Mode;
use sink_core::model::{Ident, SchemaId};
use sink_core::resolver::ResolverConfig;
use sink_core::target::{Product, TargetConfig};
use sink_service::duration;
use sink_service::secret::Secret;
use sink_service::shutdown::ShutdownArgs;
use sink_service::tls::TlsArgs;
use source_webhook::WebhookConfig;
use source_webhook::access::Access;
use source_webhook::auth::Authenticator;
use source_webhook::intake::IntakeConfig;

/// Rows of a slice on PostgreSQL, where a slice is one statement and never leaves the server. Larger ones gain little
/// and hold locks for longer.
const SLICE_ROWS_POSTGRES: u32 = 50_000;
/// Rows of a slice on CockroachDB, which wants short transactions.
const SLICE_ROWS_COCKROACH: u32 = 1_000;

/// The target and our own tables in it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetArgs {
    /// Connection string of the target cluster (CockroachDB or PostgreSQL).
    #[arg(
        long = "conn",
        aliases = ["targetConn", "target-conn"],
        env = "CDC_CONN",
        hide_env_values = true,
        value_name = "URL",
        default_value = "postgresql://root@localhost:26257/?sslmode=disable",
        hide_default_value = false
    )]
    pub(crate) conn: Secret,

    /// Where to keep metadata: a database of this name on CockroachDB, a schema of this name inside each target
    /// database on PostgreSQL.
    #[arg(
        long = "stagingDB",
        aliases = ["staging-db", "stagingDb"],
        env = "CDC_STAGING_DB",
        value_name = "NAME",
        default_value = "_cdc_sink"
    )]
    pub(crate) staging_db: String,

    /// Create the staging database or schema if it does not exist.
    #[arg(
        long = "stagingCreateSchema",
        alias = "staging-create-schema",
        env = "CDC_STAGING_CREATE_SCHEMA",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub(crate) staging_create_schema: bool,

    /// Most connections to the target at once.
    #[arg(
        long = "targetDBConns",
        aliases = ["target-db-conns", "targetMaxPoolSize", "target-max-pool-size"],
        env = "CDC_TARGET_DB_CONNS",
        value_name = "N",
        default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(2..=10_000)
    )]
    pub(crate) target_db_conns: u32,
}

impl TargetArgs {
    pub(crate) fn config(&self) -> anyhow::Result<TargetConfig> {
        // The documents name the variable of the original's alias as well.
        let url = match std::env::var("CDC_TARGET_CONN") {
            Ok(url) if std::env::var_os("CDC_CONN").is_none() && self.is_default() => url,
            _ => self.conn.expose().to_owned(),
        };
        Ok(TargetConfig {
            url,
            staging: Ident::new(&self.staging_db).map_err(|e| anyhow::anyhow!("--stagingDB: {e}"))?,
            create_staging: self.staging_create_schema,
            max_connections: self.target_db_conns,
        })
    }

    fn is_default(&self) -> bool {
        self.conn.expose() == "postgresql://root@localhost:26257/?sslmode=disable"
    }
}

/// What happens to a row that the target refuses.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ApplyErrors {
    /// The schema stands still before the row, visibly; rows are still staged.
    Stop,
    /// The row is moved to the quarantine table.
    Quarantine,
}

/// Flags of `start`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) apply: ApplyArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) shutdown: ShutdownArgs,
}

/// How requests are received.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Receiving")]
pub(crate) struct ServerArgs {
    /// Network address to listen on; without a host, on all addresses.
    #[arg(
        long = "bindAddr",
        alias = "bind-addr",
        env = "CDC_BIND_ADDR",
        value_name = "HOST:PORT",
        default_value = ":26258"
    )]
    pub(crate) bind_addr: String,

    /// Also serve health, readiness, metrics and diagnostics here, in plain HTTP and without feeds; best on loopback
    /// or a private network. It answers until the process has stopped, and when --bindAddr is busy.
    #[arg(long = "metricsAddr", alias = "metrics-addr", env = "CDC_METRICS_ADDR", value_name = "HOST:PORT")]
    pub(crate) metrics_addr: Option<String>,

    /// Accept deliveries from everybody; for tests and closed networks only.
    #[arg(
        long = "disableAuthentication",
        alias = "disable-authentication",
        env = "CDC_DISABLE_AUTHENTICATION",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub(crate) disable_authentication: bool,

    /// Accept tokens that never expire (without `exp`), with one warning for each. The documented way to make a token
    /// with OpenSSL keys makes such tokens; with =false they are refused.
    #[arg(
        long = "jwtAllowNoExpiry",
        alias = "jwt-allow-no-expiry",
        env = "CDC_JWT_ALLOW_NO_EXPIRY",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub(crate) jwt_allow_no_expiry: bool,

    /// Longest request body, in bytes, packed and unpacked. The source sends a body that is too long again and again,
    /// so this must suit the feed's Flush.Bytes.
    #[arg(
        long = "maxBodyBytes",
        alias = "max-body-bytes",
        env = "CDC_MAX_BODY_BYTES",
        value_name = "BYTES",
        default_value_t = 64 << 20
    )]
    pub(crate) max_body_bytes: usize,

    /// Bytes of all request bodies in flight; beyond, requests are answered 503 and come again.
    #[arg(
        long = "maxInFlightBytes",
        alias = "max-in-flight-bytes",
        env = "CDC_MAX_IN_FLIGHT_BYTES",
        value_name = "BYTES",
        default_value_t = 64 << 20
    )]
    pub(crate) max_in_flight_bytes: usize,

    /// Longest pause within a request body.
    #[arg(
        long = "bodyIdleTimeout",
        alias = "body-idle-timeout",
        env = "CDC_BODY_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration::parse
    )]
    pub(crate) body_idle_timeout: Duration,

    /// How far ahead of the target's clock a row or mark may be. One mark from the far future would make every later
    /// row late, so such requests are refused.
    #[arg(
        long = "maxClockSkew",
        alias = "max-clock-skew",
        env = "CDC_MAX_CLOCK_SKEW",
        value_name = "DURATION",
        default_value = "10m",
        value_parser = duration::parse
    )]
    pub(crate) max_clock_skew: Duration,

    /// Accepted because the original has it, and without effect: a line of an uploaded file may be as long as
    /// --maxBodyBytes allows the file to be [default there: 65536].
    #[arg(
        long = "ndjsonBufferSize",
        alias = "ndjson-buffer-size",
        env = "CDC_NDJSON_BUFFER_SIZE",
        value_name = "BYTES"
    )]
    pub(crate) ndjson_buffer_size: Option<u64>,

    /// Size of a schema's staging tables, in bytes, above which its rows are answered 503. Not enforced on
    /// CockroachDB.
    #[arg(
        long = "maxStagedBytes",
        alias = "max-staged-bytes",
        env = "CDC_MAX_STAGED_BYTES",
        value_name = "BYTES",
        default_value_t = 64 << 30
    )]
    pub(crate) max_staged_bytes: u64,
}

/// How rows are applied.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Applying")]
pub(crate) struct ApplyArgs {
    /// Write rows as they arrive, without waiting for resolved marks: faster, but transactions are torn. A feed can
    /// choose for itself with ?immediate=true or ?immediate=false in its URL.
    #[arg(
        long = "immediate",
        env = "CDC_IMMEDIATE",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub(crate) immediate: bool,

    /// In immediate mode, do not remember the last written time of each key. Faster; but a row that is delivered
    /// again, or late, may overwrite a newer one.
    #[arg(
        long = "assumeIdempotent",
        alias = "assume-idempotent",
        env = "CDC_ASSUME_IDEMPOTENT",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub(crate) assume_idempotent: bool,

    /// Longest time spent on one request, trying again included.
    #[arg(
        long = "applyTimeout",
        alias = "apply-timeout",
        env = "CDC_APPLY_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration::parse
    )]
    pub(crate) apply_timeout: Duration,

    /// What to do with a row that the target refuses (a value out of range, a broken constraint).
    #[arg(
        long = "onApplyError",
        alias = "on-apply-error",
        env = "CDC_ON_APPLY_ERROR",
        value_enum,
        default_value_t = ApplyErrors::Stop
    )]
    pub(crate) on_apply_error: ApplyErrors,

    /// About how many rows one target transaction applies at most, unless one source timestamp has more [default: 50000 on
    /// PostgreSQL, 1000 on CockroachDB].
    #[arg(long = "sliceRows", alias = "slice-rows", env = "CDC_SLICE_ROWS", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) slice_rows: Option<u32>,

    /// A source timestamp with more rows than this (an initial scan, a schema change) is too large for one transaction
    /// on CockroachDB: it is written in pieces before the first mark of its schema, and refused after that.
    /// PostgreSQL takes it whole.
    #[arg(
        long = "maxTransactionRows",
        alias = "max-transaction-rows",
        env = "CDC_MAX_TRANSACTION_ROWS",
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000)
    )]
    pub(crate) max_transaction_rows: u32,

    /// Write timestamps above --maxTransactionRows in pieces at any time, on any target; readers may see part of one.
    #[arg(
        long = "splitLargeTimestamps",
        alias = "split-large-timestamps",
        env = "CDC_SPLIT_LARGE_TIMESTAMPS",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub(crate) split_large_timestamps: bool,

    /// How long the guard of immediate writes remembers a key if no resolved mark makes that superfluous.
    #[arg(
        long = "guardRetention",
        alias = "guard-retention",
        env = "CDC_GUARD_RETENTION",
        value_name = "DURATION",
        default_value = "24h",
        value_parser = duration::parse
    )]
    pub(crate) guard_retention: Duration,
}

impl StartArgs {
    /// Checks tokens, unless everybody may write.
    pub(crate) fn authenticator(&self) -> Option<Arc<Authenticator>> {
        let wanted = !self.server.disable_authentication;
        wanted.then(|| Arc::new(Authenticator::new(self.server.jwt_allow_no_expiry)))
    }

    pub(crate) fn webhook(&self, authenticator: Option<Arc<Authenticator>>) -> WebhookConfig {
        WebhookConfig {
            access: authenticator.map_or(Access::Everybody, Access::Tokens),
            default_mode: if self.apply.immediate { Mode::Immediate } else { Mode::Consistent },
            max_body_bytes: self.server.max_body_bytes,
            max_in_flight_bytes: self.server.max_in_flight_bytes,
            body_idle_timeout: self.server.body_idle_timeout,
            body_timeout: self.apply.apply_timeout.max(self.server.body_idle_timeout),
        }
    }

    pub(crate) fn intake(&self) -> IntakeConfig {
        IntakeConfig {
            timeout: self.apply.apply_timeout,
            max_clock_skew: self.server.max_clock_skew,
            max_staged_bytes: self.server.max_staged_bytes,
        }
    }

    pub(crate) fn applier(&self) -> ApplierConfig {
        ApplierConfig {
            assume_idempotent: self.apply.assume_idempotent,
            max_transaction_rows: self.apply.max_transaction_rows,
            split_large_timestamps: self.apply.split_large_timestamps,
        }
    }

    pub(crate) fn resolver(&self, product: Product) -> ResolverConfig {
        let usual = match product {
            Product::PostgreSql => SLICE_ROWS_POSTGRES,
            Product::CockroachDb => SLICE_ROWS_COCKROACH,
        };
        ResolverConfig {
            guard_retention: self.apply.guard_retention,
            slice_rows: self.apply.slice_rows.unwrap_or(usual),
            on_row_error: match self.apply.on_apply_error {
                ApplyErrors::Stop => OnRowError::Stop,
                ApplyErrors::Quarantine => OnRowError::Quarantine,
            },
        }
    }
}

/// Flags of `status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Databases to look at beside those that were written through this connection's database.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    pub(crate) databases: Vec<String>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `reset`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// The schema, as DATABASE.SCHEMA.
    #[arg(short = 'a', long = "schema", value_name = "DATABASE.SCHEMA", value_parser = schema)]
    pub(crate) schema: SchemaId,

    /// Take the target to be at this time (nanoseconds, a dot and the counter, as in `cursor` of a changefeed); without it,
    /// everything about the schema is forgotten and the next feed starts from nothing.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<sink_core::model::HlcTimestamp>,

    /// Drop rows that are staged but not applied.
    #[arg(long)]
    pub(crate) discard: bool,

    /// Only release the schema from the changefeed it belongs to, so that another one may take over; everything else
    /// stays as it is.
    #[arg(long, conflicts_with_all = ["to", "discard"])]
    pub(crate) feed: bool,
}

/// `database.schema`; either part may be quoted with double quotes if it has a dot.
fn schema(text: &str) -> Result<SchemaId, String> {
    let wrong = || format!("{text:?} is not of the form DATABASE.SCHEMA");
    let (database, rest) = part(text, &['.']).ok_or_else(wrong)?;
    let (schema, rest) = part(rest.strip_prefix('.').ok_or_else(wrong)?, &['.']).ok_or_else(wrong)?;
    if !rest.is_empty() {
        return Err(wrong());
    }
    let ident = |name: String| Ident::new(name).map_err(|e| e.to_string());
    Ok(SchemaId { database: ident(database)?, schema: ident(schema)? })
}

/// One part and what follows it; a part without quotes ends before one of these characters.
pub(crate) fn part<'t>(text: &'t str, ends: &[char]) -> Option<(String, &'t str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(ends).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_may_be_quoted() {
        let parsed = |text| schema(text).map(|id| (id.database.to_string(), id.schema.to_string()));
        assert_eq!(parsed("ycsb.public").unwrap(), ("ycsb".into(), "public".into()));
        assert_eq!(parsed(r#""a.b"."c""d""#).unwrap(), ("a.b".into(), "c\"d".into()));
        for text in ["ycsb", "a.b.c", "", ".", "a.", "\"a.b", "\"a\"b.c"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
