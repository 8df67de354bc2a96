//! The wire: protocols, TLS, clients that lie or dawdle, paths, metrics, and what is kept out of the log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tests::harness::http::Client;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::posting::{Feed, SOON, webhook};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("http_protocols_and_paths", &[Need::Postgres], protocols),
        scenario("http_tls_with_a_certificate_of_its_own", &[Need::Postgres], tls),
        scenario("http_bodies_that_lie_do_no_harm", &[Need::Postgres], lies),
        scenario("http_clients_that_dawdle_are_cut_off", &[Need::Postgres], dawdlers),
        scenario("http_metrics_tell_all_and_logs_no_secrets", &[Need::Postgres], metrics),
    ]
}

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text)";

async fn protocols(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLE, &[]).await?;
    for id in [1, 2] {
        feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}}}"#));
        feed.send().await?;
    }
    // Prior knowledge of HTTP/2, as a proxy in front may have it.
    feed.client = Client::connect_h2(feed.service.address()).await?;
    for id in [3, 4] {
        feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}}}"#));
        feed.send().await?;
    }
    feed.settle().await?;
    feed.shows("SELECT id FROM t ORDER BY 1", "(1) (2) (3) (4)").await?;
    let database = feed.database.clone();
    for path in [
        "/",
        "/nothing",
        "/a/b/c",
        "/_/",
        "/_/healthz/more",
        "/_/other",
        &format!("/{database}/%ff"),
        &format!("/{database}/%zz"),
    ] {
        let (status, _) = feed.client.post(path, &[], "{}").await?;
        ensure!(status == StatusCode::NOT_FOUND, "{path}: {status}");
    }
    // Empty segments are no segments.
    for path in [format!("//{database}//public/"), format!("/{database}/public?x=y&immediate=false")] {
        let (status, _) = feed.client.post(&path, &[], "").await?;
        ensure!(status == StatusCode::OK, "{path}: {status}");
    }
    for path in ["/_/healthz", "/_/readyz", "/_/varz"] {
        ensure!(feed.client.get(path).await?.0 == StatusCode::OK, "{path}");
    }
    // The connection of a drained process is closed in good order.
    ensure!(feed.service.terminate(SOON).await? == Some(0));
    ensure!(feed.client.get("/_/healthz").await.is_err());
    Ok(())
}

/// Trusts every certificate: what is tested is that there is one.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// One request over TLS, with the protocol that is offered alone.
async fn over_tls(
    process: &ServiceProcess,
    alpn: &str,
    path: &str,
    body: &str,
) -> Result<(StatusCode, String)> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config =
        config.dangerous().with_custom_certificate_verifier(Arc::new(Anything)).with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let tcp = TcpStream::connect(process.address()).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from("localhost")?, tcp).await.context("no TLS")?;
    ensure!(stream.get_ref().1.alpn_protocol() == Some(alpn.as_bytes()), "{alpn} was not chosen");
    let request = Request::post(format!("https://localhost{path}")).header("host", "localhost");
    let request = request.body(Full::new(Bytes::from(body.to_owned())))?;
    let mut tasks = JoinSet::new();
    let answer = if alpn == "h2" {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tasks.spawn(async move { drop(connection.await) });
        sender.send_request(request).await?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tasks.spawn(async move { drop(connection.await) });
        sender.send_request(request).await?
    };
    let (head, body) = answer.into_parts();
    Ok((head.status, String::from_utf8(body.collect().await?.to_bytes().to_vec())?))
}

async fn tls(ctx: Ctx) -> Result<()> {
    ctx.target().execute(TABLE).await?;
    // The harness asks for readiness in plain HTTP, which this process does not speak.
    let service = ServiceProcess::spawn(webhook(ctx.target(), &["--tlsSelfSigned"]), ctx.folder())?;
    let path = format!("/{}/public", ctx.target().name());
    let ready = async || over_tls(&service, "http/1.1", &path, "").await;
    let (status, _) = eventually(SOON, "an answer over TLS", ready).await?;
    ensure!(status == StatusCode::OK);
    let mut feed = Feed::of(ctx.target(), service).await?;
    for (id, alpn) in [(1, "http/1.1"), (2, "h2")] {
        feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}}}"#));
        let body = feed.take_body();
        let answer = over_tls(&feed.service, alpn, &path, &body).await?;
        ensure!(answer == (StatusCode::OK, "OK".to_owned()), "{alpn}: {answer:?}");
        let mark = feed.tick();
        let answer = over_tls(&feed.service, alpn, &path, &format!(r#"{{"resolved":"{mark}"}}"#)).await?;
        ensure!(answer.0 == StatusCode::OK, "{alpn}: {answer:?}");
        feed.applied(&mark).await?;
        feed.tick();
    }
    feed.shows("SELECT id FROM t ORDER BY 1", "(1) (2)").await?;
    ensure!(feed.client.get("/_/healthz").await.is_err(), "plain HTTP is answered on a TLS port");
    Ok(())
}

