//! What operators are told of a feed.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use sink_core::flow::{FlowStatus, Phase};
use sink_core::target::Target;
use sink_service::operators::{Answer, Answers};
use sink_service::process;
use sink_service::settings::{self, Setting};
use sink_service::telemetry::MetricsHandle;

use crate::Program;

/// Longest wait for the target's answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The answers of the operators' listener.
#[must_use]
pub fn answers(
    program: Program,
    status: &Arc<FlowStatus>,
    target: &Arc<Target>,
    metrics: MetricsHandle,
    settings: &[Setting],
) -> Answers {
    let settings = settings::to_json(settings);
    let (ready, diagnosed) = (Arc::clone(status), Arc::clone(status));
    let target = Arc::clone(target);
    Answers {
        health: Box::new(move || healthz(Arc::clone(&target))),
        ready: Box::new(move || {
            let state = state(&ready);
            let running = matches!(ready.state().phase, Phase::Streaming | Phase::Snapshot | Phase::Standby);
            let code = if running { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            Box::pin(std::future::ready((code, format!("{state:#}\n"))))
        }),
        metrics: Box::new(move || metrics.render()),
        diagnostics: Box::new(move || {
            let all = json!({
                "build": {
                    "program": program.name,
                    "version": program.version,
                    "optimized": !cfg!(debug_assertions),
                },
                "settings": settings,
                "process": process::to_json(),
                "feed": state(&diagnosed),
            });
            Box::pin(std::future::ready((StatusCode::OK, format!("{all:#}\n"))))
        }),
    }
}

fn healthz(target: Arc<Target>) -> Answer {
    Box::pin(async move {
        match tokio::time::timeout(PING_TIMEOUT, target.ping()).await {
            Ok(Ok(())) => (StatusCode::OK, "OK".into()),
            Ok(Err(failure)) => {
                let text = format!("target: {}", sink_core::failure::chain(&failure));
                (StatusCode::INTERNAL_SERVER_ERROR, text)
            }
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "target: no answer in time".into()),
        }
    })
}

fn state(status: &FlowStatus) -> Value {
    let state = status.state();
    json!({
        "feed": status.feed(),
        "phase": state.phase.as_str(),
        "transactions_apart": state.apart,
        "consistent_since_snapshot": state.consistent,
        "position": state.position.map(|position| position.to_string()),
        "lag_seconds": status.lag().as_secs_f64(),
        "outstanding": state.outstanding,
        "transactions": state.transactions,
        "changes": state.changes,
        "problem": state.problem,
    })
}
