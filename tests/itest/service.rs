//! The process as its operators see it: the listener of their own, diagnostics, certificates that change under it,
//! metrics against their documentation, and logs that machines read.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tests::harness::http::Client;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;
use tests::harness::{Signal, ports};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::operate::run;
use crate::posting::{Feed, SOON, webhook};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("service_operators_have_a_listener_of_their_own", &[Need::Postgres], own_listener),
        scenario("service_diagnostics_tell_all_but_secrets", &[Need::Postgres], diagnostics),
        scenario("service_certificates_change_while_connections_are_open", &[Need::Postgres], rotation),
        scenario("service_log_lines_are_what_their_format_says", &[Need::Postgres], log_formats),
    ]
}

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text)";

async fn own_listener(ctx: Ctx) -> Result<()> {
    let address = ports::loopback(ports::free()?);
    let mut feed = Feed::start(&ctx, TABLE, &[&format!("--metricsAddr={address}")]).await?;
    let mut admin = Client::connect(address).await?;
    for path in ["/_/healthz", "/_/readyz", "/_/varz", "/_/diag"] {
        ensure!(admin.get(path).await?.0 == StatusCode::OK, "{path} for operators");
        ensure!(feed.client.get(path).await?.0 == StatusCode::OK, "{path} on the main listener");
    }
    // No way in for rows.
    for path in ["/", "/_/", "/_/other", &format!("/{}/public", feed.database)] {
        let (status, _) = admin.post(path, &[], "{}").await?;
        ensure!(status == StatusCode::NOT_FOUND, "{path}: {status}");
    }
    // While the process drains it can still be watched: a delivery waits for a lock on its table.
    let mut blocker = ctx.target().connect().await?;
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.send().await?;
    let staging =
        feed.value("SELECT staging_table FROM _cdc_sink.staged_tables").await?.context("no table")?;
    let lock = format!("BEGIN; LOCK TABLE _cdc_sink.\"{staging}\" IN SHARE ROW EXCLUSIVE MODE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut blocker).await?;
    feed.put("t", "[2]", r#"{"id": 2}"#);
    let body = feed.take_body();
    let path = format!("/{}/public", feed.database);
    let mut other = Client::connect(feed.service.address()).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { other.post(&path, &[], body).await });
    let busy = async || match admin.get("/_/varz").await {
        Ok((_, text)) if String::from_utf8_lossy(&text).contains("http_requests_in_flight 2") => Ok(()),
        other => bail!("{other:?}"),
    };
    eventually(SOON, "a delivery in flight", busy).await?;
    feed.service.signal(Signal::Term)?;
    let draining = async || match admin.get("/_/readyz").await? {
        (StatusCode::SERVICE_UNAVAILABLE, text)
            if String::from_utf8_lossy(&text).contains("\"draining\": true") =>
        {
            Ok(())
        }
        (status, _) => bail!("{status}"),
    };
    eventually(SOON, "the process to say that it drains", draining).await?;
    ensure!(TcpStream::connect(feed.service.address()).await.is_err(), "new feeds are still taken");
    sqlx::raw_sql("ROLLBACK").execute(&mut blocker).await?;
    let answer = tasks.join_next().await.context("no delivery")???;
    ensure!(answer.0 == StatusCode::OK, "{answer:?}");
    let ended = feed.service.wait_for_exit(SOON).await?;
    ensure!(ended.code() == Some(0), "{ended}");
    ensure!(TcpStream::connect(address).await.is_err(), "operators are still answered");
    // An address that is taken is a wrong flag.
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let flag = format!("--metricsAddr={}", taken.local_addr()?);
    let told = run(&ctx, &["start", "--stagingCreateSchema", &flag], &[]).await?;
    ensure!(told.code == Some(2) && told.stderr.contains("--metricsAddr"), "{told:?}");
    Ok(())
}

/// In the connection string, so that a leak is found by searching for it.
const CANARY: &str = "hunter2canary";

/// The database's URL with a password, which a server that trusts everybody does not ask for.
fn with_password(url: &str) -> Result<String> {
    let (scheme, rest) = url.split_once("://").context("no scheme")?;
    let (user, rest) = rest.split_once('@').unwrap_or(("postgres", rest));
    let user = user.split(':').next().unwrap_or(user);
    Ok(format!("{scheme}://{user}:{CANARY}@{rest}"))
}

async fn diagnostics(ctx: Ctx) -> Result<()> {
    ctx.target().execute(TABLE).await?;
    let conn = format!("--conn={}", with_password(ctx.target().url())?);
    let flags = [&*conn, "--stagingCreateSchema", "--disableAuthentication", "--sliceRows=77"];
    let service = Service::new("cdc-webhook").args(flags).env("CDC_MAX_CLOCK_SKEW", "5m");
    let mut feed = Feed::of(ctx.target(), ServiceProcess::start(service, ctx.folder()).await?).await?;
    feed.put("t", "[1]", &format!(r#"{{"id": 1, "v": "{CANARY}"}}"#));
    feed.settle().await?;
    feed.put("t", "[2]", &format!(r#"{{"id": 2, "v": "{CANARY}"}}"#));
    feed.send().await?;
    let (status, text) = feed.client.get("/_/diag").await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(status == StatusCode::OK && !text.contains(CANARY), "{status} {text}");
    let diag: Value = serde_json::from_str(&text)?;
    check_diagnostics(&diag, &feed.database)?;
    // The same goes to the log when a signal asks.
    feed.service.signal(Signal::Usr1)?;
    let logged = async || {
        let log = std::fs::read_to_string(feed.service.log())?;
        let line = log.lines().find(|line| line.contains("SIGUSR1: diagnostics")).context("no such line")?;
        ensure!(line.contains("sliceRows") && line.contains("pools"), "{line}");
        ensure!(!log.contains(CANARY), "the log tells a secret");
        Ok(())
    };
    eventually(SOON, "diagnostics in the log", logged).await?;

    // Without tokens nobody sees them, on either listener, and the rest is there for everybody.
    let address = ports::loopback(ports::free()?);
    let flags = [&*conn, "--stagingCreateSchema", &format!("--metricsAddr={address}")];
    let closed = Service::new("cdc-webhook").named("closed").args(flags);
    let closed = ServiceProcess::start(closed, ctx.folder()).await?;
    for address in [closed.address(), address] {
        let mut client = Client::connect(address).await?;
        let (status, text) = client.get("/_/diag").await?;
        ensure!(status == StatusCode::FORBIDDEN, "{status} {text:?}");
        ensure!(String::from_utf8_lossy(&text).contains("_.diag"), "{text:?}");
        for path in ["/_/healthz", "/_/readyz", "/_/varz"] {
            ensure!(client.get(path).await?.0 == StatusCode::OK, "{path}");
        }
    }
    Ok(())
}

fn check_diagnostics(diag: &Value, database: &str) -> Result<()> {
    let schema = &diag["schemas"][0];
    let pools = diag["target"]["pools"].as_array().context("no pools")?;
    let in_use: u64 = pools.iter().filter_map(|pool| pool["in_use"].as_u64()).sum();
    let idle: u64 = pools.iter().filter_map(|pool| pool["idle"].as_u64()).sum();
    for (what, holds) in [
        ("program", diag["build"]["program"] == "cdc-webhook" && diag["build"]["version"].is_string()),
        ("start", diag["process"]["started"].as_str().is_some_and(|at| at.ends_with('Z'))),
        ("memory", diag["process"]["resident_bytes"].as_u64() > Some(1_000_000)),
        ("connections", diag["process"]["connections"].as_u64() >= Some(1)),
        ("requests", diag["process"]["requests_in_flight"].as_u64() >= Some(1)),
        ("given flag", diag["settings"]["sliceRows"] == serde_json::json!({"value": "77", "from": "given"})),
        ("environment", diag["settings"]["maxClockSkew"]["from"] == "environment"),
        ("default", diag["settings"]["immediate"]["from"] == "default"),
        ("password", diag["settings"]["conn"]["value"].as_str().is_some_and(|conn| conn.contains(":***@"))),
        ("product", diag["target"]["product"] == "PostgreSql" && diag["target"]["version"].is_string()),
        ("pools", pools.len() == 3 && in_use + idle >= 1),
        ("leases", diag["leases"][0] == format!("resolver:{database}.public")),
        (
            "caches",
            diag["caches"]["staging_tables"] == 1 && diag["caches"]["target_tables"].as_u64() >= Some(1),
        ),
        ("schema", schema["schema"] == format!("{database}.public") && schema["pending_rows"] == 1),
        ("oldest", schema["oldest_pending_seconds"].as_f64() > Some(1.0)),
    ] {
        ensure!(holds, "{what}: {diag:#}");
    }
    Ok(())
}

/// A certificate for localhost and its key, as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
}

pub(crate) fn pair() -> Result<Pair> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    Ok(Pair {
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().clone(),
    })
}

/// A connection that trusts exactly one certificate.
pub(crate) async fn connect_tls(
    process: &ServiceProcess,
    trusted: &Pair,
    tasks: &mut JoinSet<()>,
) -> Result<http1::SendRequest<Full<Bytes>>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(process.address()).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from("localhost")?, tcp).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tasks.spawn(async move { drop(connection.await) });
    Ok(sender)
}

pub(crate) async fn ask(sender: &mut http1::SendRequest<Full<Bytes>>, path: &str) -> Result<String> {
    let request = Request::get(path).header("host", "localhost").body(Full::new(Bytes::new()))?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let text = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
    ensure!(head.status == StatusCode::OK, "{} {text}", head.status);
    Ok(text)
}

/// Waits until new connections get this certificate.
pub(crate) async fn presents(process: &ServiceProcess, pair: &Pair, tasks: &mut JoinSet<()>) -> Result<()> {
    let asked = async || ask(&mut connect_tls(process, pair, tasks).await?, "/_/healthz").await;
    eventually(SOON, "the certificate", asked).await.map(drop)
}

async fn rotation(ctx: Ctx) -> Result<()> {
    ctx.target().execute(TABLE).await?;
    let file = |name: &str| ctx.folder().join(name);
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let pairs = [pair()?, pair()?, pair()?, pair()?];
    write(&certificate, &pairs[0].certificate)?;
    write(&key, &pairs[0].key)?;
    let flags =
        [format!("--tlsCertificate={}", certificate.display()), format!("--tlsPrivateKey={}", key.display())];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut process = ServiceProcess::spawn(webhook(ctx.target(), &flags), ctx.folder())?;
    let mut tasks = JoinSet::new();
    presents(&process, &pairs[0], &mut tasks).await?;
    let mut open = connect_tls(&process, &pairs[0], &mut tasks).await?;
    ask(&mut open, "/_/healthz").await?;

    // Both files are replaced: nobody need tell the process.
    write(&certificate, &pairs[1].certificate)?;
    write(&key, &pairs[1].key)?;
    presents(&process, &pairs[1], &mut tasks).await?;
    ensure!(connect_tls(&process, &pairs[0], &mut tasks).await.is_err(), "the old certificate is still used");
    ask(&mut open, "/_/healthz").await.context("a connection from before the change")?;

    // Half of a change: the old pair stays until the other half is there.
    write(&certificate, &pairs[2].certificate)?;
    let refused = async || {
        let text = ask(&mut open, "/_/varz").await?;
        let line = text.lines().find(|line| line.starts_with("tls_reloads_total{outcome=\"failure\"}"));
        ensure!(line.is_some_and(|line| !line.ends_with(" 0")), "{line:?}");
        Ok(())
    };
    eventually(SOON, "half a pair to be refused", refused).await?;
    presents(&process, &pairs[1], &mut tasks).await?;
    write(&key, &pairs[2].key)?;
    presents(&process, &pairs[2], &mut tasks).await?;

    // A key that is cut off in the middle, then whole.
    write(&key, &pairs[3].key[..pairs[3].key.len() / 2])?;
    write(&certificate, &pairs[3].certificate)?;
    presents(&process, &pairs[2], &mut tasks).await?;
    write(&key, &pairs[3].key)?;
    process.signal(Signal::Hup)?;
    presents(&process, &pairs[3], &mut tasks).await?;
    ask(&mut open, "/_/healthz").await.context("a connection from before all changes")?;
    let odd = process.unexpected_lines(&["the new certificate cannot be used; the old one stays"])?;
    ensure!(odd.is_empty(), "{odd:?}");
    let log = std::fs::read_to_string(process.log())?;
    ensure!(!log.contains("PRIVATE KEY"), "the log tells a secret");
    drop(open);
    ensure!(process.terminate(SOON).await? == Some(0));
    Ok(())
}

/// Replaces a file in one step, as those who rotate certificates do.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    Ok(std::fs::rename(beside, path)?)
}

