//! The byte stream under a connection: TCP, TLS over TCP, or a Unix socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pgwire_replication::protocol::framing::write_ssl_request;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{Config, Endpoint, TlsMode};
use super::error::TransportError;
use super::tls;

/// Reads and writes, and can be left alone for a while.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {
    /// Until the next read or write, nothing that arrives wakes anybody.
    ///
    /// # Errors
    /// If the operating system refuses; the connection is of no use then.
    fn rest(&mut self) -> io::Result<()>;
}

/// Any of them.
pub(super) type Socket = Box<dyn Duplex>;

/// A socket that can be taken off the runtime's list of what to watch.
///
/// A sleeping task does not stop the runtime from waking for each packet: it watches the socket whether or not somebody
/// waits for it. Behind a server that sends each row by itself, those wake-ups cost more than all the rest.
#[derive(Debug)]
enum Line<W: Watched> {
    Watched(W),
    Resting(W::Plain),
    /// Between the two, and after a failed change.
    Broken,
}

/// A socket of the runtime and its plain form.
trait Watched: AsyncRead + AsyncWrite + Unpin + Sized {
    type Plain;
    fn into_plain(self) -> io::Result<Self::Plain>;
    fn from_plain(plain: Self::Plain) -> io::Result<Self>;
}

impl Watched for TcpStream {
    type Plain = std::net::TcpStream;

    fn into_plain(self) -> io::Result<Self::Plain> {
        self.into_std()
    }

    fn from_plain(plain: Self::Plain) -> io::Result<Self> {
        TcpStream::from_std(plain)
    }
}

impl Watched for UnixStream {
    type Plain = std::os::unix::net::UnixStream;

    fn into_plain(self) -> io::Result<Self::Plain> {
        self.into_std()
    }

    fn from_plain(plain: Self::Plain) -> io::Result<Self> {
        UnixStream::from_std(plain)
    }
}

impl<W: Watched> Line<W> {
    fn rest(&mut self) -> io::Result<()> {
        match std::mem::replace(self, Self::Broken) {
            Self::Watched(socket) => *self = Self::Resting(socket.into_plain()?),
            other @ (Self::Resting(_) | Self::Broken) => *self = other,
        }
        Ok(())
    }

    /// The socket, watched again; what came meanwhile is found at once.
    fn watched(&mut self) -> io::Result<Pin<&mut W>> {
        match std::mem::replace(self, Self::Broken) {
            Self::Resting(plain) => *self = Self::Watched(W::from_plain(plain)?),
            other @ (Self::Watched(_) | Self::Broken) => *self = other,
        }
        match self {
            Self::Watched(socket) => Ok(Pin::new(socket)),
            Self::Resting(_) | Self::Broken => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl<W: Watched> AsyncRead for Line<W>
where
    Self: Unpin,
{
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().watched()?.poll_read(cx, buf)
    }
}

impl<W: Watched> AsyncWrite for Line<W>
where
    Self: Unpin,
{
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().watched()?.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().watched()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().watched()?.poll_shutdown(cx)
    }
}

impl Duplex for Line<TcpStream> {
    fn rest(&mut self) -> io::Result<()> {
        Line::rest(self)
    }
}

impl Duplex for Line<UnixStream> {
    fn rest(&mut self) -> io::Result<()> {
        Line::rest(self)
    }
}

impl Duplex for TlsStream<Line<TcpStream>> {
    fn rest(&mut self) -> io::Result<()> {
        self.get_mut().0.rest()
    }
}

/// For tests.
#[cfg(test)]
impl Duplex for tokio::io::DuplexStream {
    fn rest(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) async fn open(config: &Config) -> Result<Socket, TransportError> {
    match &config.endpoint {
        Endpoint::Socket(path) => Ok(Box::new(Line::Watched(UnixStream::connect(path).await?))),
        Endpoint::Tcp { host, port } => {
            let socket = Line::Watched(connect(host, *port).await?);
            match config.tls {
                TlsMode::Disable => Ok(Box::new(socket)),
                TlsMode::Prefer | TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
                    upgrade(config, host, socket).await
                }
            }
        }
    }
}

/// A server that answers within this is near, as on the same machine or network.
const NEAR: Duration = Duration::from_millis(5);
/// Receive buffer for a near server, in bytes; as much as Linux allows by default. Left to itself the kernel lets it grow to
/// megabytes, and a server that is let sends each row as a packet of its own, at twice the processor time. With less room,
/// rows pile up on its side and leave it together. Measured alike at 128 and 208 KiB; with 512 KiB every other run was
/// slow, with 1 MiB all, and with 32 KiB the server had to wait. For a far server, it is room that makes it fast.
const NEAR_RECEIVE_BYTES: usize = 208 * 1024;

/// Asks whether the other machine is still there. A server may have nothing to say for long, so only this tells.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(10))
    .with_interval(Duration::from_secs(5))
    .with_retries(3);
/// Longest time that what we have sent may stay without the other machine's receipt.
const UNANSWERED: Duration = Duration::from_secs(30);

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host((host, port)).await? {
        let begun = Instant::now();
        match TcpStream::connect(address).await {
            Ok(socket) => {
                // A status of a few bytes must not wait for the answer to the one before.
                socket.set_nodelay(true)?;
                SockRef::from(&socket).set_tcp_keepalive(&KEEPALIVE)?;
                SockRef::from(&socket).set_tcp_user_timeout(Some(UNANSWERED))?;
                if begun.elapsed() < NEAR {
                    SockRef::from(&socket).set_recv_buffer_size(NEAR_RECEIVE_BYTES)?;
                }
                return Ok(socket);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn upgrade(config: &Config, host: &str, mut socket: Line<TcpStream>) -> Result<Socket, TransportError> {
    let tls = tls::client_config(config)?;
    write_ssl_request(&mut socket).await?;
    // One byte and no more: what follows in the clear could be an attacker's, put before the encrypted part.
    let mut answer = [0];
    socket.read_exact(&mut answer).await?;
    match (answer[0], config.tls) {
        (b'S', _) => {}
        (b'N', TlsMode::Prefer) => return Ok(Box::new(socket)),
        (b'N', _) => return Err(TransportError::NoTls),
        _ => return Err(TransportError::Protocol("expected S or N in answer to the request for TLS")),
    }
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| TransportError::Protocol("the host's name cannot be used with TLS"))?;
    let stream = TlsConnector::from(tls).connect(name, socket).await.map_err(TransportError::Tls)?;
    Ok(Box::new(stream))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_rested_socket_finds_what_came_meanwhile() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            let mut line: Socket = Box::new(Line::Watched(ours));
            let mut byte = [0];
            for round in 0..20 {
                line.rest().unwrap();
                line.rest().unwrap();
                server.write_all(&[round]).await.unwrap();
                line.read_exact(&mut byte).await.unwrap();
                assert_eq!(byte, [round]);
                // Nothing has come: the read waits, and is dropped.
                line.rest().unwrap();
                let short = Duration::from_millis(1);
                assert!(tokio::time::timeout(short, line.read(&mut byte)).await.is_err());
            }
            line.rest().unwrap();
            line.write_all(b"x").await.unwrap();
            server.read_exact(&mut byte).await.unwrap();
            assert_eq!(&byte, b"x");
        });
    }
}
