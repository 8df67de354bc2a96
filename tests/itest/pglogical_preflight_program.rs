//! `cdc-pglogical preflight` as a program, what `start` does with its findings, the smallest privileges, and the watch.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sink_core::flow::preflight::Side;
use source_pglogical::catalog::WalStatus;
use source_pglogical::transport::Config;
use source_pglogical::watch::{PublicationChange, Watch};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::support::preflight::Pair;
use crate::support::replication::{LIMIT, create_slot, server};

pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::PostgresBinaries];
    vec![
        scenario("pglogical_preflight_program::what_it_prints_makes_it_pass", NEEDS, prints),
        scenario("pglogical_preflight_program::leftovers_of_the_original_are_for_a_person", NEEDS, |_| {
            leftovers()
        }),
        scenario("pglogical_preflight_program::the_documented_privileges_are_enough", NEEDS, privileges),
        scenario(
            "pglogical_preflight_program::a_gap_in_a_publication_is_noticed_while_streaming",
            NEEDS,
            |_| watch(),
        ),
    ]
}

/// Rows that the original staged and did not apply: as with `cdc-webhook`, a person decides what becomes of them.
async fn leftovers() -> Result<()> {
    let pair = Pair::on(server().await?).await?;
    let staged = "CREATE SCHEMA _cdc_sink; CREATE TABLE _cdc_sink.db_public_t (nanos int8, logical int8, key text, \
                  mut bytea, applied bool NOT NULL DEFAULT false); INSERT INTO _cdc_sink.db_public_t VALUES (1, 0, 'k', 'x')";
    pair.target.execute(staged).await?;
    let flags =
        ["--sourceConn", pair.source.url(), "--targetConn", pair.target.url(), "--publicationName", "p"];
    let args: Vec<&str> = ["start"].into_iter().chain(flags).collect();
    let (code, _, said) = program(&args).await?;
    ensure!(code == 4 && said.contains("SELECT * FROM") && said.contains("db_public_t"), "{code} {said}");
    Ok(())
}

/// What the program says and how it ends.
async fn program(args: &[&str]) -> Result<(i32, String, String)> {
    let mut command = tokio::process::Command::new(Service::new("cdc-pglogical").path()?);
    let output = tokio::time::timeout(LIMIT, command.args(args).output()).await??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().context("killed")?;
    Ok((code, text(&output.stdout), text(&output.stderr)))
}

const REFUSED: i32 = 4;

async fn prints(_: Ctx) -> Result<()> {
    let pair = Pair::on(server().await?).await?;
    pair.source.execute("CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, v text)").await?;
    pair.target.execute("CREATE SCHEMA _cdc_sink").await?;
    let flags =
        ["--sourceConn", pair.source.url(), "--targetConn", pair.target.url(), "--publicationName", "p"];
    let preflight = [&["preflight", "--json"][..], &flags].concat();
    let start = [&["start"][..], &flags].concat();
    ensure!(program(&preflight).await?.0 == REFUSED);
    // It only looked.
    let mut target = pair.target.connect().await?;
    let count = "SELECT count(*) FROM pg_class WHERE relnamespace = '_cdc_sink'::regnamespace";
    let made: i64 = sqlx::query_scalar(count).fetch_one(&mut target).await?;
    ensure!(made == 0, "preflight made {made} relations in the target");
    let (code, _, said) = program(&start).await?;
    ensure!(code == REFUSED && said.contains("source_publication_missing"), "{code}: {said}");
    ensure!(said.contains("CREATE PUBLICATION \"p\" FOR TABLE \"app\".\"t\";"), "{said}");

    let mut rounds = 0;
    let last = loop {
        let (code, printed, said) = program(&preflight).await?;
        let json: Value = serde_json::from_str(&printed).with_context(|| format!("{printed}{said}"))?;
        if json["passes"] == true {
            ensure!(code == 0, "{code}: {json}");
            break json;
        }
        ensure!(code == REFUSED, "{code}: {json}");
        rounds += 1;
        ensure!(rounds < 5, "it is never content: {json}");
        for finding in json["findings"].as_array().context("no findings")? {
            if finding["severity"] == "error" {
                mend(&pair, finding).await?;
            }
        }
    };
    ensure!(last["errors"] == 0 && rounds == 2, "after {rounds} rounds: {last}");
    let table = [&["preflight"][..], &flags].concat();
    let (code, printed, _) = program(&table).await?;
    ensure!(code == 0 && printed.contains("ready: 0 errors"), "{printed}");
    Ok(())
}