async fn log_formats(ctx: Ctx) -> Result<()> {
    ctx.target().execute(TABLE).await?;
    for (format, level, time) in [("json", "level", "timestamp"), ("fluent", "severity", "time")] {
        for verbose in ["-v", "-vv"] {
            let name = format!("{format}{verbose}");
            let log_format = format!("--logFormat={format}");
            let service = webhook(ctx.target(), &[&*log_format, verbose]).named(&name);
            let mut feed =
                Feed::of(ctx.target(), ServiceProcess::start(service, ctx.folder()).await?).await?;
            feed.query = format!("?access_token={CANARY}");
            deliver(&mut feed).await?;
            feed.client = Client::connect_h2(feed.service.address()).await?;
            deliver(&mut feed).await?;
            ensure!(feed.service.terminate(SOON).await? == Some(0));
            let log = std::fs::read_to_string(feed.service.log())?;
            ensure!(!log.contains(CANARY), "{name}: the log tells a secret");
            let mut deliveries = 0;
            for line in log.lines() {
                let line: Value = serde_json::from_str(line).with_context(|| format!("{name}: {line}"))?;
                for member in [level, time, "message"] {
                    // Some lines of libraries, which come with -vv, have fields and no text.
                    let textless = member == "message" && verbose == "-vv" && is_of_library(&line);
                    ensure!(textless || line[member].is_string(), "{name}: no {member}: {line}");
                }
                let told = line["message"].as_str().unwrap_or_default();
                if told == "a delivery was taken" || told == "a delivery was refused" {
                    deliveries += 1;
                    let complete = line["status"].is_u64()
                        && line["bytes"].is_u64()
                        && line["latency_seconds"].is_f64()
                        && line["schema"].is_string();
                    ensure!(complete, "{name}: {line}");
                }
            }
            ensure!(deliveries == 8, "{name}: {deliveries} deliveries in the log");
        }
    }
    Ok(())
}

/// Whether a log line comes from code that is not ours.
fn is_of_library(line: &Value) -> bool {
    let target = line["target"].as_str().unwrap_or_default();
    !["sink_", "source_", "cdc_"].iter().any(|ours| target.starts_with(ours))
}

/// A row, a mark, and what is refused.
async fn deliver(feed: &mut Feed) -> Result<()> {
    feed.put("t", "[1]", &format!(r#"{{"id": 1, "v": "{CANARY}"}}"#));
    feed.settle().await?;
    let path = format!("/{}/public{}", feed.database, feed.query);
    let token = format!("Bearer {CANARY}");
    let (status, _) = feed.client.post(&path, &[("authorization", &token)], "[").await?;
    ensure!(status == StatusCode::BAD_REQUEST, "{status}");
    feed.refused_body(&format!("{{{CANARY}"), StatusCode::BAD_REQUEST, &[]).await
}
