//! Startup and authentication.

use md5::{Digest, Md5};
use pgwire_replication::auth::ScramClient;
use pgwire_replication::protocol::framing::{MessageReader, write_password_message, write_startup_message};
use pgwire_replication::protocol::messages::{auth, parse_auth_request};

use super::config::Config;
use super::error::{ServerError, TransportError};
use super::socket::Socket;

/// Protocol 3.0.
const PROTOCOL: i32 = 196_608;
/// Largest message before authentication, in bytes: nothing is known about who sends it.
const MESSAGE_BYTES: usize = 16 * 1024;
/// Messages before the server is ready; it sends some twenty.
const MESSAGES: usize = 1000;
/// Most rounds of hashing a server may ask for. PostgreSQL's default is 4,096; at this bound it takes about a second.
const SCRAM_ROUNDS: u32 = 1_000_000;
const MECHANISM: &str = "SCRAM-SHA-256";

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Commands of replication, and statements. Needs a role that may replicate, and takes one of `max_wal_senders`.
    Replication,
    /// Statements alone.
    Queries,
}

/// Where an authentication stands.
enum Progress {
    Nothing,
    /// The server has proved that it knows the password.
    Proven,
    Done,
}

/// Brings a fresh socket to where it takes commands.
pub(super) async fn log_in(
    socket: &mut Socket,
    config: &Config,
    purpose: Purpose,
) -> Result<(), TransportError> {
    let options = config.startup_options();
    let replication = match purpose {
        Purpose::Replication => "database",
        Purpose::Queries => "false",
    };
    let parameters = [
        ("user", config.user.as_str()),
        ("database", config.database.as_str()),
        ("replication", replication),
        ("client_encoding", "UTF8"),
        ("application_name", config.application_name.as_str()),
        ("options", options.as_str()),
    ];
    write_startup_message(socket, PROTOCOL, &parameters).await?;
    let mut reader = MessageReader::new().with_max_message_size(MESSAGE_BYTES);
    let mut progress = Progress::Nothing;
    for _ in 0..MESSAGES {
        let message = reader.read(socket).await?;
        match message.tag {
            b'R' => progress = answer(socket, &mut reader, config, progress, &message.payload).await?,
            b'E' => {
                let source = ServerError::parse(&message.payload);
                return Err(TransportError::Server { what: "the connection", source });
            }
            // Parameters, the key for cancelling, notices.
            b'S' | b'K' | b'N' => {}
            b'Z' => {
                return match progress {
                    Progress::Done => Ok(()),
                    Progress::Nothing | Progress::Proven => {
                        Err(TransportError::Protocol("ready before authentication was complete"))
                    }
                };
            }
            _ => return Err(TransportError::Protocol("an unknown message during authentication")),
        }
    }
    Err(TransportError::Protocol("too many messages during authentication"))
}

async fn answer(
    socket: &mut Socket,
    reader: &mut MessageReader,
    config: &Config,
    progress: Progress,
    payload: &[u8],
) -> Result<Progress, TransportError> {
    let (kind, data) = parse_auth_request(payload)?;
    match (kind, progress) {
        (auth::OK, Progress::Nothing | Progress::Proven) => Ok(Progress::Done),
        // As libpq does; who does not want that asks for TLS, and for scram-sha-256 in pg_hba.conf.
        (auth::CLEARTEXT_PASSWORD, Progress::Nothing) => {
            let password = [config.password.as_bytes(), b"\0"].concat();
            write_password_message(socket, &password).await?;
            Ok(Progress::Nothing)
        }
        (auth::MD5_PASSWORD, Progress::Nothing) => {
            let password = [md5_password(config, data).as_bytes(), b"\0"].concat();
            write_password_message(socket, &password).await?;
            Ok(Progress::Nothing)
        }
        (auth::SASL, Progress::Nothing) => {
            scram(socket, reader, config, data).await?;
            Ok(Progress::Proven)
        }
        _ => Err(TransportError::Auth(format!(
            "the server's method {kind} is not supported; use scram-sha-256"
        ))),
    }
}

/// `md5` and the digest of the digest of password and user, and the salt.
fn md5_password(config: &Config, salt: &[u8]) -> String {
    let hex = |parts: [&[u8]; 2]| -> String {
        let digest = Md5::digest(parts.concat());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let inner = hex([config.password.as_bytes(), config.user.as_bytes()]);
    format!("md5{}", hex([inner.as_bytes(), salt]))
}

async fn scram(
    socket: &mut Socket,
    reader: &mut MessageReader,
    config: &Config,
    mechanisms: &[u8],
) -> Result<(), TransportError> {
    let offered = mechanisms.split(|byte| *byte == 0).any(|name| name == MECHANISM.as_bytes());
    if !offered {
        return Err(TransportError::Auth(format!("the server does not offer {MECHANISM}")));
    }
    let client = ScramClient::new(&config.user);
    let first = client.client_first.as_bytes();
    let length =
        i32::try_from(first.len()).map_err(|_| TransportError::Protocol("the user's name is too long"))?;
    let initial = [MECHANISM.as_bytes(), b"\0", &length.to_be_bytes(), first].concat();
    write_password_message(socket, &initial).await?;

    let challenge = sasl(socket, reader, auth::SASL_CONTINUE).await?;
    let (_, _, rounds) = ScramClient::parse_server_first(&challenge)?;
    if !(1..=SCRAM_ROUNDS).contains(&rounds) {
        return Err(TransportError::Auth(format!("the server asks for {rounds} rounds of hashing")));
    }
    let (proof, transcript, salted) = client.client_final(&config.password, &challenge)?;
    write_password_message(socket, proof.as_bytes()).await?;

    let verdict = sasl(socket, reader, auth::SASL_FINAL).await?;
    Ok(ScramClient::verify_server_final(&verdict, &salted, &transcript)?)
}

/// The server's next step, which must be `wanted`.
async fn sasl(
    socket: &mut Socket,
    reader: &mut MessageReader,
    wanted: i32,
) -> Result<String, TransportError> {
    let message = reader.read(socket).await?;
    match message.tag {
        b'R' => {
            let (kind, data) = parse_auth_request(&message.payload)?;
            if kind != wanted {
                return Err(TransportError::Protocol("SCRAM steps out of order"));
            }
            let text =
                std::str::from_utf8(data).map_err(|_| TransportError::Protocol("SCRAM text is not UTF-8"))?;
            Ok(text.to_owned())
        }
        b'E' => {
            let source = ServerError::parse(&message.payload);
            Err(TransportError::Server { what: "the password", source })
        }
        _ => Err(TransportError::Protocol("an unknown message during SCRAM")),
    }
}
