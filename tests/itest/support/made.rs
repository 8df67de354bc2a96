//! Tables that `cdc-pglogical --createTables` makes, and what the catalogues of both sides say.

use std::process::Output;
use std::time::Duration;

use anyhow::{Result, ensure};
use sqlx::{AssertSqlSafe, Row as _};
use tests::harness::database::Database;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::Ctx;

use super::pair::{Pair, pinned};

/// Starts with empty sides: all tables are made by the program.
pub(crate) async fn pair(ctx: &Ctx, ddl: &str) -> Result<Pair> {
    let pair = Pair::start(ctx, "SELECT 1").await?;
    pair.origin.execute(ddl).await?;
    Ok(pair)
}

pub(crate) async fn run(pair: &Pair) -> Result<ServiceProcess> {
    ServiceProcess::start(pair.service().args(["--createTables"]), pair.folder()).await
}

pub(crate) async fn stop(mut process: ServiceProcess) -> Result<()> {
    let status = process.terminate(Duration::from_secs(10)).await?;
    ensure!(status == Some(0), "ended with {status:?}");
    let unexpected = process.unexpected_lines(&[])?;
    ensure!(unexpected.is_empty(), "{unexpected:?}");
    Ok(())
}

/// Runs the program to its end.
pub(crate) fn command(pair: &Pair, flags: &[&str]) -> Result<Output> {
    let program = pair.service().path()?;
    let flags = ["start", "--publicationName", "my_pub", "--sourceConn", pair.origin.url()]
        .into_iter()
        .chain(["--targetConn", pair.target.url()])
        .chain(flags.iter().copied());
    Ok(std::process::Command::new(program).args(flags).output()?)
}

pub(crate) fn script(pair: &Pair) -> Result<String> {
    let output = command(pair, &["--createTables", "--dryRun"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// What the catalogue says about all tables but ours and about the types they use, as lines. Numbers are counted in one
/// way at both sides, whichever way it is.
async fn catalogue(database: &Database) -> Result<Vec<String>> {
    const HIDDEN: &str = "nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', '_cdc_sink')";
    let columns = format!(
        "SELECT concat_ws(' | ', n.nspname, c.relname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname, \
         format_type(a.atttypid, a.atttypmod), a.attndims, a.attnotnull, l.collname, a.attgenerated, \
         CASE WHEN a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%' THEN 'counted ' \
         || q.seqstart || ' ' || q.seqincrement ELSE pg_get_expr(d.adbin, d.adrelid) END) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND c.relkind IN ('r', 'c') AND n.{HIDDEN} \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
         LEFT JOIN pg_collation l ON l.oid = a.attcollation \
         LEFT JOIN pg_depend p ON p.refobjid = c.oid AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i') \
         AND p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass \
         AND p.objid IN (SELECT seqrelid FROM pg_sequence) \
         LEFT JOIN pg_sequence q ON q.seqrelid = p.objid ORDER BY 1"
    );
    let constraints = format!(
        "SELECT concat_ws(' | ', n.nspname, k.conname, k.contype, k.conrelid::regclass, k.contypid::regtype, \
         pg_get_constraintdef(k.oid)) FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace AND n.{HIDDEN} \
         WHERE k.contype <> 'n' ORDER BY 1"
    );
    let indexes = format!(
        "SELECT pg_get_indexdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.{HIDDEN} \
         WHERE c.relkind = 'i' ORDER BY 1"
    );
    let types = format!(
        "SELECT concat_ws(' | ', n.nspname, t.typname, t.typtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull, \
         t.typdefault, (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), \
         (SELECT r.rngsubtype::regtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid))) \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace AND n.{HIDDEN} WHERE t.typtype <> 'b' ORDER BY 1"
    );
    let mut connection = pinned(database).await?;
    let mut lines = Vec::new();
    for sql in [columns, constraints, indexes, types] {
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
        lines.extend(rows.iter().map(|row| row.get::<String, _>(0)));
    }
    Ok(lines)
}

pub(crate) async fn same(origin: &Database, target: &Database) -> Result<()> {
    let (origin, target) = (catalogue(origin).await?, catalogue(target).await?);
    let missing: Vec<_> = origin.iter().filter(|line| !target.contains(line)).collect();
    let surplus: Vec<_> = target.iter().filter(|line| !origin.contains(line)).collect();
    ensure!(
        missing.is_empty() && surplus.is_empty(),
        "missing at the target: {missing:#?}\nonly at the target: {surplus:#?}"
    );
    ensure!(origin.len() > 3, "there is nothing to compare");
    Ok(())
}
