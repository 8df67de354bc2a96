//! Clients that want to do harm: each takes what it can get, and others are served all the while.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::StatusCode;
use tests::harness::http::Client;
use tests::harness::ports;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::posting::{Feed, SOON};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("attack_dripping_heads_and_bodies_are_cut_off", &[Need::Postgres], drips),
        scenario("attack_rapid_resets_leave_the_process_responsive", &[Need::Postgres], rapid_reset),
        scenario("attack_endless_headers_are_refused", &[Need::Postgres], headers),
        scenario("attack_unread_answers_hold_little_memory", &[Need::Postgres], unread),
        scenario("attack_idle_connections_pass_and_operators_get_through", &[Need::Postgres], idle),
        scenario("attack_templates_are_no_place_for_rows", &[Need::Postgres], template),
    ]
}

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text)";
/// Memory that an attack may cost, beside what the process needs anyway.
const COST: u64 = 64 << 20;
/// Longest wait of an honest client while others attack.
const PATIENCE: Duration = Duration::from_secs(10);

/// Posts rows until `attack` has ended, and at least once after; every one must be taken in time.
async fn serve_meanwhile<T>(feed: &mut Feed, attack: impl Future<Output = Result<T>>) -> Result<T> {
    let mut attack = std::pin::pin!(attack);
    feed.client.set_deadline(PATIENCE);
    let mut id = 0;
    let mut outcome = None;
    loop {
        feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}}}"#));
        feed.send().await.context("an honest client")?;
        id += 1;
        if let Some(outcome) = outcome {
            feed.settle().await?;
            let expected = format!("({id})");
            feed.shows("SELECT count(*) FROM t", &expected).await?;
            return Ok(outcome);
        }
        if let Ok(ended) = timeout(Duration::from_millis(50), attack.as_mut()).await {
            outcome = Some(ended?);
        }
    }
}

/// Sends `first`, then one more byte now and then, until the server closes; answers what it said and how long it took.
async fn drip(process: &ServiceProcess, first: &[u8], pause: Duration) -> Result<(String, Duration)> {
    let started = Instant::now();
    let mut stream = TcpStream::connect(process.address()).await?;
    stream.write_all(first).await?;
    let (mut read, mut write) = stream.into_split();
    let mut answer = Vec::new();
    let reading = read.read_to_end(&mut answer);
    let dripping = async {
        loop {
            tokio::time::sleep(pause).await;
            if write.write_all(b"a").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        // A reset is an end, too.
        ended = timeout(Duration::from_secs(40), reading) => drop(ended.context("never closed")?),
        () = dripping => {}
    }
    Ok((String::from_utf8_lossy(&answer).into_owned(), started.elapsed()))
}

async fn drips(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLE, &["--bodyIdleTimeout=1s", "--applyTimeout=2s"]).await?;
    let post = format!("POST /{}/public HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", feed.database);
    let path = format!("/{}/public", feed.database);
    let cases = [
        ("a head", "GET / HTTP/1.1\r\nX-Long: ".as_bytes().to_vec(), "", Duration::from_secs(12)),
        (
            "a body",
            format!("{post}Content-Length: 100000\r\n\r\n").into(),
            "HTTP/1.1 408",
            Duration::from_secs(8),
        ),
        (
            "a chunk",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nffff\r\n").into(),
            "HTTP/1.1 408",
            Duration::from_secs(8),
        ),
        ("a head of HTTP/2", half_a_head(), "", Duration::from_secs(15)),
        // The stream is refused as soon as any; its connection lasts until a ping is not answered.
        ("a body of HTTP/2", open_body(&path), "", Duration::from_secs(35)),
    ];
    let address = feed.service.address();
    ensure!(address.ip().is_loopback());
    let process = &feed.service;
    let attackers = (0..20).flat_map(|_| &cases).map(async |(name, first, expected, within)| {
        let (answer, took) = drip(process, first, Duration::from_millis(150)).await.context(*name)?;
        ensure!(answer.starts_with(expected), "{name}: {answer:?}");
        ensure!(took <= *within, "{name}: closed only after {took:?}");
        Ok(())
    });
    let mut honest = Feed::of(
        ctx.target(),
        ServiceProcess::start(crate::posting::webhook(ctx.target(), &[]).named("bystander"), ctx.folder())
            .await?,
    )
    .await?;
    honest.client = Client::connect(address).await?;
    let attack = async {
        let ended = futures::future::join_all(attackers).await;
        ended.into_iter().collect::<Result<Vec<()>>>()
    };
    serve_meanwhile(&mut honest, attack).await?;
    // Nothing is left behind.
    closed(&mut feed, 2.0).await
}

/// Waits until no more than this many connections are open.
async fn closed(feed: &mut Feed, at_most: f64) -> Result<()> {
    feed.client = Client::connect(feed.service.address()).await?;
    let counted = async || {
        let open = feed.metric("http_connections ", "").await?;
        ensure!(open <= at_most, "{open} connections are open");
        Ok(())
    };
    eventually(Duration::from_secs(40), "connections to close", counted).await
}