async fn mend(pair: &Pair, finding: &Value) -> Result<()> {
    let remedy = &finding["remedies"][0];
    let side = match remedy["side"].as_str() {
        Some("source") => Side::Source,
        Some("target") => Side::Target,
        other => anyhow::bail!("{other:?}: {finding}"),
    };
    let statements = remedy["statements"].as_array().context("no statements")?;
    let statements: Vec<String> = statements.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    pair.run(side, &statements).await
}

/// The block of the page that begins with this line.
fn printed(place: &str) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no root")?;
    let text = std::fs::read_to_string(root.join("docs/pglogical/privileges.md"))?;
    let begin = format!("```sql\n-- {place}\n");
    let (_, rest) = text.split_once(&begin).with_context(|| format!("nothing is printed {place}"))?;
    Ok(rest.split("```").next().unwrap_or_default().to_owned())
}

async fn privileges(ctx: Ctx) -> Result<()> {
    let pair = Pair::on(server().await?).await?;
    let tables = "CREATE SCHEMA app; REVOKE ALL ON SCHEMA public FROM PUBLIC;
        CREATE TABLE app.customers (id int PRIMARY KEY, name text);
        CREATE TABLE app.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int)";
    for database in [&pair.source, &pair.target] {
        database.execute(tables).await?;
    }
    pair.source.execute("INSERT INTO app.customers VALUES (1, 'before')").await?;
    pair.source.execute("CREATE ROLE cdc_nobody LOGIN").await?;
    let as_role = |url: &str, role: &str| url.replacen("postgres@", &format!("{role}@"), 1);
    pair.source.execute(&printed("at the source")?).await?;
    pair.target.execute(&printed("at the target")?).await?;
    let (source, target) =
        (as_role(pair.source.url(), "cdc_reader"), as_role(pair.target.url(), "cdc_writer"));
    let flags = |source: &str, mode: &str| {
        let flags = ["--sourceConn", source, "--targetConn", &target, "--publicationName", "my_pub"];
        let more = ["--snapshotMode", mode];
        flags.iter().chain(&more).map(|flag| (*flag).to_owned()).collect::<Vec<String>>()
    };
    let look = async |source: &str, mode: &str| -> Result<String> {
        let flags = flags(source, mode);
        let args: Vec<&str> = ["preflight"].into_iter().chain(flags.iter().map(String::as_str)).collect();
        let (code, printed, said) = program(&args).await?;
        Ok(format!("{code} {printed} {said}"))
    };
    // Somebody without any right is told all of them; the reader, only what the snapshot needs.
    let nobody = as_role(pair.source.url(), "cdc_nobody");
    let said = look(&nobody, "initial").await?;
    ensure!(said.starts_with("4 ") && said.contains("ALTER ROLE \"cdc_nobody\" REPLICATION"), "{said}");
    let said = look(&source, "initial").await?;
    ensure!(
        said.starts_with("4 ") && said.contains("GRANT SELECT ON \"app\".\"orders\" TO \"cdc_reader\""),
        "{said}"
    );
    ensure!(!said.contains("source_role"), "{said}");
    // The stream alone needs no right to read, only a slot, which the role may make.
    create_slot(&mut <sqlx::PgConnection as sqlx::Connection>::connect(&source).await?, "by_reader").await?;
    let said = look(&source, "never").await?;
    ensure!(
        said.starts_with("4 ") && said.contains("source_slot_missing") && said.contains(" 1 errors"),
        "{said}"
    );
    pair.source.execute("SELECT pg_drop_replication_slot('by_reader')").await?;

    pair.source.execute(&printed("at the source, for the snapshot")?).await?;
    let said = look(&source, "initial").await?;
    ensure!(said.starts_with("0 "), "{said}");
    let args: Vec<String> = ["start".to_owned()].into_iter().chain(flags(&source, "initial")).collect();
    let service = Service::new("cdc-pglogical").bind_flag("--metricsAddr").args(args);
    let mut process = ServiceProcess::start(service, ctx.folder()).await?;
    wait_for(&pair, "SELECT count(*) FROM app.customers WHERE name = 'before'", 1).await?;
    pair.source.execute("INSERT INTO app.orders (customer) SELECT i FROM generate_series(1, 100) i").await?;
    pair.source
        .execute("UPDATE app.customers SET name = 'after'; DELETE FROM app.orders WHERE id > 90")
        .await?;
    wait_for(&pair, "SELECT count(*) FROM app.customers WHERE name = 'after'", 1).await?;
    wait_for(&pair, "SELECT count(*) FROM app.orders", 90).await?;
    let status = process.terminate(Duration::from_secs(20)).await?;
    ensure!(status == Some(0), "{status:?}");
    // What was copied is not copied again: the next start does not ask for what copying needs.
    pair.source.execute("REVOKE SELECT ON app.orders, app.customers FROM cdc_reader").await?;
    let said = look(&source, "initial").await?;
    ensure!(said.starts_with("0 "), "{said}");

    // A table that it may not write.
    pair.target.execute("REVOKE UPDATE ON app.orders FROM cdc_writer").await?;
    let said = look(&source, "never").await?;
    let grant = "GRANT UPDATE ON \"app\".\"orders\" TO \"cdc_writer\"";
    ensure!(said.starts_with("4 ") && said.contains(grant), "{said}");
    pair.target.execute(grant).await?;
    pair.target.execute(&printed("at the target, for --createTables")?).await?;
    ensure!(look(&source, "never").await?.starts_with("0 "));
    marks(&ctx, &pair, flags(&source, "never")).await
}

