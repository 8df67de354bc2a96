//! The byte stream under a connection: TCP, TLS over TCP, or a Unix socket.

use pgwire_replication::protocol::framing::write_ssl_request;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::config::{Config, Endpoint, TlsMode};
use super::error::TransportError;
use super::tls;

/// Reads and writes.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Any of them.
pub(super) type Socket = Box<dyn Duplex>;

pub(super) async fn open(config: &Config) -> Result<Socket, TransportError> {
    match &config.endpoint {
        Endpoint::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Endpoint::Tcp { host, port } => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            // A status of a few bytes must not wait for the answer to the one before.
            socket.set_nodelay(true)?;
            match config.tls {
                TlsMode::Disable => Ok(Box::new(socket)),
                TlsMode::Prefer | TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
                    upgrade(config, host, socket).await
                }
            }
        }
    }
}

async fn upgrade(config: &Config, host: &str, mut socket: TcpStream) -> Result<Socket, TransportError> {
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