/// The first bytes of every HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block without compression (RFC 7541, appendix A names the numbers): a request for a path.
fn request(method: u8, path: &str) -> Vec<u8> {
    // :method from the static table, :scheme http, :path and :authority as literals that are not remembered.
    let mut block = vec![0x80 | method, 0x86, 0x04];
    block.push(u8::try_from(path.len()).unwrap_or(127).min(127));
    block.extend(path.bytes().take(127));
    block.extend([0x01, 1, b'x']);
    block
}

const GET: u8 = 2;
const POST: u8 = 3;

/// Preface and settings.
fn hello(settings: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()
}

/// A request whose headers never end: the bytes that follow are the payload of a frame.
fn half_a_head() -> Vec<u8> {
    let mut bytes = [hello(&[]), frame(HEADERS, 0, 1, &request(GET, "/"))].concat();
    bytes.extend([0, 0x30, 0, CONTINUATION, 0, 0, 0, 0, 1]);
    bytes
}

/// A request whose body comes byte by byte.
fn open_body(path: &str) -> Vec<u8> {
    let mut bytes = [hello(&[]), frame(HEADERS, END_HEADERS, 1, &request(POST, path))].concat();
    bytes.extend([0, 0x30, 0, 0, 0, 0, 0, 0, 1]);
    bytes
}

/// Writes until everything is sent or the server has closed, and waits a while for it to close; answers whether it did.
async fn flood(stream: &mut TcpStream, bytes: &[u8], patience: Duration) -> bool {
    let (mut read, mut write) = stream.split();
    let mut sink = vec![0; 64 << 10];
    let mut sent = 0;
    while sent < bytes.len() {
        let end = bytes.len().min(sent + (16 << 10));
        tokio::select! {
            written = write.write(&bytes[sent..end]) => match written {
                Ok(0) | Err(_) => return true,
                Ok(more) => sent += more,
            },
            got = read.read(&mut sink) => if !matches!(got, Ok(1..)) {
                return true;
            },
        }
    }
    let closing = async { while matches!(read.read(&mut sink).await, Ok(1..)) {} };
    timeout(patience, closing).await.is_ok()
}

/// Opens and resets streams as fast as it can, over and over, until it is thrown out `rounds` times or has sent all.
async fn reset_rapidly(process: &ServiceProcess, path: &str, rounds: usize) -> Result<usize> {
    let mut bytes = hello(&[]);
    for stream in (1..40_000).step_by(2) {
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &request(POST, path)));
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut thrown_out = 0;
    for _ in 0..rounds {
        let mut stream = TcpStream::connect(process.address()).await?;
        thrown_out += usize::from(flood(&mut stream, &bytes, Duration::from_secs(3)).await);
    }
    Ok(thrown_out)
}

async fn rapid_reset(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLE, &[]).await?;
    let target = crate::posting::webhook(ctx.target(), &[]).named("attacked");
    let mut attacked = ServiceProcess::start(target, ctx.folder()).await?;
    let path = format!("/{}/public", feed.database);
    feed.client = Client::connect(attacked.address()).await?;
    let before = attacked.rss_bytes()?;
    let mut peak = before;
    let process = &attacked;
    let attackers: Vec<_> = (0..8).map(|_| reset_rapidly(process, &path, 10)).collect();
    let thrown_out = serve_meanwhile(&mut feed, async {
        let ended = futures::future::join_all(attackers).await;
        ended.into_iter().sum::<Result<usize>>()
    })
    .await?;
    ensure!(thrown_out > 0, "nobody was thrown out");
    peak = peak.max(attacked.rss_bytes()?);
    ensure!(peak - before < COST, "resets cost {} bytes", peak - before);
    let mut client = Client::connect(attacked.address()).await?;
    let gone = async || {
        let (_, text) = client.get("/_/varz").await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        // The two that ask: this client, and the feed's.
        let calm = text.contains("\nhttp_requests_in_flight 1\n") && text.contains("\nhttp_connections 2\n");
        ensure!(calm, "not yet");
        Ok(())
    };
    eventually(Duration::from_secs(40), "the attack to leave nothing behind", gone).await
}

