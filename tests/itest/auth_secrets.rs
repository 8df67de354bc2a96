//! Nothing secret is told: tokens, passwords and keys are searched for in everything that the process says.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::json;
use tests::harness::Signal;
use tests::harness::http::Client;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::operate::run;
use crate::posting::{Feed, SOON};
use crate::tokens::{Door, Key, P256, claims};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("auth_secrets_are_in_no_log_metric_or_answer", &[Need::Postgres], canaries),
        scenario("auth_a_refused_password_is_not_told", &[Need::Postgres], refused_password),
    ]
}

/// Part of every secret that has a text of its own.
const CANARY: &str = "hunter2canary";

/// A connection string with a password, which a server that trusts everybody does not ask for.
fn with_password(url: &str) -> Result<String> {
    let (scheme, rest) = url.split_once("://").context("no scheme")?;
    let (user, rest) = rest.split_once('@').unwrap_or(("postgres", rest));
    let user = user.split(':').next().unwrap_or(user);
    Ok(format!("{scheme}://{user}:{CANARY}@{rest}"))
}

async fn canaries(ctx: Ctx) -> Result<()> {
    ctx.target().execute("CREATE TABLE t (id int PRIMARY KEY)").await?;
    let conn = format!("--conn={}", with_password(ctx.target().url())?);
    let service =
        Service::new("cdc-webhook").args([&*conn, "--stagingCreateSchema", "-vv", "--maxBodyBytes=100000"]);
    let process = ServiceProcess::start(service, ctx.folder()).await?;
    let feed = Feed::of(ctx.target(), process).await?;
    let path = format!("/{}/public", feed.database);
    let mut door = Door { feed, path };
    let key = door.new_key(&ctx, "ec", P256).await?;
    let leaked = std::fs::read_to_string(&Key::make(&ctx, "leaked", P256)?.file)?;
    door.store(&format!("{CANARY} {leaked}")).await?;
    let endless =
        json!({ "jti": "endless", "https://github.com/cockroachdb/cdc-sink": { "schemas": [["*", "*"]] } });
    let tokens = [
        key.token(&door.claims("good"))?,
        key.token(&endless)?,
        key.token(&claims("other", &[["x", "y"]]))?,
        format!("{CANARY}.{CANARY}.{CANARY}"),
        format!("{}{CANARY}", key.token(&door.claims("broken"))?),
    ];
    door.reload().await?;

    let mut answers = Vec::new();
    let address = door.feed.service.address();
    for client in [Client::connect(address).await?, Client::connect_h2(address).await?] {
        answers.extend(ask_everything(client, &door.path, &tokens).await?);
    }
    for status in [200, 400, 401, 404, 405, 413, 415, 422] {
        let seen = answers.iter().filter(|(found, _)| found.as_u16() == status).count();
        ensure!(seen > 0, "no answer was {status}: the scenario misses a kind of error");
    }
    answers.extend(break_off(address, &door.path, &tokens[0]).await?);
    // Keys that can no longer be read, too.
    door.feed.execute("ALTER TABLE _cdc_sink.jwt_public_keys RENAME TO away").await?;
    door.feed.service.signal(Signal::Hup)?;
    door.shows("last_refresh_failed", true.into()).await?;
    for path in ["/_/varz", "/_/readyz", "/_/healthz"] {
        let (status, text) = door.feed.client.get(path).await?;
        answers.push((status, String::from_utf8_lossy(&text).into_owned()));
    }
    ensure!(door.feed.service.terminate(SOON).await? == Some(0));

    let log = std::fs::read_to_string(door.feed.service.log())?;
    ensure!(
        log.contains("TRACE") && log.contains("a request was not let in"),
        "the log is not at its most talkative"
    );
    ensure!(!log.contains("access_token="), "URLs are logged with their tokens");
    let answers: String = answers.into_iter().map(|(_, text)| text + "\n").collect();
    let signatures = tokens.iter().filter_map(|token| token.rsplit('.').next());
    let payloads = tokens.iter().filter_map(|token| token.split('.').nth(1));
    let private = leaked.lines().filter(|line| line.len() > 40);
    let secrets: Vec<&str> = [CANARY].into_iter().chain(signatures).chain(payloads).chain(private).collect();
    ensure!(secrets.len() > 11, "{}", secrets.len());
    for secret in secrets {
        for (place, text) in [("log", &log), ("answers", &answers)] {
            let found = text.lines().find(|line| line.contains(secret));
            ensure!(found.is_none(), "the {place} tell a secret: {found:?}");
        }
    }
    Ok(())
}

