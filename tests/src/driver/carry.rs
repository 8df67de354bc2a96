//! One request from the feed to its reply.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use sink_core::clock::{Clock, SystemClock};
use sink_testkit::feed::{Connection, Delivery, DeliveryId, DeliveryKind, Reply};
use tokio::time::{sleep, timeout};

use super::Options;
use crate::harness::http::Client;

/// Longest text of a refusal that is kept.
const REFUSAL_CHARS: usize = 200;

/// Carries one request.
pub(super) struct Carrier {
    pub(super) address: SocketAddr,
    pub(super) options: Options,
    /// Milliseconds after which the connection is cut, if it is to be.
    pub(super) cut: Option<u64>,
}

/// What became of a request.
pub(super) struct Carried {
    pub(super) id: DeliveryId,
    pub(super) connection: Connection,
    pub(super) reply: Reply,
    /// Whether the connection was cut on purpose.
    pub(super) cut: bool,
    /// Status and text of an answer other than 2xx.
    pub(super) refusal: Option<String>,
    /// The connection, if it can be used again.
    pub(super) client: Option<Client>,
}

impl Carrier {
    pub(super) async fn carry(self, client: Option<Client>, delivery: Delivery) -> Carried {
        if self.options.live {
            until_committed(&delivery).await;
        }
        let mut carried = Carried {
            id: delivery.id,
            connection: delivery.connection,
            reply: Reply::ConnectionLost,
            cut: false,
            refusal: None,
            client: None,
        };
        let patience = self.cut.map_or(self.options.patience, Duration::from_millis);
        match timeout(patience, self.exchange(client, &delivery)).await {
            Ok(Ok((client, status, text))) => {
                carried.reply = if status.is_success() { Reply::Ok } else { Reply::Status(status.as_u16()) };
                carried.refusal = (!status.is_success()).then(|| refusal(status, &text));
                carried.client = Some(client);
            }
            // The process is away or ended; the feed tries again.
            Ok(Err(_)) => {}
            // Whether given up or cut, the connection was dropped with the request.
            Err(_) if self.cut.is_some() => carried.cut = true,
            Err(_) => carried.reply = Reply::TimedOut,
        }
        if carried.reply != Reply::Ok {
            sleep(self.options.retry_pause).await;
        }
        carried
    }

    async fn exchange(
        &self,
        client: Option<Client>,
        delivery: &Delivery,
    ) -> anyhow::Result<(Client, StatusCode, bytes::Bytes)> {
        let mut client = match client {
            Some(client) => client,
            None => Client::connect(self.address).await?,
        };
        let headers = [("content-type", "application/json")];
        let body = bytes::Bytes::copy_from_slice(delivery.body.as_bytes());
        let (status, text) = client.post(&self.options.path, &headers, body).await?;
        Ok((client, status, text))
    }
}

fn refusal(status: StatusCode, text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text: String = text.trim().chars().take(REFUSAL_CHARS).collect();
    format!("{} {text}", status.as_u16())
}

/// Waits until everything the request speaks of has happened.
async fn until_committed(delivery: &Delivery) {
    let newest = match delivery.kind {
        DeliveryKind::Resolved(at) => Some(at.nanos()),
        DeliveryKind::Rows(_) => newest_time(&delivery.body),
    };
    let newest = newest.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos);
    if let Some(wait) = newest.and_then(|newest| newest.checked_sub(SystemClock.wall())) {
        sleep(wait).await;
    }
}

/// The newest `updated` of a batch, in nanoseconds. Inside of values the name is always quoted with backslashes,
/// so a plain search finds members only.
fn newest_time(body: &str) -> Option<i64> {
    let times = body.split("\"updated\":").skip(1).filter_map(|rest| {
        let digits = rest.trim_start().strip_prefix('"')?.split('.').next()?;
        digits.parse().ok()
    });
    times.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_time_of_a_batch_is_found_in_both_spellings() {
        let body = r#"{"payload":[{"after": {"a": "\"updated\": \"9"}, "updated": "12.0000000001"},{"updated":"7.0"}]}"#;
        assert_eq!(newest_time(body), Some(12));
        assert_eq!(newest_time(r#"{"payload":[]}"#), None);
    }
}
