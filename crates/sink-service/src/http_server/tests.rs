//! The server, over real sockets on the loopback interface.

use super::*;
use crate::body::{BodyError, BodyLimits, NoBudget, read_body};
use crate::tls::{CertReloader, CertSource, server_config};
use http::{StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Long enough for anything that should happen, so that a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);
/// A configured timeout of which the test waits for the effect.
const SHORT: Duration = Duration::from_millis(100);
/// Largest body the test handler takes, in bytes.
const BODY_LIMIT: usize = 100_000;

fn limits() -> HttpLimits {
    HttpLimits { header_timeout: PATIENCE, idle_timeout: PATIENCE, ..HttpLimits::default() }
}

/// What the handler and the test tell each other.
#[derive(Clone)]
struct Stage {
    /// Gets a line for everything the handler lives through.
    events: mpsc::Sender<String>,
    /// `/wait` takes a permit before it answers.
    gate: Arc<Semaphore>,
}

/// Says so when a handler's future is dropped before its end.
struct Witness(mpsc::Sender<String>, bool);

impl Drop for Witness {
    fn drop(&mut self) {
        if !self.1 {
            self.0.try_send("dropped".to_owned()).unwrap();
        }
    }
}

impl Stage {
    async fn handle(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let text = |text: String| Response::new(Full::from(text));
        match request.uri().path() {
            "/panic" => panic!("as asked"),
            "/wait" => {
                let mut witness = Witness(self.events.clone(), false);
                self.events.send("waiting".to_owned()).await.unwrap();
                self.gate.acquire().await.unwrap().forget();
                witness.1 = true;
                text("waited".to_owned())
            }
            "/body" => self.read(request).await,
            "/peer" => text(format!("{:?}", request.extensions().get::<Peer>().unwrap().tls)),
            path => text(format!("{:?} {path}", request.version())),
        }
    }

    async fn read(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let limits =
            BodyLimits { max_bytes: BODY_LIMIT, idle_timeout: SHORT, total_timeout: Duration::from_secs(5) };
        let read = read_body(request.into_body(), limits, &mut NoBudget).await;
        let (status, event) = match read {
            Ok(body) => (StatusCode::OK, format!("read {}", body.len())),
            Err(error) => (error.status(), format!("{error:?}")),
        };
        self.events.send(event.clone()).await.unwrap();
        let mut response = Response::new(Full::from(event));
        *response.status_mut() = status;
        response
    }
}

/// A server at work, and the test's side of its handler.
struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinSet<Served>,
    events: mpsc::Receiver<String>,
    gate: Arc<Semaphore>,
    /// The client sides of the connections.
    clients: JoinSet<()>,
}

async fn start(limits: HttpLimits, tls: Option<Arc<ServerConfig>>, grace: Duration) -> Running {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let (sender, events) = mpsc::channel(100);
    let gate = Arc::new(Semaphore::new(0));
    let stage = Stage { events: sender, gate: Arc::clone(&gate) };
    let server =
        HttpServer { listener, tls, limits, shutdown: shutdown.clone(), grace, stats: Arc::default() };
    let mut served = JoinSet::new();
    served.spawn(server.serve(move |request| stage.clone().handle(request)));
    Running { address, shutdown, served, events, gate, clients: JoinSet::new() }
}

async fn start_plain() -> Running {
    start(limits(), None, PATIENCE).await
}

impl Running {
    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn event(&mut self) -> String {
        timeout(PATIENCE, self.events.recv()).await.unwrap().unwrap()
    }

    async fn served(mut self) -> Served {
        timeout(PATIENCE, self.served.join_next()).await.unwrap().unwrap().unwrap()
    }

    async fn http1(&mut self) -> Client {
        let stream = self.tcp().await;
        self.http1_on(stream).await
    }

