//! What a running `cdc-pglogical` says of itself.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::Value;
use tests::harness::http::Client;
use tests::harness::process::{READY_PATH, ServiceProcess};

/// Whether it is ready, and the state of its feed.
pub(crate) async fn readiness(process: &ServiceProcess) -> Result<(StatusCode, Value)> {
    let (status, body) = Client::connect(process.address()).await?.get(READY_PATH).await?;
    Ok((status, serde_json::from_slice(&body).context("the state is no JSON")?))
}

/// A number among its metrics: the line that begins like this.
pub(crate) async fn metric(process: &ServiceProcess, line: &str) -> Result<f64> {
    let (_, text) = Client::connect(process.address()).await?.get("/_/varz").await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let found = text.lines().find_map(|shown| shown.strip_prefix(line)?.trim().parse().ok());
    found.with_context(|| format!("no metric {line}"))
}

/// Fails unless the process does this at the moment, and is ready or not.
pub(crate) async fn expect_phase(process: &ServiceProcess, phase: &str, ready: StatusCode) -> Result<Value> {
    let (status, state) = readiness(process).await?;
    ensure!(state["phase"] == phase && status == ready, "{status} {state}");
    Ok(state)
}