/// Writes bytes, perhaps closes our side, and reads until the server closes.
async fn raw(feed: &Feed, bytes: &[u8], close: bool, patience: Duration) -> Result<String> {
    let mut stream = TcpStream::connect(feed.service.address()).await?;
    // The server may refuse before it has read everything.
    let _ = stream.write_all(bytes).await;
    if close {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    match timeout(patience, stream.read_to_end(&mut answer)).await {
        Ok(Ok(_) | Err(_)) => Ok(String::from_utf8_lossy(&answer).into_owned()),
        Err(_) => bail!("the connection stays open; so far: {}", String::from_utf8_lossy(&answer)),
    }
}

async fn lies(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLE, &["--maxBodyBytes=10000", "--bodyIdleTimeout=1s"]).await?;
    feed.put("t", "[1]", r#"{"id": 1}"#);
    let body = feed.take_body();
    let head = format!("POST /{}/public HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", feed.database);
    let length = body.len();
    let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
    for (name, rest, expected) in [
        ("announces more than it sends", format!("Content-Length: {}\r\n\r\n{body}", length + 50), "400"),
        ("announces less than it sends", format!("Content-Length: {}\r\n\r\n{body}", length - 5), "400"),
        ("announces nonsense", format!("Content-Length: -7\r\n\r\n{body}"), "400"),
        ("announces twice", format!("Content-Length: 5\r\nContent-Length: {length}\r\n\r\n{body}"), "400"),
        (
            "breaks off in a chunk",
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{}", &body[..20]),
            "400",
        ),
        (
            "breaks off between chunks",
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n"),
            "400",
        ),
        (
            "has a chunk of no size",
            "Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "sends chunks beyond the limit",
            format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(40)),
            "413",
        ),
        ("announces the impossible", "Content-Length: 9000000000000000000\r\n\r\n".to_owned(), "413"),
        ("is no HTTP", "\r\n\r\n\u{0}\u{1}\u{2}".to_owned(), ""),
    ] {
        // Only a client that stays sees a refusal.
        let hangs_up = expected != "413";
        let answer = raw(&feed, format!("{head}{rest}").as_bytes(), hangs_up, SOON).await.context(name)?;
        ensure!(
            hangs_up && answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {expected}")),
            "{name}: {answer}"
        );
        if expected == "413" {
            ensure!(answer.contains("--maxBodyBytes"), "{name}: {answer}");
        }
    }
    let garbage = raw(&feed, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not http", true, SOON).await?;
    ensure!(!garbage.starts_with("HTTP/1.1 200"), "{garbage}");
    feed.settle().await?;
    feed.shows("SELECT * FROM t", "").await?;
    // The other way round: a body in chunks that is right.
    let rest = format!(
        "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        20,
        &body[..20],
        length - 20,
        &body[20..]
    );
    let late = raw(&feed, format!("{head}{rest}").as_bytes(), false, SOON).await?;
    ensure!(late.starts_with("HTTP/1.1 200"), "{late}");
    Ok(())
}

async fn dawdlers(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLE, &["--bodyIdleTimeout=1s"]).await?;
    let head = format!("POST /{}/public HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", feed.database);
    let cases = [
        ("in its head", "POST / HTTP/1.1\r\nHo".to_owned(), ""),
        ("before its head", String::new(), ""),
        ("in a body of known length", format!("{head}Content-Length: 100\r\n\r\n{{"), "HTTP/1.1 408"),
        ("in a chunk", format!("{head}Transfer-Encoding: chunked\r\n\r\n64\r\n{{"), "HTTP/1.1 408"),
    ];
    let mut clients = Vec::new();
    for _ in 0..20 {
        for (name, bytes, expected) in &cases {
            clients.push((name, raw(&feed, bytes.as_bytes(), false, SOON), expected));
        }
    }
    let waiting = futures::future::join_all(clients.into_iter().map(async |(name, client, expected)| {
        let answer = client.await.with_context(|| format!("a client that stops {name}"))?;
        ensure!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{name}: {answer}");
        ensure!(answer.starts_with(expected), "{name}: {answer:?}");
        Ok(())
    }));
    let mut other = Feed::of(
        ctx.target(),
        ServiceProcess::start(webhook(ctx.target(), &[]).named("other"), ctx.folder()).await?,
    )
    .await?;
    // Meanwhile others are served, and quickly.
    other.client = Client::connect(feed.service.address()).await?;
    other.client.set_deadline(Duration::from_secs(5));
    let served = async {
        for id in 0..50 {
            other.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}}}"#));
            other.send().await?;
        }
        other.settle().await
    };
    let (waited, served) = tokio::join!(waiting, served);
    served?;
    waited.into_iter().collect::<Result<Vec<()>>>()?;
    feed.shows("SELECT count(*) FROM t", "(50)").await
}