    async fn http1_on<S>(&mut self, stream: S) -> Client
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.clients.spawn(async move { drop(connection.await) });
        Client::Http1(sender)
    }

    async fn http2(&mut self) -> Client {
        let stream = self.tcp().await;
        self.http2_on(stream).await
    }

    async fn http2_on<S>(&mut self, stream: S) -> Client
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        self.clients.spawn(async move { drop(connection.await) });
        Client::Http2(sender)
    }

    /// Sends raw bytes and returns everything that comes back until the server closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.tcp().await;
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }
}

async fn read_to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    // A reset is as good an end as any: it comes when the server closes with our bytes unread.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the server closes the connection");
    String::from_utf8_lossy(&all).into_owned()
}

enum Client {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<(StatusCode, String)> {
        let response = match self {
            Self::Http1(sender) => timeout(PATIENCE, sender.send_request(request)).await.unwrap()?,
            Self::Http2(sender) => timeout(PATIENCE, sender.send_request(request)).await.unwrap()?,
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
    }

    async fn get(&mut self, path: &str) -> hyper::Result<(StatusCode, String)> {
        let request = Request::get(format!("http://localhost{path}")).header("host", "localhost");
        self.send(request.body(Full::default()).unwrap()).await
    }

    async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> hyper::Result<(StatusCode, String)> {
        let request = Request::post(format!("http://localhost{path}")).header("host", "localhost");
        self.send(request.body(Full::new(body.into())).unwrap()).await
    }
}

fn ok(text: &str) -> (StatusCode, String) {
    (StatusCode::OK, text.to_owned())
}

/// Connects with TLS, trusting exactly this certificate, and offering these protocols.
async fn tls_client(
    running: &Running,
    root: CertificateDer<'static>,
    alpn: &[&[u8]],
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, running.tcp().await).await.unwrap()
}

fn self_signed() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let certificates = CertReloader::new(CertSource::SelfSigned).unwrap();
    let root = certificates.chain().remove(0);
    (server_config(certificates).unwrap(), root)
}

#[tokio::test]
async fn one_plain_port_speaks_both_versions() {
    let mut running = start_plain().await;
    assert_eq!(running.http1().await.get("/x").await.unwrap(), ok("HTTP/1.1 /x"));
    assert_eq!(running.http2().await.get("/x").await.unwrap(), ok("HTTP/2.0 /x"));
    assert_eq!(running.http1().await.get("/peer").await.unwrap(), ok("false"));
}

#[tokio::test]
async fn tls_agrees_on_the_version_by_alpn() {
    let (config, root) = self_signed();
    let mut running = start(limits(), Some(config), PATIENCE).await;
    let stream = tls_client(&running, root.clone(), &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(running.http2_on(stream).await.get("/x").await.unwrap(), ok("HTTP/2.0 /x"));
    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        let stream = tls_client(&running, root.clone(), alpn).await;
        let mut client = running.http1_on(stream).await;
        assert_eq!(client.get("/x").await.unwrap(), ok("HTTP/1.1 /x"));
        assert_eq!(client.get("/peer").await.unwrap(), ok("true"));
    }
}

#[tokio::test]
async fn a_reloaded_certificate_serves_new_connections_and_old_ones_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, private_key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&private_key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    };
    let first = renew();
    let source = CertSource::Files { certificate: certificate.clone(), private_key: private_key.clone() };
    let reloader = CertReloader::new(source).unwrap();
    let config = server_config(Arc::clone(&reloader)).unwrap();
    let mut running = start(limits(), Some(config), PATIENCE).await;
    let stream = tls_client(&running, first.clone(), &[]).await;
    let mut old = running.http1_on(stream).await;
    assert_eq!(old.get("/x").await.unwrap(), ok("HTTP/1.1 /x"));

    let second = renew();
    // Still the first, also after a failed reload.
    std::fs::rename(&private_key, folder.path().join("hidden")).unwrap();
    reloader.reload().unwrap_err();
    tls_client(&running, first, &[]).await;
    std::fs::rename(folder.path().join("hidden"), &private_key).unwrap();
    reloader.reload().unwrap();
    let stream = tls_client(&running, second, &[]).await;
    assert_eq!(running.http1_on(stream).await.get("/x").await.unwrap(), ok("HTTP/1.1 /x"));
    assert_eq!(old.get("/x").await.unwrap(), ok("HTTP/1.1 /x"));
}