async fn headers(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLE, &[]).await?;
    let before = feed.service.rss_bytes()?;
    let many: String = (0..5_000).map(|n| format!("X-{n}: y\r\n")).collect();
    let address = feed.service.address();
    for (name, bytes) in [
        (
            "one long header",
            format!("GET /_/healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "y".repeat(4 << 20)),
        ),
        (
            "a header without end",
            format!("GET /_/healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}", "y".repeat(4 << 20)),
        ),
        ("many headers", format!("GET /_/healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n")),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(4 << 20))),
    ] {
        let mut stream = TcpStream::connect(address).await?;
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut answer))
            .await
            .with_context(|| format!("{name}: stays open"))?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        ensure!(refused, "{name}: {}", answer.chars().take(100).collect::<String>());
    }
    // HTTP/2: headers that go on and on in frames of their own.
    let padding = [&[0x00, 1, b'a', 0x7f, 0x81, 0x7e][..], &[b'y'; 16_000][..]].concat();
    let mut endless = [hello(&[]), frame(HEADERS, END_STREAM, 1, &request(GET, "/_/healthz"))].concat();
    for _ in 0..2_000 {
        endless.extend(frame(CONTINUATION, 0, 1, &padding));
    }
    let tiny: Vec<u8> = (0..200_000).flat_map(|_| frame(CONTINUATION, 0, 1, &[])).collect();
    let empty = [hello(&[]), frame(HEADERS, END_STREAM, 1, &request(GET, "/_/healthz")), tiny].concat();
    for (name, bytes) in [("endless frames", endless), ("empty frames", empty)] {
        let mut stream = TcpStream::connect(address).await?;
        ensure!(flood(&mut stream, &bytes, SOON).await, "{name}: the connection stays open");
    }
    let after = feed.service.rss_bytes()?;
    ensure!(after.saturating_sub(before) < COST, "headers cost {} bytes", after - before);
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.settle().await
}

/// Asks for a large answer on many streams of connections that never take a byte of it.
async fn unread(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLE, &[]).await?;
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.settle().await?;
    let size = feed.client.get("/_/varz").await?.1.len();
    ensure!(size > 5_000, "{size} bytes are no large answer");
    let before = feed.service.rss_bytes()?;
    // SETTINGS_INITIAL_WINDOW_SIZE = 0: the server may send nothing.
    let mut bytes = hello(&[0, 4, 0, 0, 0, 0]);
    for stream in (1..500).step_by(2) {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(GET, "/_/varz")));
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream + 500, &request(GET, "/_/readyz")));
    }
    let mut held = Vec::new();
    for _ in 0..60 {
        let mut stream = TcpStream::connect(feed.service.address()).await?;
        stream.write_all(&bytes).await?;
        held.push(stream);
    }
    let answered = async || {
        let requests = feed.metric("http_requests_in_flight", "").await?;
        ensure!(requests <= 1.0, "{requests} requests are being answered");
        Ok(())
    };
    eventually(SOON, "every request to be answered", answered).await?;
    let cost = feed.service.rss_bytes()?.saturating_sub(before);
    ensure!(cost < COST + COST / 2, "unread answers cost {cost} bytes");
    // Honest clients still learn and deliver.
    for path in ["/_/healthz", "/_/readyz", "/_/varz"] {
        ensure!(feed.client.get(path).await?.0 == StatusCode::OK, "{path}");
    }
    feed.put("t", "[2]", r#"{"id": 2}"#);
    feed.settle().await?;
    drop(held);
    closed(&mut feed, 2.0).await
}

/// More connections than the process serves at once: they do nothing, pass away, and let others in.
async fn idle(ctx: Ctx) -> Result<()> {
    let operators = ports::loopback(ports::free()?);
    let mut feed = Feed::start(&ctx, TABLE, &[&format!("--metricsAddr={operators}")]).await?;
    let mut admin = Client::connect(operators).await?;
    let mut idle = Vec::new();
    for _ in 0..1_100 {
        idle.push(TcpStream::connect(feed.service.address()).await?);
    }
    // An open connection works on, and operators see what is happening.
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.settle().await?;
    let full = async || {
        let (_, text) = admin.get("/_/varz").await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line =
            text.lines().find_map(|line| line.strip_prefix("http_connections ")).context("no gauge")?;
        let open: f64 = line.parse()?;
        // The limit of the feeds' listener, and this client.
        ensure!(open <= 1_025.0, "{open} connections are open");
        ensure!(open >= 1_000.0, "{open} connections only");
        Ok(())
    };
    eventually(SOON, "the limit to be reached", full).await?;
    // A newcomer waits for its turn, which comes when the idle ones are thrown out.
    let mut late = JoinSet::new();
    let address = feed.service.address();
    late.spawn(async move { Client::connect(address).await?.get("/_/healthz").await });
    let answer = timeout(Duration::from_secs(40), late.join_next()).await.context("never served")?;
    match answer.context("no task")?? {
        Ok((StatusCode::OK, _)) => Ok(()),
        other => bail!("{other:?}"),
    }
}

async fn template(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLE, &[]).await?;
    let home = std::mem::replace(&mut feed.database, "template1".to_owned());
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.refused(StatusCode::NOT_FOUND, &["template1", "template"]).await?;
    // In use, it could not be copied; and nothing of ours may be in the copies.
    feed.shows(
        "SELECT pid FROM pg_stat_activity WHERE datname = 'template1' AND application_name LIKE 'cdc%'",
        "",
    )
    .await?;
    feed.shows("SELECT name FROM _cdc_sink.target_databases WHERE name = 'template1'", "").await?;
    feed.database = home;
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.settle().await
}
