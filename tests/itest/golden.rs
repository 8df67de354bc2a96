//! The reviewed SQL is SQL: every PostgreSQL golden prepares on a real server, and the example tables behind them are
//! what the catalogue reader makes of the real ones.

use anyhow::{Context as _, Result, ensure};
use sink_core::model::{Behaviours, Ident, TableSchema};
use sink_core::target::{Product, Target, TargetConfig};
use sink_testkit::golden::{DDL, cases, schema, tables};
use sqlx::{AssertSqlSafe, Executor as _};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("golden::every_postgresql_statement_prepares_on_a_server", &[Need::Postgres], prepare),
        scenario("golden::the_catalogue_reader_sees_the_example_tables", &[Need::Postgres], catalogue),
    ]
}

async fn target(ctx: &Ctx) -> Result<Target> {
    let config = TargetConfig {
        url: ctx.target().url().to_owned(),
        staging: Ident::new("_cdc_sink")?,
        create_staging: true,
        max_connections: 4,
    };
    Ok(Target::connect(config).await?)
}

async fn prepare(ctx: Ctx) -> Result<()> {
    let mut connection = ctx.target().connect().await?;
    for statement in DDL {
        connection.execute(*statement).await.with_context(|| (*statement).to_owned())?;
    }
    // Makes the area.
    let target = target(&ctx).await?;
    let database = ctx.target().name();
    for table in tables(database) {
        let names = (
            sink_core::staging::names::staging_table(&table.id),
            sink_core::staging::names::guard_table(&table.id),
        );
        let home = target.home();
        for statement in home.dialect().staging_ddl(home.area(), &names.0, &names.1) {
            connection.execute(AssertSqlSafe(statement)).await?;
        }
    }
    let mut prepared = 0;
    for case in cases(Product::PostgreSql, database) {
        let ddl = matches!(
            case.name.as_str(),
            "area" | "area-home" | "area-home-probe" | "staging-tables" | "create-tables" | "created-tables"
        );
        for statement in case.statements {
            let sql = if ddl { statement } else { format!("PREPARE golden_{prepared} AS {statement}") };
            let what = format!("{}: {sql}", case.name);
            connection.execute(AssertSqlSafe(sql)).await.context(what)?;
            prepared += 1;
        }
    }
    ensure!(prepared > 30, "only {prepared} statements were prepared");
    target.close().await;
    Ok(())
}

async fn catalogue(ctx: Ctx) -> Result<()> {
    let mut connection = ctx.target().connect().await?;
    for statement in DDL {
        connection.execute(*statement).await?;
    }
    let target = target(&ctx).await?;
    let home = target.home();
    let read = home.schema().refresh(home).await?;
    let expected = tables(ctx.target().name());
    for table in &expected {
        // The catalogue alone; nothing is configured here.
        let table = &TableSchema { behaviours: Behaviours::Plain, ..table.clone() };
        let found = read.table(&table.id.schema, table.id.table.as_str()).context("a table is missing")?;
        ensure!(**found == *table, "the catalogue shows {found:#?}\nexpected {table:#?}");
    }
    let count = read.tables_of(&schema(ctx.target().name())).count();
    ensure!(count == expected.len(), "the catalogue shows {count} tables");
    target.close().await;
    Ok(())
}