#[tokio::test]
async fn connections_without_a_request_are_cut_off() {
    let limits = HttpLimits { header_timeout: SHORT, ..limits() };
    let running = start(limits, None, PATIENCE).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let empty_settings = b"\0\0\0\x04\0\0\0\0\0";
    let half_headers = b"\0\0\x10\x01\0\0\0\0\x01\x82";
    for bytes in [
        &b""[..],
        b"G",
        b"GET / HTTP/1.1\r\nhost: x\r\nslow:",
        &preface[..10],
        &preface[..],
        &[&preface[..], empty_settings].concat(),
        &[&preface[..], empty_settings, half_headers].concat(),
    ] {
        assert!(!running.raw(bytes).await.contains("200 OK"), "{bytes:?}");
    }
    let (config, _) = self_signed();
    let running = start(limits, Some(config), PATIENCE).await;
    for bytes in [&b""[..], b"\x16\x03\x01\x02\0\x01"] {
        assert_eq!(running.raw(bytes).await, "", "TLS handshake {bytes:?}");
    }
}

#[tokio::test]
async fn idle_connections_are_closed_after_their_own_time() {
    let limits = HttpLimits { idle_timeout: SHORT, ..limits() };
    let mut running = start(limits, None, PATIENCE).await;
    let answer = running.raw(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("/x"), "{answer}");
    let mut client = running.http2().await;
    client.get("/x").await.unwrap();
    timeout(PATIENCE, running.clients.join_next()).await.expect("the server ends the connection");
    // A request in flight is not idleness, however long it takes.
    let mut busy = running.http2().await;
    let waited = tokio::join!(busy.get("/wait"), async {
        assert_eq!(running.event().await, "waiting");
        sleep(3 * SHORT).await;
        running.gate.add_permits(1);
    });
    assert_eq!(waited.0.unwrap(), ok("waited"));
}

