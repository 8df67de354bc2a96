//! Receives CockroachDB changefeeds over HTTP: rows and resolved marks, posted by webhook sinks to `/database/schema`
//! (or `/database/schema/table`) or uploaded as files beneath it.
//!
//! ```text
//! request ─► route ─► access ─► body (within a budget) ─► encoding ─► payload ─► intake ─► 200
//!            pure                                         pure        pure        │
//!                                              staged, marked or written at once ─┘
//! ```
//!
//! A 200 means durable. Every other answer makes the source send the same bytes again, so each error text says what
//! to change; the source shows it to its operator.

pub mod access;
mod answers;
pub mod auth;
pub mod budget;
pub mod diag;
pub mod encoding;
pub mod feed_bindings;
pub mod handler;
pub mod health;
pub mod intake;
pub mod mark_series;
pub mod metrics;
pub mod payload;
mod refusal_log;
pub mod reply;
pub mod route;
pub mod schema_states;

pub use handler::{Webhook, WebhookConfig};
