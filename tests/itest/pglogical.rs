//! `cdc-pglogical` between two real servers: the everyday cases.

use anyhow::{Result, ensure};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::support::pair::Pair;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![scenario("pglogical_changes_arrive", &[Need::Postgres, Need::PostgresBinaries], changes_arrive)]
}

async fn changes_arrive(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, a text, b numeric(10, 2))").await?;
    pair.publish("FOR ALL TABLES").await?;
    let mut process = pair.run().await?;
    pair.origin.execute("INSERT INTO t SELECT i, 'x' || i, i FROM generate_series(1, 20000) i").await?;
    pair.origin
        .execute("UPDATE t SET a = NULL WHERE id % 3 = 0; DELETE FROM t WHERE id % 7 = 0; UPDATE t SET id = -id WHERE id % 5 = 0")
        .await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    let status = process.terminate(std::time::Duration::from_secs(10)).await?;
    ensure!(status == Some(0), "ended with {status:?}");

    // What happens meanwhile is carried by the next process.
    pair.origin.execute("INSERT INTO t VALUES (1000001, 'later', 1)").await?;
    process.start_again().await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}