#[tokio::test]
async fn a_body_that_pauses_is_answered_and_cut_off() {
    let mut running = start_plain().await;
    let answer = running.raw(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(running.event().await, format!("{:?}", BodyError::Idle));
}

#[tokio::test]
async fn bodies_up_to_the_limit_are_read_and_longer_ones_refused() {
    let mut running = start_plain().await;
    for mut client in [running.http1().await, running.http2().await] {
        assert_eq!(client.post("/body", vec![7; BODY_LIMIT]).await.unwrap(), ok("read 100000"));
        let (status, _) = client.post("/body", vec![7; BODY_LIMIT + 1]).await.unwrap();
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    let chunks = "4e20\r\n".to_owned() + &"x".repeat(20_000) + "\r\n";
    let chunked = "POST /body HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = running.raw((chunked.to_owned() + &chunks.repeat(5) + "0\r\n\r\n").as_bytes()).await;
    assert!(answer.ends_with("read 100000"), "{answer}");
    let mut stream = running.tcp().await;
    stream.write_all((chunked.to_owned() + &chunks.repeat(5) + "1\r\n").as_bytes()).await.unwrap();
    stream.write_all(b"x\r\n").await.unwrap();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_lying_content_length_is_refused_or_noticed() {
    let mut running = start_plain().await;
    let head =
        |length: &str| format!("POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\nabc");
    let answer = running.raw(head("18446744073709551613").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(running.event().await.starts_with("TooLarge"));

    let mut stream = running.tcp().await;
    stream.write_all(head("99999").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    read_to_end(&mut stream).await;
    assert!(running.event().await.starts_with("Broken"));
}

#[tokio::test]
async fn headers_have_a_limit() {
    let mut running = start_plain().await;
    let long = "x".repeat(40 * 1024);
    let answer = running.raw(format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let request = Request::get("http://localhost/").header("long", long).body(Full::default()).unwrap();
    let refused = running.http2().await.send(request).await;
    assert!(refused.as_ref().map_or(true, |(status, _)| *status == 431), "{refused:?}");
}

#[tokio::test]
async fn further_connections_wait_for_a_slot() {
    let mut running = start(HttpLimits { max_connections: 1, ..limits() }, None, PATIENCE).await;
    let mut first = running.http1().await;
    first.get("/x").await.unwrap();
    let mut second = running.http1().await;
    let early = timeout(SHORT, second.get("/x")).await;
    assert!(early.is_err(), "both were served");
    drop((first, second));
    assert_eq!(running.http1().await.get("/x").await.unwrap(), ok("HTTP/1.1 /x"));
}

#[tokio::test]
async fn a_panic_is_answered_and_the_connection_goes_on() {
    let mut running = start_plain().await;
    for mut client in [running.http1().await, running.http2().await] {
        let panicked = (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n".to_owned());
        assert_eq!(client.get("/panic?access_token=x").await.unwrap(), panicked);
        assert!(client.get("/x").await.unwrap().1.ends_with("/x"));
    }
}

#[tokio::test]
async fn shutting_down_refuses_connections_but_finishes_requests() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut running = start_plain().await;
        let mut idle = running.http1().await;
        idle.get("/x").await.unwrap();
        let mut client = match version {
            Version::HTTP_2 => running.http2().await,
            _ => running.http1().await,
        };
        let (response, ()) = tokio::join!(client.get("/wait"), async {
            assert_eq!(running.event().await, "waiting");
            running.shutdown.cancel();
            let refused = async { while TcpStream::connect(running.address).await.is_ok() {} };
            timeout(PATIENCE, refused).await.expect("the listener closes");
            running.gate.add_permits(1);
        });
        assert_eq!(response.unwrap(), ok("waited"));
        assert_eq!(running.served().await, Served::Drained);
    }
}

#[tokio::test]
async fn requests_that_outlast_the_grace_period_are_dropped() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut running = start(limits(), None, SHORT).await;
        let mut client = match version {
            Version::HTTP_2 => running.http2().await,
            _ => running.http1().await,
        };
        let (response, ()) = tokio::join!(client.get("/wait"), async {
            assert_eq!(running.event().await, "waiting");
            running.shutdown.cancel();
            assert_eq!(running.event().await, "dropped");
        });
        assert!(response.is_err());
        assert!(matches!(running.served().await, Served::CutOff(1 | 2)));
    }
}

#[tokio::test]
async fn half_a_request_does_not_hold_up_the_shutdown() {
    let limits = HttpLimits { header_timeout: SHORT, ..limits() };
    let running = start(limits, None, PATIENCE).await;
    let mut stream = running.tcp().await;
    stream.write_all(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\nGET /y HTT").await.unwrap();
    let mut first = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut first)).await.unwrap().unwrap();
    running.shutdown.cancel();
    assert_eq!(running.served().await, Served::Drained);
}

#[tokio::test]
async fn dropping_the_server_drops_its_connections() {
    let mut running = start_plain().await;
    let mut client = running.http1().await;
    let (response, ()) = tokio::join!(client.get("/wait"), async {
        assert_eq!(running.event().await, "waiting");
        running.served.abort_all();
        assert_eq!(running.event().await, "dropped");
    });
    assert!(response.is_err());
}

#[tokio::test]
async fn an_address_may_be_only_a_port() {
    let listener = bind(":0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.ip().is_unspecified());
    TcpStream::connect(("127.0.0.1", address.port())).await.unwrap();
    assert_eq!(bind(":http").await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(bind(&address.to_string()).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}
