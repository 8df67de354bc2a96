//! A minimal HTTP client that keeps its connection, as a changefeed does.
//!
//! No redirects, no TLS, no retries: a test wants to see what happened.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longest wait for an answer unless told otherwise.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Which protocol to speak; there is no negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    /// Without TLS and without an upgrade: the client just begins.
    Http2,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A client with one connection. When the server closed it, the next request makes a new one.
pub struct Client {
    address: SocketAddr,
    version: Version,
    deadline: Duration,
    sender: Sender,
    // Moves the bytes of the connection; dropping it closes the connection.
    driver: JoinSet<()>,
}

impl Client {
    /// Connects with HTTP/1.1.
    ///
    /// # Errors
    ///
    /// Fails if nobody listens.
    pub async fn connect(address: SocketAddr) -> Result<Client> {
        Client::open(address, Version::Http1).await
    }

    /// Connects with HTTP/2 from the first byte (h2c).
    ///
    /// # Errors
    ///
    /// Fails if nobody listens.
    pub async fn connect_h2(address: SocketAddr) -> Result<Client> {
        Client::open(address, Version::Http2).await
    }

    async fn open(address: SocketAddr, version: Version) -> Result<Client> {
        let mut driver = JoinSet::new();
        let sender = dial(address, version, &mut driver).await?;
        Ok(Client { address, version, deadline: ANSWER_DEADLINE, sender, driver })
    }

    /// Changes how long a request may take.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Sends a body and returns status and body of the answer.
    ///
    /// # Errors
    ///
    /// Fails if the connection breaks or the deadline passes; the server may have acted.
    pub async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, Bytes)> {
        self.request(Method::POST, path, headers, body.into()).await
    }

    /// Asks for a path and returns status and body of the answer.
    ///
    /// # Errors
    ///
    /// As [`Client::post`].
    pub async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes)> {
        self.request(Method::GET, path, &[], Bytes::new()).await
    }

    /// Sends any request.
    ///
    /// # Errors
    ///
    /// As [`Client::post`].
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let what = format!("{method} {path}");
        let answer = timeout(self.deadline, self.exchange(method, path, headers, body)).await;
        match answer {
            Ok(answer) => answer.with_context(|| what),
            Err(_) => bail!("{what}: no answer within {:?}", self.deadline),
        }
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        self.make_ready().await?;
        let mut request = Request::builder().method(method);
        request = match self.version {
            // HTTP/2 has no Host header; the address travels in the URI.
            Version::Http2 => request.uri(format!("http://{}{path}", self.address)),
            Version::Http1 => request.uri(path).header(header::HOST, self.address.to_string()),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).context("not a valid request")?;
        let answer = match &mut self.sender {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        };
        let (head, body) = answer.context("no answer")?.into_parts();
        let body = body.collect().await.context("the answer broke off")?.to_bytes();
        Ok((head.status, body))
    }

    /// Makes a new connection if the old one is known to be closed; nothing was sent on it yet.
    async fn make_ready(&mut self) -> Result<()> {
        let ready = match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await,
            Sender::Http2(sender) => sender.ready().await,
        };
        if ready.is_err() {
            self.driver.shutdown().await;
            self.sender = dial(self.address, self.version, &mut self.driver).await?;
        }
        Ok(())
    }
}

async fn dial(address: SocketAddr, version: Version, driver: &mut JoinSet<()>) -> Result<Sender> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    // Requests are small and waited for one by one.
    stream.set_nodelay(true)?;
    let stream = TokioIo::new(stream);
    // How a connection ended is told by the request that needed it.
    Ok(match version {
        Version::Http1 => {
            let (sender, connection) = http1::handshake(stream).await.context("no HTTP/1.1")?;
            driver.spawn(async move { drop(connection.await) });
            Sender::Http1(sender)
        }
        Version::Http2 => {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), stream).await.context("no HTTP/2")?;
            driver.spawn(async move { drop(connection.await) });
            Sender::Http2(sender)
        }
    })
}

#[cfg(test)]
mod tests {
    use hyper::server::conn::http1 as server1;
    use hyper::service::service_fn;
    use hyper_util::server::conn::auto;
    use tokio::net::TcpListener;

    use super::*;

    type Request1 = hyper::Request<hyper::body::Incoming>;
    type Response1 = hyper::Response<Full<Bytes>>;

    /// Answers with version, a header and the body it got.
    async fn echo(request: Request1) -> Result<Response1> {
        let head = format!("{:?} {:?} ", request.version(), request.headers().get("x-test"));
        let body = request.into_body().collect().await?.to_bytes();
        Ok(hyper::Response::new(Full::new([head.as_bytes(), &body].concat().into())))
    }

    #[tokio::test]
    async fn both_protocols_keep_their_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // One connection each: a second one would wait forever.
            for _ in 0..2 {
                let (stream, _) = listener.accept().await.unwrap();
                let server = auto::Builder::new(TokioExecutor::new());
                server.serve_connection(TokioIo::new(stream), service_fn(echo)).await.unwrap();
            }
        });
        for (mut client, version) in [
            (Client::connect(address).await.unwrap(), "HTTP/1.1"),
            (Client::connect_h2(address).await.unwrap(), "HTTP/2.0"),
        ] {
            for body in ["one", "two"] {
                let (status, answer) = client.post("/a", &[("x-test", "7")], body).await.unwrap();
                assert_eq!(status, StatusCode::OK);
                assert_eq!(answer, format!("{version} Some(\"7\") {body}"));
            }
            drop(client);
        }
    }

    #[tokio::test]
    async fn a_connection_closed_by_the_server_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = Client::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            drop(listener.accept().await.unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            server1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo)).await.unwrap();
        });
        // Until the close is noticed the request may run into it.
        let answered = async || client.get("/").await;
        super::super::wait::eventually(Duration::from_secs(5), "an answer", answered).await.unwrap();
    }
}
