//! What operators do: flags, configuration, status, reset, reload, and starting where something is in the way.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use sqlx::{Connection as _, PgConnection};
use tests::harness::Signal;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tokio::process::Command;
use tokio::time::timeout;

use crate::posting::{Feed, SOON, row};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("operate_wrong_starts_say_what_is_wrong", &[Need::Postgres], wrong_starts),
        scenario("operate_flags_come_from_file_and_environment_too", &[Need::Postgres], configuration),
        scenario("operate_status_and_reset_show_and_repair_a_schema", &[Need::Postgres], reset),
        scenario("operate_hangup_reads_the_schema_again", &[Need::Postgres], hangup),
        scenario("operate_rows_left_by_the_original_are_refused", &[Need::Postgres], legacy),
        scenario("operate_two_databases_are_served_by_one_process", &[Need::Postgres], two_databases),
    ]
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `cdc-webhook` to its end, with `--conn` for the scenario's database unless there is one.
pub(crate) async fn run(ctx: &Ctx, args: &[&str], environment: &[(&str, &str)]) -> Result<Told> {
    let mut command = Command::new(Service::new("cdc-webhook").path()?);
    command.args(args).envs(environment.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let has_conn = args.iter().any(|arg| arg.contains("onn"))
        || environment.iter().any(|(name, _)| name.contains("CONN"));
    if !has_conn {
        command.arg(format!("--conn={}", ctx.target().url()));
    }
    let output =
        timeout(SOON, command.output()).await.with_context(|| format!("{args:?} does not end"))??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Told { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}

async fn wrong_starts(ctx: Ctx) -> Result<()> {
    let url = ctx.target().url();
    for (args, code, words) in [
        (&["start", "--noSuchFlag"][..], 2, "--noSuchFlag"),
        (&["start", "--maxClockSkew=soon"], 2, "soon"),
        (&["start", "--sliceRows=0"], 2, "0"),
        (&["start", "--disableAuthentication=perhaps"], 2, "perhaps"),
        (&["start", "--tlsCertificate=/nowhere.pem"], 2, "tls"),
        (&["start", "--stagingDB="], 2, "stagingDB"),
        (&["reset", "-a", "only_one_part"], 2, "DATABASE.SCHEMA"),
        (&["reset", "-a", "a.b", "--to", "yesterday"], 2, "yesterday"),
        (&["start", "--config=/nowhere.toml"], 2, "/nowhere.toml"),
        (&["nonsense"], 2, "nonsense"),
        (&["status", "--conn=postgresql://localhost:1/x?sslmode=disable"], 3, "connect"),
        (&["start", "--conn=not a url"], 3, "URL"),
        (&["status", "--conn=mysql://root@localhost/x"], 3, ""),
    ] {
        let told = run(&ctx, args, &[]).await?;
        ensure!(
            told.code == Some(code) && told.stderr.contains(words),
            "{args:?}: expected {code} {words:?}, got {told:?}"
        );
    }
    // A secret in a connection string that does not work is not told.
    let broken = url.replacen("://", "://someone:hunter2canary@", 1).replace("postgres@", "");
    for conn in [
        &*broken,
        "postgresql://u:hunter2canary@local host/x",
        "postgresql://u:hunter2canary@localhost:1/x?sslmode=disable",
    ] {
        let told = run(&ctx, &["status", &format!("--conn={conn}")], &[]).await?;
        ensure!(!format!("{told:?}").contains("hunter2canary"), "{told:?}");
    }
    // Without a staging area, and without leave to make one.
    let told = run(&ctx, &["start"], &[]).await?;
    ensure!(
        told.code == Some(3)
            && told.stderr.contains("CREATE SCHEMA IF NOT EXISTS \"_cdc_sink\";")
            && told.stderr.contains("--stagingCreateSchema"),
        "{told:?}"
    );
    ctx.target().execute("CREATE SCHEMA \"_cdc_sink\"").await?;
    let told = run(&ctx, &["status"], &[]).await?;
    ensure!(told.code == Some(0) && told.stdout.contains("nothing was ever staged"), "{told:?}");
    let told = run(&ctx, &["reset", "-a", "db.public"], &[]).await?;
    ensure!(told.code != Some(0), "{told:?}");
    // An address that is taken.
    let service = crate::posting::webhook(ctx.target(), &[]);
    let running = ServiceProcess::start(service, ctx.folder()).await?;
    let told = run(&ctx, &["start", &format!("--bindAddr={}", running.address())], &[]).await?;
    ensure!(told.code == Some(2) && told.stderr.contains("cannot listen"), "{told:?}");
    Ok(())
}

async fn configuration(ctx: Ctx) -> Result<()> {
    ctx.target().execute("CREATE TABLE t (id int PRIMARY KEY)").await?;
    let file = ctx.folder().join("webhook.toml");
    let text = format!(
        "conn = \"{}\"\nstaging-create-schema = true\nstagingDB = \"from file\"\nmaxBodyBytes = 100\nimmediate = true\n",
        ctx.target().url()
    );
    std::fs::write(&file, text)?;
    // The environment wins over the file, the command line over both; without a subcommand it is `start`.
    let service = Service::new("cdc-webhook")
        .args([format!("--config={}", file.display()), "--immediate=false".to_owned()])
        .env("CDC_DISABLE_AUTHENTICATION", "true")
        .env("CDC_MAX_BODY_BYTES", "200")
        .env("CDC_IMMEDIATE", "true");
    let service = ServiceProcess::start(service, ctx.folder()).await?;
    let mut feed = Feed::of(ctx.target(), service).await?;
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.send().await?;
    feed.shows("SELECT * FROM t", "").await?;
    feed.shows("SELECT mode FROM \"from file\".frontiers", "(consistent)").await?;
    feed.refused_body(&" ".repeat(201), StatusCode::PAYLOAD_TOO_LARGE, &["200", "--maxBodyBytes"]).await?;
    let told = run(&ctx, &["status", &format!("--config={}", file.display()), "--json"], &[]).await?;
    ensure!(told.code == Some(0) && told.stdout.contains("\"pending_rows\": 1"), "{told:?}");
    let told =
        run(&ctx, &["status", "--staging-db=from file"], &[("CDC_TARGET_CONN", ctx.target().url())]).await?;
    ensure!(told.code == Some(0) && told.stdout.contains("consistent"), "{told:?}");
    ensure!(feed.service.terminate(SOON).await? == Some(0));
    Ok(())
}

async fn reset(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    let schema = format!("{}.public", ctx.target().name());
    let mut sent = Vec::new();
    let mut times = Vec::new();
    for v in 1..=3 {
        let at = feed.tick();
        sent.push(row("t", &at, "[1]", Some(&format!(r#"{{"id": 1, "v": {v}}}"#)), None));
        sent.push(row("t", &at, &format!("[1{v}]"), Some(&format!(r#"{{"id": 1{v}, "v": {v}}}"#)), None));
        for row in &sent[sent.len() - 2..] {
            feed.push(row.clone());
        }
        feed.settle().await?;
        times.push(feed.now());
    }
    feed.put("t", "[99]", r#"{"id": 99, "v": 0}"#);
    feed.send().await?;
    let told = run(&ctx, &["status"], &[]).await?;
    ensure!(
        told.code == Some(0) && told.stdout.contains(&schema) && told.stdout.contains("current"),
        "{told:?}"
    );
    let told = run(&ctx, &["status", "--json"], &[]).await?;
    let state: serde_json::Value = serde_json::from_str(&told.stdout)?;
    ensure!(
        state[0]["schema"] == schema && state[0]["pending_rows"] == 1 && state[0]["stall"].is_null(),
        "{state}"
    );

    let told = run(&ctx, &["reset", "-a", &schema], &[]).await?;
    ensure!(
        told.code == Some(4) && told.stderr.contains("1 staged rows") && told.stderr.contains("--discard"),
        "{told:?}"
    );
    let mark = feed.mark().await?;
    feed.applied(&mark).await?;

    // Back to the time after the first version; the feed then comes again from there.
    feed.execute("DELETE FROM t WHERE id IN (12, 13, 99); UPDATE t SET v = 1 WHERE id = 1").await?;
    let told = run(&ctx, &["reset", "-a", &schema, "--to", &times[0]], &[]).await?;
    ensure!(told.code == Some(0) && told.stdout.contains(&times[0]), "{told:?}");
    for row in sent {
        feed.push(row);
    }
    feed.settle().await?;
    feed.shows("SELECT * FROM t WHERE id < 99 ORDER BY 1", "(1,3) (11,1) (12,2) (13,3)").await?;

    // From nothing.
    let told = run(&ctx, &["reset", "-a", &schema, "--discard"], &[]).await?;
    ensure!(told.code == Some(0) && told.stdout.contains("initial scan"), "{told:?}");
    feed.execute("TRUNCATE t").await?;
    feed.put("t", "[5]", r#"{"id": 5, "v": 5}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t", "(5,5)").await
}

async fn hangup(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v smallint)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    feed.schema = "s".into();
    feed.put("t", "[1]", r#"{"id": 1, "v": 1}"#);
    feed.settle().await?;
    // A column that is gone is known to be gone only after the schema was read again.
    feed.execute("ALTER TABLE s.t RENAME v TO w").await?;
    feed.service.signal(Signal::Hup)?;
    feed.put("t", "[2]", r#"{"id": 2, "w": 2}"#);
    feed.insist().await?;
    feed.settle().await?;
    feed.shows("SELECT * FROM s.t ORDER BY 1", "(1,1) (2,2)").await?;
    feed.put("t", "[3]", r#"{"id": 3, "v": 3}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["s.t", "\"v\""]).await
}

async fn legacy(ctx: Ctx) -> Result<()> {
    for (number, (ddl, words)) in [
        ("CREATE TABLE _cdc_sink.db_public_t (nanos int8, logical int8, key text, mut bytea, applied bool NOT NULL DEFAULT false);
          INSERT INTO _cdc_sink.db_public_t VALUES (1, 0, 'k', 'x')", "db_public_t\" WHERE NOT applied"),
        ("CREATE TABLE _cdc_sink.db_public_u (nanos int8, logical int8, key text, mut bytea, before bytea);
          INSERT INTO _cdc_sink.db_public_u VALUES (1, 0, 'k', 'x', NULL)", "db_public_u"),
    ].into_iter().enumerate() {
        let area = "DROP SCHEMA IF EXISTS _cdc_sink CASCADE; CREATE SCHEMA _cdc_sink;";
        ctx.target().execute(&format!("{area} {ddl}")).await?;
        let told = run(&ctx, &["start"], &[]).await?;
        ensure!(told.code != Some(0) && told.stderr.contains("SELECT * FROM") && told.stderr.contains(words), "{number}: {told:?}");
    }
    // Everything applied: nothing is in the way.
    ctx.target().execute("DELETE FROM _cdc_sink.db_public_u; CREATE TABLE t (id int PRIMARY KEY)").await?;
    let mut feed = Feed::start(&ctx, "", &[]).await?;
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t", "(1)").await
}

async fn two_databases(ctx: Ctx) -> Result<()> {
    let other = format!("{}_2", ctx.target().name().chars().take(50).collect::<String>());
    let drop = format!("DROP DATABASE IF EXISTS {other} WITH (FORCE)");
    ctx.target().execute(&drop).await?;
    ctx.target().execute(&format!("CREATE DATABASE {other}")).await?;
    let ddl = "CREATE TABLE t (id int PRIMARY KEY)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.settle().await?;
    let home = std::mem::replace(&mut feed.database, other.clone());
    let url = ctx.target().url().replace(&format!("/{home}"), &format!("/{other}"));
    feed.sql = PgConnection::connect(&url).await?;
    feed.execute(ddl).await?;
    feed.put("t", "[2]", r#"{"id": 2}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t", "(2)").await?;
    // After a restart the second database is known again as soon as somebody posts to it.
    feed.put("t", "[3]", r#"{"id": 3}"#);
    feed.send().await?;
    ensure!(feed.service.terminate(Duration::from_secs(20)).await? == Some(0));
    feed.service.start_again().await?;
    feed.settle().await?;
    feed.shows("SELECT * FROM t ORDER BY 1", "(2) (3)").await?;
    let told = run(&ctx, &["status", "-d", &other], &[]).await?;
    ensure!(
        told.stdout.contains(&format!("{other}.public")) && told.stdout.contains(&format!("{home}.public")),
        "{told:?}"
    );
    feed.service.kill9().await?;
    feed.sql.close().await?;
    ctx.target().execute(&drop).await
}
