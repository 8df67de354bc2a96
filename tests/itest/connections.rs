//! A connection goes back to its pool as it came, whatever was cut off on it.

use anyhow::{Result, ensure};
use sink_core::model::Ident;
use sink_core::target::{Target, TargetConfig};
use sqlx::{Connection as _, Row as _};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

pub(crate) fn all() -> Vec<Scenario> {
    vec![scenario("connections_a_cut_off_begin_leaves_no_transaction_open", &[Need::Postgres], cut_off)]
}

/// Cuts BEGIN off when it has been sent and its answer has not come. In an open
/// transaction the clock of `now()` stands still; without one it is that of the statement.
async fn cut_off(ctx: Ctx) -> Result<()> {
    let config = TargetConfig {
        url: ctx.target().url().to_owned(),
        staging: Ident::new("_cdc_sink")?,
        create_staging: true,
        max_connections: 2,
    };
    let target = Target::connect(config).await?;
    let mut cut = 0;
    for round in 0..100 {
        let mut connection = target.home().connection().await?;
        let mut begin = Box::pin(connection.begin());
        cut += u32::from(futures::poll!(&mut begin).is_pending());
        drop(begin);
        drop(connection);
        for _ in 0..2 {
            let mut connection = target.home().connection().await?;
            // The simple protocol: the extended one begins a transaction before its statement.
            let row =
                sqlx::raw_sql("SELECT now() = statement_timestamp()").fetch_one(&mut *connection).await?;
            ensure!(
                row.get::<bool, _>(0),
                "a connection came out of the pool inside a transaction, in round {round}"
            );
        }
    }
    ensure!(cut > 10, "only {cut} BEGINs were cut off");
    target.close().await;
    Ok(())
}