/// What is no HTTP, and what breaks off, with a good token in it.
async fn break_off(address: SocketAddr, path: &str, token: &str) -> Result<Vec<(StatusCode, String)>> {
    let mut answers = Vec::new();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n");
    for bytes in [
        format!("GET {CANARY}\r\n\r\n"),
        format!("POST {path}?access_token={token} HTTP/9.9\r\n\r\n"),
        format!("{head}Content-Length: -1\r\n\r\n"),
        format!("{head}Content-Length: 50\r\n\r\n{{"),
        format!("{head}Authorization {token}\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes.as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        // The server may close before it has read everything.
        let _ = stream.read_to_end(&mut answer).await;
        answers.push((StatusCode::BAD_REQUEST, String::from_utf8_lossy(&answer).into_owned()));
    }
    Ok(answers)
}

/// Requests that end in every kind of answer, each with every token at every place.
async fn ask_everything(
    mut client: Client,
    path: &str,
    tokens: &[String],
) -> Result<Vec<(StatusCode, String)>> {
    let mut answers = Vec::new();
    let bodies = [
        String::new(),
        format!("{{{CANARY}"),
        format!(
            r#"{{"payload":[{{"after":{{"id":"{CANARY}"}},"key":["{CANARY}"],"topic":"t","updated":"1.0"}}]}}"#
        ),
        r#"{"payload":[{"after":{"id":1},"key":[1],"topic":"nothing","updated":"1.0"}]}"#.to_owned(),
        " ".repeat(200_000),
    ];
    for token in tokens {
        let (header, inside) = (format!("Bearer {token}"), format!("{path}?access_token={token}"));
        let basic = format!("Basic {token}");
        for body in &bodies {
            for (path, headers) in [
                (path, vec![("authorization", &*header)]),
                (&*inside, vec![]),
                (&*inside, vec![("authorization", &*basic)]),
                (&*inside, vec![("content-encoding", "br")]),
                (&*inside, vec![("content-encoding", "gzip")]),
            ] {
                let (status, text) = client.post(path, &headers, body.clone()).await?;
                answers.push((status, String::from_utf8_lossy(&text).into_owned()));
            }
        }
        for path in [
            format!("{inside}&immediate=perhaps"),
            format!("/a/b/c?access_token={token}"),
            format!("/nowhere/public?access_token={token}"),
            format!("/_/readyz?access_token={token}"),
        ] {
            let (status, text) = client.post(&path, &[("authorization", &header)], bodies[3].clone()).await?;
            answers.push((status, String::from_utf8_lossy(&text).into_owned()));
        }
        let (status, text) = client.request(Method::DELETE, &inside, &[], "".into()).await?;
        answers.push((status, String::from_utf8_lossy(&text).into_owned()));
    }
    Ok(answers)
}

/// A server that asks for the password in clear and refuses it; answers what it was told.
async fn refusing_server(listener: TcpListener) -> Result<String> {
    let (mut stream, _) = listener.accept().await?;
    let mut told = Vec::new();
    let mut buffer = [0; 4_096];
    let startup = stream.read(&mut buffer).await?;
    told.extend_from_slice(&buffer[..startup]);
    // AuthenticationCleartextPassword.
    stream.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await?;
    let password = stream.read(&mut buffer).await?;
    told.extend_from_slice(&buffer[..password]);
    let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"sink\"\0\0";
    let length = u32::try_from(fields.len() + 4)?;
    stream.write_all(b"E").await?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(fields).await?;
    stream.shutdown().await?;
    Ok(String::from_utf8_lossy(&told).into_owned())
}

async fn refused_password(ctx: Ctx) -> Result<()> {
    for command in ["start", "status"] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let conn = format!("--conn=postgresql://sink:{CANARY}@{address}/x?sslmode=disable");
        let args = [command, "-vv", &conn];
        let (told, received) = tokio::join!(run(&ctx, &args, &[]), refusing_server(listener));
        let (told, received) = (told?, received?);
        ensure!(received.contains(CANARY), "the password was never sent, so nothing is proved");
        ensure!(told.code == Some(3) && told.stderr.contains("28P01"), "{told:?}");
        ensure!(!told.stdout.contains(CANARY) && !told.stderr.contains(CANARY), "{told:?}");
    }
    // URLs that cannot be read, and a target that is away while the process waits for it.
    for url in [
        format!("postgresql://sink:{CANARY}@127.0.0.1:port/x"),
        format!("postgresql://sink:{CANARY}@[::1/x"),
        format!("postgresql://sink:{CANARY}@host/x?sslmode=sometimes"),
        format!("mysql://sink:{CANARY}@127.0.0.1:1/x"),
        CANARY.to_owned(),
    ] {
        let told = run(&ctx, &["status", &format!("--conn={url}")], &[]).await?;
        ensure!(told.code == Some(3), "{told:?}");
        ensure!(!told.stdout.contains(CANARY) && !told.stderr.contains(CANARY), "{url}: {told:?}");
    }
    let away = format!("--conn=postgresql://sink:{CANARY}@127.0.0.1:1/x?sslmode=disable");
    let mut process = ServiceProcess::spawn(Service::new("cdc-webhook").args([&*away, "-vv"]), ctx.folder())?;
    eventually(SOON, "the process to wait", async || {
        ensure!(process.log_tail().contains("does not answer"), "{}", process.log_tail());
        Ok(())
    })
    .await?;
    process.terminate(Duration::from_secs(20)).await?;
    let log = std::fs::read_to_string(process.log())?;
    ensure!(!log.contains(CANARY), "the log tells the password");
    let help =
        run(&ctx, &["start", "--help"], &[("CDC_CONN", &format!("postgresql://x:{CANARY}@y/z"))]).await?;
    ensure!(help.code == Some(0) && !help.stdout.contains(CANARY), "the help tells the password");
    Ok(())
}
