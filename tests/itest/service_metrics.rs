//! What the process counts, against what is documented and what is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use serde_json::Value;
use tests::harness::Signal;
use tests::harness::http::Client;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;
use tokio::task::JoinSet;

use crate::operate::run;
use crate::posting::{Feed, SOON, row, time, webhook};
use crate::service::{ask, connect_tls, pair, presents, write};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("service_metrics_are_those_that_are_documented", &[Need::Postgres], documented_metrics),
        scenario("service_pending_rows_are_counted_and_estimated", &[Need::Postgres], pending),
    ]
}

/// The root of this repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names in the first column of the table of `docs/metrics.md`.
fn documented() -> Result<BTreeSet<String>> {
    let page = std::fs::read_to_string(root().join("docs/metrics.md"))?;
    let ours = page.split("## Names of the original").next().unwrap_or_default();
    let names = ours.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    ensure!(names.len() > 30, "the page has changed its form: {names:?}");
    Ok(names)
}

/// Names that a process shows, by their `# TYPE` lines.
async fn shown(client: &mut Client) -> Result<BTreeSet<String>> {
    let (_, text) = client.get("/_/varz").await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

/// A version that compare-and-set keeps out, and the marks of a second feed.
async fn misuse(feed: &mut Feed) -> Result<()> {
    feed.execute(
        "INSERT INTO _cdc_sink.apply_config (target_db, target_schema, target_table, target_column, cas_order) \
         VALUES (current_database(), 'public', 'u', 'v', 1)",
    )
    .await?;
    feed.service.signal(Signal::Hup)?;
    eventually(SOON, "the configuration to be in use", async || {
        let (_, text) = feed.client.get("/_/config/apply").await?;
        ensure!(String::from_utf8_lossy(&text).contains("\"active\""), "not yet");
        anyhow::Ok(())
    })
    .await?;
    eventually(SOON, "a version to be kept out", async || {
        feed.put("u", "[5]", r#"{"id": 5, "v": 5}"#);
        feed.send().await?;
        feed.put("u", "[5]", r#"{"id": 5, "v": 4}"#);
        feed.send().await?;
        ensure!(feed.metric("apply_discarded_total", "cas").await? > 0.0, "not yet");
        anyhow::Ok(())
    })
    .await?;
    let other: u64 = feed.now().split('.').next().unwrap_or_default().parse::<u64>()? - 1_000_000_000;
    for step in 0..10 {
        let mark = time(other + step);
        ensure!(feed.post(&format!(r#"{{"resolved":"{mark}"}}"#)).await?.0 == StatusCode::OK);
        feed.mark().await?;
    }
    Ok(())
}

/// A process that has done a bit of everything shows every metric of the documentation and no other.
async fn documented_metrics(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY, v int CHECK (v < 9))";
    let folder = ctx.folder();
    let pair = pair()?;
    write(&folder.join("cert.pem"), &pair.certificate)?;
    write(&folder.join("key.pem"), &pair.key)?;
    let mut feed = Feed::start(&ctx, ddl, &["--onApplyError=quarantine"]).await?;
    feed.put("t", "[1]", r#"{"id": 1}"#);
    let repeated = feed.take_body();
    for _ in 0..2 {
        ensure!(feed.post(&repeated).await?.0 == StatusCode::OK);
    }
    feed.put("u", "[1]", r#"{"id": 1, "v": 10}"#);
    feed.gone("t", "[7]");
    feed.settle().await?;
    ensure!(feed.post(&repeated).await?.0 == StatusCode::OK);
    feed.refused_body("{", StatusCode::BAD_REQUEST, &[]).await?;
    let old = row("t", "1.0000000000", "[1]", Some(r#"{"id": 1}"#), None);
    feed.push(old);
    feed.send().await?;
    ensure!(feed.post(r#"{"resolved":"1.0000000000"}"#).await?.0 == StatusCode::OK);
    feed.query = "?immediate=true".into();
    feed.put("t", "[2]", r#"{"id": 2}"#);
    feed.send().await?;
    misuse(&mut feed).await?;
    // Certificates are counted where there are some: a second process shows those.
    let flags = [
        format!("--tlsCertificate={}", folder.join("cert.pem").display()),
        format!("--tlsPrivateKey={}", folder.join("key.pem").display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let encrypted = ServiceProcess::spawn(webhook(ctx.target(), &flags).named("encrypted"), ctx.folder())?;
    let mut tasks = JoinSet::new();
    presents(&encrypted, &pair, &mut tasks).await?;
    let text = ask(&mut connect_tls(&encrypted, &pair, &mut tasks).await?, "/_/varz").await?;
    ensure!(text.contains("# TYPE tls_reloads_total counter"), "{text}");

    let documented = documented()?;
    let compared = async || {
        let mut shown = shown(&mut feed.client).await?;
        // Shown where there are certificates, and where there are tokens.
        shown.extend(["tls_reloads_total".to_owned(), "jwt_last_refresh_time".to_owned()]);
        let unknown: Vec<_> = shown.difference(&documented).collect();
        ensure!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");
        let missing: Vec<_> = documented.difference(&shown).collect();
        ensure!(missing.is_empty(), "never shown: {missing:?}");
        Ok(())
    };
    // Some are taken from time to time only.
    eventually(SOON, "every documented metric", compared).await
}

async fn pending(ctx: Ctx) -> Result<()> {
    let mut feed =
        Feed::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)", &[])
            .await?;
    feed.put("u", "[0]", r#"{"id": 0}"#);
    feed.settle().await?;
    for id in 0..10 {
        feed.put(if id < 3 { "u" } else { "t" }, &format!("[{id}]"), &format!(r#"{{"id": {id}}}"#));
    }
    feed.send().await?;
    let (_, state) = feed.readyz().await?;
    let state: Value = serde_json::from_str(&state)?;
    let schema = &state["schemas"][0];
    ensure!(schema["pending_rows"] == 10 && schema["pending_rows_exact"] == true, "{schema}");
    // The scenario's clock is a minute behind the target's.
    let oldest = schema["oldest_pending_seconds"].as_f64().context("no age")?;
    ensure!((30.0..600.0).contains(&oldest), "{oldest}");
    let gauge = async || {
        for (name, label, low, high) in [
            ("stage_pending_rows", "public", 10.0, 10.0),
            ("stage_oldest_pending_seconds", "public", 30.0, 600.0),
            ("lag_seconds", "received", 30.0, 600.0),
            ("lag_seconds", "staged", 30.0, 600.0),
            ("lag_seconds", "applied", 30.0, 600.0),
        ] {
            let value = feed.metric(name, label).await?;
            ensure!((low..=high).contains(&value), "{name} {label}: {value}");
        }
        Ok(())
    };
    eventually(SOON, "the figures", gauge).await?;
    // Beyond ten thousand rows the server's statistics answer; they may lag behind, but not below what was counted.
    let mut id = 100;
    for _ in 0..13 {
        for _ in 0..1_000 {
            feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}}}"#));
            id += 1;
        }
        feed.send().await?;
    }
    let estimated = async || {
        let (_, state) = feed.readyz().await?;
        let state: Value = serde_json::from_str(&state)?;
        let schema = &state["schemas"][0];
        ensure!(schema["pending_rows_exact"] == false, "{schema}");
        let rows = schema["pending_rows"].as_u64().context("no number")?;
        ensure!((12_000..=14_000).contains(&rows), "{rows}");
        Ok(())
    };
    eventually(SOON, "an estimate", estimated).await?;
    let told = run(&ctx, &["status", "--json"], &[]).await?;
    let state: Value = serde_json::from_str(&told.stdout)?;
    ensure!(state[0]["pending_rows"] == 13_010 && state[0]["pending_rows_exact"] == true, "{state}");
    feed.settle().await?;
    let none = async || {
        let (_, state) = feed.readyz().await?;
        let state: Value = serde_json::from_str(&state)?;
        let schema = &state["schemas"][0];
        ensure!(schema["pending_rows"] == 0 && schema["oldest_pending_seconds"].is_null(), "{schema}");
        Ok(())
    };
    eventually(SOON, "nothing to be pending", none).await
}
