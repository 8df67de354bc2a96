//! What operators reach besides the feeds: the listener of `--metricsAddr`, and diagnostics by request or signal.

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use sink_core::checkpoint::Leases;
use sink_service::exit::Exit;
use sink_service::http_server::HttpStats;
use sink_service::operators::Operators;
use sink_service::settings::{self, Setting};
use sink_service::shutdown::Reloads;
use sink_service::{process, telemetry};
use source_webhook::Webhook;
use source_webhook::diag::Diagnostics;

use crate::Failed;

/// Serves operators on `address`, if there is one.
pub(crate) async fn serve(
    address: Option<&str>,
    webhook: &Arc<Webhook>,
    stats: &Arc<HttpStats>,
) -> Result<Operators, Failed> {
    let webhook = Arc::clone(webhook);
    let handler = move |request| Arc::clone(&webhook).handle_admin(request);
    let operators = Operators::serve(address, Arc::clone(stats), handler).await;
    operators
        .with_context(|| format!("cannot listen on {} (--metricsAddr)", address.unwrap_or_default()))
        .map_err(|e| (Exit::Usage, e))
}

/// Writes diagnostics to the log whenever SIGUSR1 asks for them.
pub(crate) async fn diagnose(webhook: Arc<Webhook>, mut asked: Reloads) {
    loop {
        asked.next().await;
        let diagnostics = webhook.diag().await;
        // One line, whatever the log's form.
        let line = serde_json::from_str::<Value>(&diagnostics).map_or(diagnostics, |value| value.to_string());
        tracing::info!(diagnostics = %line, "SIGUSR1: diagnostics");
    }
}

/// What only this binary knows of the process.
pub(crate) fn diagnostics(settings: &[Setting], leases: Arc<Leases>, stats: Arc<HttpStats>) -> Diagnostics {
    telemetry::announce(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    Diagnostics {
        build: json!({
            "program": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "optimized": !cfg!(debug_assertions),
        }),
        settings: settings::to_json(settings),
        process: Box::new(move || {
            let mut state = process::to_json();
            state["connections"] = stats.connections().into();
            state["requests_in_flight"] = stats.requests().into();
            state
        }),
        leases,
    }
}