/// The same roles mark what they write.
async fn marks(ctx: &Ctx, pair: &Pair, flags: Vec<String>) -> Result<()> {
    let with = |command: &str| {
        let more = ["--replicationOrigin", "cdc_mark"].map(str::to_owned);
        let args = [command.to_owned()].into_iter().chain(flags.clone()).chain(more);
        args.collect::<Vec<String>>()
    };
    let look = async || -> Result<(i32, String)> {
        let args = with("preflight");
        let (code, printed, said) = program(&args.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        Ok((code, printed + &said))
    };
    let (code, said) = look().await?;
    let grant = "GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), \
                 pg_replication_origin_session_setup(text) TO \"cdc_writer\"";
    ensure!(code == 4 && said.contains(grant) && said.contains(" 1 errors"), "{code} {said}");
    pair.target.execute(&printed("at the target, for --replicationOrigin; as a superuser")?).await?;
    let (code, said) = look().await?;
    ensure!(code == 0, "{code} {said}");
    let service =
        Service::new("cdc-pglogical").named("marking").bind_flag("--metricsAddr").args(with("start"));
    let mut process = ServiceProcess::start(service, ctx.folder()).await?;
    pair.source.execute("INSERT INTO app.customers VALUES (7, 'marked')").await?;
    wait_for(pair, "SELECT count(*) FROM app.customers WHERE name = 'marked'", 1).await?;
    // It is in use by the session that writes.
    wait_for(pair, "SELECT count(*) FROM pg_replication_origin_status WHERE external_id = 'cdc_mark'", 1)
        .await?;
    ensure!(process.terminate(Duration::from_secs(20)).await? == Some(0));
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

async fn wait_for(pair: &Pair, count: &'static str, expected: i64) -> Result<()> {
    let mut target = pair.target.connect().await?;
    wait::eventually(Duration::from_secs(60), count, async || {
        let found: i64 = sqlx::query_scalar(count).fetch_one(&mut target).await?;
        ensure!(found == expected, "{found}, not {expected}");
        Ok::<_, anyhow::Error>(())
    })
    .await
}

async fn watch() -> Result<()> {
    let pair = Pair::on(server().await?).await?;
    pair.source
        .execute("CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY)")
        .await?;
    pair.source.execute("CREATE PUBLICATION p FOR TABLE a, b; CREATE PUBLICATION q FOR ALL TABLES").await?;
    create_slot(&mut pair.source.connect().await?, "s").await?;
    let config = Config::from_url(pair.source.url())?;
    let publications = vec!["p".to_owned(), "q".to_owned()];
    let mut watch = Watch::new(config, "s", publications, LIMIT);
    let first = watch.look().await?;
    let health = first.slot.context("no slot")?;
    ensure!(health.wal_status == WalStatus::Reserved && !health.active && first.alarms.is_empty());
    let retained = health.retained_bytes.context("nothing retained")?;
    pair.source.execute("INSERT INTO a SELECT i, i FROM generate_series(1, 10000) i").await?;
    let next = watch.look().await?;
    ensure!(next.slot.and_then(|slot| slot.retained_bytes).is_some_and(|now| now > retained + 100_000));
    ensure!(next.alarms.is_empty(), "rows are no alarm: {:?}", next.alarms);
    let before = watch.published().context("nothing seen")?.to_json();

    // Out and in again between two looks: the server says nothing, and rows in between are lost.
    pair.source.execute("ALTER PUBLICATION p DROP TABLE b; ALTER PUBLICATION p ADD TABLE b").await?;
    let steps: [(&str, &str); 6] = [
        ("", "TableAddedAgain"),
        ("ALTER PUBLICATION p DROP TABLE b", "TableRemoved"),
        ("ALTER PUBLICATION p ADD TABLE b WHERE (id > 1)", "TableAdded"),
        ("ALTER PUBLICATION p SET TABLE a (id), b", "TableAddedAgain ColumnListChanged RowFilterChanged"),
        ("ALTER PUBLICATION p SET (publish = 'insert')", "OptionsChanged"),
        ("DROP PUBLICATION p", "Gone"),
    ];
    for (statement, expected) in steps {
        if !statement.is_empty() {
            pair.source.execute(statement).await?;
        }
        let look = watch.look().await?;
        let found: Vec<&str> = look.alarms.iter().map(|alarm| name(&alarm.change)).collect();
        ensure!(
            found.iter().all(|found| expected.contains(found)) && !found.is_empty(),
            "{statement}: {look:?}"
        );
        ensure!(look.alarms.iter().all(|alarm| alarm.publication == "p"), "{look:?}");
        ensure!(watch.look().await?.alarms.is_empty(), "an alarm is told once");
    }
    ensure!(watch.published().context("nothing seen")?.to_json() != before);
    // New tables are published from their first row on.
    pair.source.execute("CREATE TABLE c (id int PRIMARY KEY)").await?;
    ensure!(watch.look().await?.alarms.is_empty());
    // The session is cut: told once, and the next look connects anew.
    let kill =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cdc-pglogical'";
    pair.source.execute(kill).await?;
    wait::eventually(LIMIT, "the watch to connect anew", async || watch.look().await).await?;
    pair.source.execute("SELECT pg_drop_replication_slot('s')").await?;
    ensure!(watch.look().await?.slot.is_none());
    Ok(())
}

fn name(change: &PublicationChange) -> &'static str {
    match change {
        PublicationChange::Gone => "Gone",
        PublicationChange::MadeAnew => "MadeAnew",
        PublicationChange::OptionsChanged => "OptionsChanged",
        PublicationChange::TableAdded(_) => "TableAdded",
        PublicationChange::TableRemoved(_) => "TableRemoved",
        PublicationChange::TableDropped(_) => "TableDropped",
        PublicationChange::TableRenamed(..) => "TableRenamed",
        PublicationChange::TableAddedAgain(_) => "TableAddedAgain",
        PublicationChange::ColumnListChanged(_) => "ColumnListChanged",
        PublicationChange::RowFilterChanged(_) => "RowFilterChanged",
        PublicationChange::MaybeNewerThanSlot => "MaybeNewerThanSlot",
        PublicationChange::TableMaybeNewerThanSlot(_) => "TableMaybeNewerThanSlot",
    }
}
