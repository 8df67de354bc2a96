//! `status` and `reset`: show and repair the state in the database, without a running process.

use sink_core::checkpoint::SqlCheckpoints;
use sink_core::checkpoint::overview::{Counting, Reset, SchemaStatus};
use sink_core::failure::chain;
use sink_core::model::Ident;
use sink_core::target::{LOOK_FOR_LEFTOVERS, Target};
use sink_service::duration;
use sink_service::exit::Exit;
use source_webhook::health::{schema_json, state_of};

use crate::Failed;
use crate::args::{ResetArgs, StatusArgs, TargetArgs};

/// A failure of the target, for people.
pub(crate) fn target_failed(failure: sink_core::failure::Failure) -> Failed {
    // Going on would lose what the original has left behind.
    let leftovers = failure.operation() == LOOK_FOR_LEFTOVERS && failure.sqlstate().is_none();
    (if leftovers { Exit::Refused } else { Exit::Target }, anyhow::anyhow!(chain(&failure)))
}

async fn connect(args: &TargetArgs) -> Result<std::sync::Arc<Target>, Failed> {
    let config = args.config().map_err(|e| (Exit::Usage, e))?;
    Target::connect(config).await.map(std::sync::Arc::new).map_err(target_failed)
}

/// Prints where every schema stands. Exit code 1 if one is stalled.
pub(crate) async fn status(args: StatusArgs) -> Result<Exit, Failed> {
    let target = connect(&args.target).await?;
    for (database, failure) in target.open_known().await.map_err(target_failed)? {
        eprintln!("warning: database {database} cannot be opened: {}", chain(&failure));
    }
    for name in &args.databases {
        let name = Ident::new(name).map_err(|e| (Exit::Usage, e.into()))?;
        target.database(&name).await.map_err(target_failed)?;
    }
    let checkpoints = SqlCheckpoints::new(target.clone());
    let mut all = Vec::new();
    for database in target.databases().await {
        all.extend(checkpoints.overview(&database, Counting::Exact).await.map_err(target_failed)?);
    }
    all.sort_by(|a, b| a.schema.cmp(&b.schema));
    if args.json {
        let rows: Vec<_> = all.iter().map(schema_json).collect();
        println!("{:#}", serde_json::Value::from(rows));
    } else {
        print_table(&all);
    }
    let stalled = all.iter().any(|status| status.stall.is_some());
    Ok(if stalled { Exit::Failure } else { Exit::Success })
}

fn print_table(all: &[SchemaStatus]) {
    if all.is_empty() {
        println!("nothing was ever staged here");
        return;
    }
    println!(
        "{:<30} {:<10} {:<8} {:>31} {:>10} {:>10} {:>9} LEADER",
        "SCHEMA", "MODE", "STATE", "APPLIED", "LAG", "PENDING", "STAGED"
    );
    for status in all {
        println!(
            "{:<30} {:<10} {:<8} {:>31} {:>10} {:>10} {:>9} {}",
            status.schema.to_string(),
            status.mode,
            state_of(status),
            status.applied.to_string(),
            status
                .lag
                .map_or("-".into(), |lag| duration::format(std::time::Duration::from_secs(lag.as_secs()))),
            pending_of(status),
            status.staging_bytes.map_or("-".into(), |bytes| format!("{} KiB", bytes / 1024)),
            status.leader.as_deref().unwrap_or("-"),
        );
        if let Some(reason) = &status.stall {
            println!("  stalled: {reason}");
        }
        if status.quarantined_rows > 0 {
            println!("  {} rows in quarantine", status.quarantined_rows);
        }
    }
}

fn pending_of(status: &SchemaStatus) -> String {
    match status.pending {
        Some(pending) if pending.exact => pending.rows.to_string(),
        Some(pending) => format!("~{}", pending.rows),
        None => "many".into(),
    }
}

/// Repairs one schema and says what to do next.
pub(crate) async fn reset(args: ResetArgs) -> Result<Exit, Failed> {
    let target = connect(&args.target).await?;
    let checkpoints = SqlCheckpoints::new(target.clone());
    if args.feed {
        let released = checkpoints.release_feed(&args.schema).await.map_err(target_failed)?;
        if released == 0 {
            println!("{} belonged to no changefeed", args.schema);
        } else {
            println!("{} is free for the next changefeed", args.schema);
        }
        return Ok(Exit::Success);
    }
    let reset = args.to.map_or(Reset::Everything, Reset::To);
    let done = match checkpoints.reset(&args.schema, reset, args.discard).await {
        Ok(done) => done,
        Err(failure) if failure.sqlstate().is_none() && !args.discard => {
            let advice = "nothing was changed; add --discard if that is what you want";
            return Err((Exit::Refused, anyhow::anyhow!("{}; {advice}", chain(&failure))));
        }
        Err(failure) => return Err(target_failed(failure)),
    };
    println!("{} stood at {}; {} staged rows were dropped", args.schema, done.was, done.dropped_rows);
    match reset {
        Reset::Everything => println!("the next changefeed must start with an initial scan (the default)"),
        Reset::To(to) => println!("the next changefeed must be created WITH cursor = '{to}' or earlier"),
    }
    Ok(Exit::Success)
}
