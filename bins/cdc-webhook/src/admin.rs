//! What operators reach besides the feeds: the listener of `--metricsAddr`, and diagnostics by request or signal.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use sink_core::checkpoint::Leases;
use sink_service::exit::Exit;
use sink_service::http_server::{self, HttpLimits, HttpServer, HttpStats};
use sink_service::settings::Setting;
use sink_service::shutdown::{self, Reloads};
use sink_service::{process, telemetry};
use source_webhook::Webhook;
use source_webhook::diag::Diagnostics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Failed;

/// Most connections to the operators' listener; further ones wait.
const MAX_CONNECTIONS: usize = 64;
/// Time for its last answers.
const GRACE: Duration = Duration::from_secs(1);

/// The operators' listener. It is stopped last, so that a process can be watched while it drains.
pub(crate) struct Admin {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Admin {
    /// Serves on `address`, if there is one.
    pub(crate) async fn serve(
        address: Option<&str>,
        webhook: &Arc<Webhook>,
        stats: &Arc<HttpStats>,
    ) -> Result<Self, Failed> {
        let admin = Self { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let Some(address) = address else { return Ok(admin) };
        let listener = http_server::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} (--metricsAddr)"))
            .map_err(|e| (Exit::Usage, e))?;
        let bound = listener.local_addr().map_or_else(|_| address.to_owned(), |a| a.to_string());
        tracing::info!(address = %bound, "listening for operators");
        let server = HttpServer {
            listener,
            tls: None,
            limits: HttpLimits { max_connections: MAX_CONNECTIONS, ..HttpLimits::default() },
            shutdown: admin.stop.clone(),
            grace: GRACE,
            stats: Arc::clone(stats),
        };
        let webhook = Arc::clone(webhook);
        admin.tasks.spawn(server.serve(move |request| Arc::clone(&webhook).handle_admin(request)));
        Ok(admin)
    }

    /// Stops listening.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        shutdown::drain(&self.tasks, GRACE * 3).await;
    }
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
    let shown: Map<String, Value> = settings
        .iter()
        .map(|setting| (setting.name.clone(), json!({ "value": setting.value, "from": setting.origin })))
        .collect();
    Diagnostics {
        build: json!({
            "program": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "optimized": !cfg!(debug_assertions),
        }),
        settings: shown.into(),
        process: Box::new(move || {
            json!({
                "pid": std::process::id(),
                "started": process::started_text(),
                "uptime_seconds": process::uptime_seconds(),
                "resident_bytes": process::resident_bytes(),
                "open_files": process::open_files(),
                "connections": stats.connections(),
                "requests_in_flight": stats.requests(),
            })
        }),
        leases,
    }
}
