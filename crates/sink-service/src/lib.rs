//! What a process needs besides data: flags, logs, metrics, TLS, an HTTP server, signals, exit
//! codes. Knows no table, no feed and no database; the binaries join it with the engine.
//!
//! ```text
//!  argv, environment, --config FILE ──► layered ──► clap (secret, duration) ──► *Args
//!                                                                                 │
//!        ┌──────────────┬────────────────┬──────────────────┬─────────────────────┤
//!        ▼              ▼                ▼                  ▼                     ▼
//!     logging       telemetry          tls ──────────► http_server ◄── body    shutdown ──► exit
//!                  (/_/varz text)  (certificates)    (connections)           (signals)
//! ```

pub mod body;
pub mod duration;
pub mod exit;
pub mod feed_args;
pub mod http_server;
pub mod layered;
pub mod logging;
pub mod operators;
pub mod process;
pub mod program;
pub mod reference;
pub mod secret;
pub mod settings;
pub mod shutdown;
pub mod snapshot_args;
pub mod telemetry;
pub mod tls;
