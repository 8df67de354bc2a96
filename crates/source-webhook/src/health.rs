//! What load balancers and operators ask.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use sink_core::checkpoint::overview::{Counting, SchemaStatus};
use sink_core::failure::{Failure, chain};

use crate::access::Access;
use crate::intake::Intake;

/// Longest wait for the target's answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// `/_/healthz`: 200 if the target answers, else 500.
pub(crate) async fn healthz(intake: &Intake) -> (StatusCode, String) {
    match tokio::time::timeout(PING_TIMEOUT, intake.target.ping()).await {
        Ok(Ok(())) => (StatusCode::OK, "OK".into()),
        Ok(Err(failure)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("target: {}", chain(&failure))),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "target: no answer in time".into()),
    }
}

/// `/_/readyz`: 200 while requests are taken in, with the state of every schema as JSON. A schema that stands still
/// does not make the process unready: its rows are still staged.
pub(crate) async fn readyz(intake: &Intake, access: &Access, draining: bool) -> (StatusCode, String) {
    let (ready, schemas) = match tokio::time::timeout(PING_TIMEOUT, all_schemas(intake)).await {
        Ok(Ok(schemas)) => (!draining, Ok(schemas)),
        Ok(Err(failure)) => (false, Err(chain(&failure))),
        Err(_) => (false, Err("the target does not answer in time".into())),
    };
    let mut state = json!({
        "ready": ready,
        "draining": draining,
        "target": intake.target.version(),
        "apply_config": configuration_json(intake),
        "authentication": access.state(),
    });
    match schemas {
        Ok(schemas) => {
            let with_warnings = |status: &SchemaStatus| {
                let mut json = schema_json(status);
                json["warnings"] = intake.warnings(&status.schema).into();
                json
            };
            state["schemas"] = schemas.iter().map(with_warnings).collect();
        }
        Err(error) => state["error"] = error.into(),
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{state:#}\n"))
}

/// Tables whose rows in `apply_config` cannot be used.
fn configuration_json(intake: &Intake) -> Value {
    let broken = intake.target.configs().tables().into_iter().filter(|table| !table.problems.is_empty());
    let each = broken.map(
        |table| json!({ "table": table.name, "state": table.state.as_str(), "problems": table.problems }),
    );
    each.collect()
}

pub(crate) async fn all_schemas(intake: &Intake) -> Result<Vec<SchemaStatus>, Failure> {
    let mut all = Vec::new();
    for database in intake.target.databases().await {
        all.extend(intake.checkpoints.overview(&database, Counting::Quick).await?);
    }
    Ok(all)
}

/// One schema's state as JSON, also printed by `cdc-webhook status --json`.
#[must_use]
pub fn schema_json(status: &SchemaStatus) -> Value {
    json!({
        "schema": status.schema.to_string(),
        "mode": status.mode,
        "state": state_of(status),
        "applied": status.applied.to_string(),
        "applied_seconds_ago": status.applied_ago.map(|ago| ago.as_secs_f64()),
        "lag_seconds": status.lag.map(|lag| lag.as_secs_f64()),
        "newest_mark": status.newest_mark.map(|mark| mark.to_string()),
        "leader": status.leader,
        "stall": status.stall,
        "pending_rows": status.pending.map(|pending| pending.rows),
        "pending_rows_exact": status.pending.map(|pending| pending.exact),
        "oldest_pending_seconds": status.pending.and_then(|pending| pending.oldest).map(|age| age.as_secs_f64()),
        "staging_bytes": status.staging_bytes,
        "quarantined_rows": status.quarantined_rows,
    })
}

/// One word for operators.
#[must_use]
pub fn state_of(status: &SchemaStatus) -> &'static str {
    if status.stall.is_some() {
        "stalled"
    } else if status.applied_ago.is_none() {
        "loading"
    } else if status.newest_mark.is_some_and(|mark| mark > status.applied) {
        "applying"
    } else {
        "current"
    }
}
