//! What support asks for: one JSON document about the process, its settings and what it is doing. It holds no secret
//! and no row value.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sink_core::checkpoint::Leases;
use sink_core::failure::chain;
use sink_core::target::Target;

use crate::health::{all_schemas, schema_json};
use crate::intake::Intake;

/// Longest wait for the target; the rest is told without it.
const TARGET_TIMEOUT: Duration = Duration::from_secs(5);

/// What only the binary knows.
pub struct Diagnostics {
    /// Program, version and build.
    pub build: Value,
    /// The settings in effect, without secrets.
    pub settings: Value,
    /// What the process and its HTTP listeners are doing at the moment.
    pub process: Box<dyn Fn() -> Value + Send + Sync>,
    /// The leases of this process.
    pub leases: std::sync::Arc<Leases>,
}

impl Diagnostics {
    /// Puts everything together. A target that does not answer is told as such.
    pub(crate) async fn collect(&self, intake: &Intake, draining: bool) -> Value {
        let target = &intake.target;
        let schemas = match tokio::time::timeout(TARGET_TIMEOUT, all_schemas(intake)).await {
            Ok(Ok(schemas)) => schemas.iter().map(schema_json).collect(),
            Ok(Err(failure)) => json!({ "error": chain(&failure) }),
            Err(_) => json!({ "error": "the target does not answer in time" }),
        };
        json!({
            "build": self.build,
            "settings": self.settings,
            "process": (self.process)(),
            "draining": draining,
            "target": {
                "product": format!("{:?}", target.product()),
                "version": target.version(),
                "host": target.host(),
                "pools": pools(target).await,
            },
            "leases": self.leases.names(),
            "resolvers": intake.resolvers.count(),
            "caches": caches(intake).await,
            "schemas": schemas,
        })
    }
}

async fn pools(target: &Target) -> Value {
    let pools = target.pools().await;
    let shown = pools.iter().map(|pool| {
        json!({
            "database": pool.database.to_string(),
            "pool": pool.pool,
            "max": pool.max,
            "size": pool.size,
            "idle": pool.idle,
            "in_use": pool.size.saturating_sub(pool.idle),
        })
    });
    shown.collect()
}

async fn caches(intake: &Intake) -> Value {
    let mut sizes = Map::new();
    for (name, size) in intake.cache_sizes().into_iter().chain(intake.stager.cache_sizes()) {
        sizes.insert(name.to_owned(), size.into());
    }
    let mut tables = 0;
    for database in intake.target.databases().await {
        tables += database.schema().known().map_or(0, |schema| schema.table_count());
    }
    sizes.insert("target_tables".to_owned(), tables.into());
    sizes.into()
}