/// In values, keys and the password, so that a leak is found by searching for it.
const CANARY: &str = "hunter2canary";

async fn metrics(ctx: Ctx) -> Result<()> {
    // A server that trusts everybody does not ask for the password; one that asks refuses it.
    let url = ctx.target().url();
    let (scheme, rest) = url.split_once("://").context("no scheme")?;
    let (user, rest) = rest.split_once('@').unwrap_or(("postgres", rest));
    let user = user.split(':').next().unwrap_or(user);
    let conn = format!("--conn={scheme}://{user}:{CANARY}@{rest}");
    ctx.target()
        .execute(&format!(
            "{TABLE}; CREATE TABLE u (id int PRIMARY KEY, v smallint CHECK (v < 9), w varchar(3))"
        ))
        .await?;
    let flags =
        [&*conn, "--stagingCreateSchema", "--disableAuthentication", "-vv", "--onApplyError=quarantine"];
    let service = Service::new("cdc-webhook").args(flags);
    let started = ServiceProcess::start(service, ctx.folder()).await;
    let service = match started {
        Ok(service) => service,
        Err(error) => {
            ensure!(!format!("{error:#}").contains(CANARY), "{error:#}");
            return Ok(());
        }
    };
    let mut feed = Feed::of(ctx.target(), service).await?;
    feed.put("t", "[1]", &format!(r#"{{"id": 1, "v": "{CANARY}"}}"#));
    feed.put("u", "[1]", &format!(r#"{{"id": 1, "v": 10, "w": "{CANARY}"}}"#));
    feed.settle().await?;
    feed.put("t", &format!("[\"{CANARY}\"]"), &format!(r#"{{"id": "{CANARY}"}}"#));
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["\"id\""]).await?;
    feed.refused_body(&format!("{{{CANARY}"), StatusCode::BAD_REQUEST, &[]).await?;
    feed.query = "?immediate=true".into();
    feed.put("u", "[2]", &format!(r#"{{"id": 2, "w": "{CANARY}"}}"#));
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["22001"]).await?;
    let (_, text) = feed.client.get("/_/varz").await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    for name in [
        "http_status_codes_total",
        "http_latency_seconds",
        "http_payload_in_bytes_total",
        "mutations_received_total",
        "stage_store_mutations_total",
        "stage_store_duration_seconds",
        "apply_upserts_total",
        "apply_duration_seconds",
        "apply_quarantined_total",
        "resolve_resolved_hlc_seconds",
        "resolve_applied_hlc_seconds",
        "resolve_flush_success_total",
        "resolve_mark_to_visible_seconds",
        "resolve_leader",
    ] {
        ensure!(text.contains(&format!("# TYPE {name} ")), "{name} is not among the metrics");
    }
    ensure!(feed.metric("http_status_codes_total", "code=\"422\"").await? == 2.0);
    let (_, state) = feed.readyz().await?;
    let log = std::fs::read_to_string(feed.service.log())?;
    ensure!(log.lines().count() > 3, "nothing is logged");
    for (place, text) in [("log", &log), ("metrics", &text), ("state", &state)] {
        ensure!(!text.contains(CANARY), "the {place} tells a secret");
    }
    Ok(())
}
