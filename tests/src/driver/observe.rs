//! Reads what a process says of itself: `/_/varz` and `/_/readyz`.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use serde_json::Value;
use sink_core::model::HlcTimestamp;

use crate::harness::http::Client;

/// The counters of one moment, in Prometheus' text form.
#[derive(Debug, Clone)]
pub struct Varz(String);

impl Varz {
    /// Asks a process.
    ///
    /// # Errors
    /// If it does not answer with 200.
    pub async fn get(client: &mut Client) -> Result<Varz> {
        let (status, body) = client.get("/_/varz").await?;
        ensure!(status == StatusCode::OK, "/_/varz answered {status}");
        Ok(Varz(String::from_utf8_lossy(&body).into_owned()))
    }

    /// The sum of a metric over all of its labels; zero if it was never touched.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = match rest.chars().next()? {
                '{' => rest.rsplit_once('}')?.1,
                ' ' => rest,
                _ => return None,
            };
            value.trim().parse::<f64>().ok()
        });
        // Not `sum`: of nothing that is minus zero.
        values.fold(0.0, |total, value| total + value)
    }
}

/// Where a schema stands, as `/_/readyz` tells it.
#[derive(Debug, Clone)]
pub struct SchemaState {
    /// Everything up to here is in the target.
    pub applied: HlcTimestamp,
    /// One word: `loading`, `applying`, `current`, `stalled`.
    pub state: String,
    /// How far the target is behind the source's clock.
    pub lag_seconds: Option<f64>,
    /// Why it stands still, if it does.
    pub stall: Option<String>,
    /// Size of the staging tables.
    pub staging_bytes: u64,
}

/// Asks a process for the state of one schema; `None` if it has never heard of it.
///
/// # Errors
/// If the answer is not the expected JSON.
pub async fn schema_state(client: &mut Client, schema: &str) -> Result<Option<SchemaState>> {
    let (_, body) = client.get("/_/readyz").await?;
    let all: Value = serde_json::from_slice(&body).context("/_/readyz is not JSON")?;
    let found = all["schemas"].as_array().into_iter().flatten().find(|one| one["schema"] == schema);
    let Some(found) = found else { return Ok(None) };
    let text = |name: &str| found[name].as_str().map(str::to_owned);
    Ok(Some(SchemaState {
        applied: text("applied").context("no applied time")?.parse()?,
        state: text("state").context("no state")?,
        lag_seconds: found["lag_seconds"].as_f64(),
        stall: text("stall"),
        staging_bytes: found["staging_bytes"].as_u64().unwrap_or(0),
    }))
}

/// A connection that asks, made again after a process was away.
pub struct Observer {
    address: SocketAddr,
    client: Option<Client>,
}

impl Observer {
    /// Asks the process at this address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, client: None }
    }

    /// The counters.
    ///
    /// # Errors
    /// If the process does not answer.
    pub async fn varz(&mut self) -> Result<Varz> {
        let mut client = self.take().await?;
        let varz = Varz::get(&mut client).await?;
        self.client = Some(client);
        Ok(varz)
    }

    /// The state of a schema, given as `database.schema`.
    ///
    /// # Errors
    /// As [`schema_state`].
    pub async fn schema(&mut self, schema: &str) -> Result<Option<SchemaState>> {
        let mut client = self.take().await?;
        let state = schema_state(&mut client, schema).await?;
        self.client = Some(client);
        Ok(state)
    }

    /// A failed exchange leaves no client behind, so that the next one begins anew.
    async fn take(&mut self) -> Result<Client> {
        match self.client.take() {
            Some(client) => Ok(client),
            None => Client::connect(self.address).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_their_labels_and_not_over_longer_names() {
        let varz = Varz("# HELP a x\na{t=\"1\"} 2\na{t=\"}\"} 3\na_total 9\nb 4.5\n".to_owned());
        assert_eq!((varz.sum("a"), varz.sum("b"), varz.sum("c")), (5.0, 4.5, 0.0));
    }
}
