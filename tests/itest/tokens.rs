//! Keys and tokens made with the `openssl` program, which shares no code with the service.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use sink_core::clock::{Clock as _, SystemClock};
use tests::harness::Signal;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::Ctx;
use tests::harness::wait::eventually;

use crate::posting::{Feed, SOON};

/// The claim that names schemas.
pub(crate) const CLAIM: &str = "https://github.com/cockroachdb/cdc-sink";

/// What a key is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The curve by OpenSSL's name, and the bytes of a coordinate.
    Ec(&'static str, usize),
    /// Bits.
    Rsa(u32),
}

pub(crate) const P256: Kind = Kind::Ec("prime256v1", 32);
pub(crate) const P384: Kind = Kind::Ec("secp384r1", 48);
pub(crate) const P521: Kind = Kind::Ec("secp521r1", 66);
pub(crate) const RSA: Kind = Kind::Rsa(2_048);

/// A private key in a file.
pub(crate) struct Key {
    pub(crate) file: PathBuf,
    kind: Kind,
}

/// Runs `openssl` and answers what it prints.
pub(crate) fn openssl(args: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("openssl").args(args).stdin(Stdio::null()).output();
    let output = output.context("these scenarios need the program openssl")?;
    ensure!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the folder's name is not text")
}

impl Key {
    /// Makes a key.
    pub(crate) fn make(ctx: &Ctx, name: &str, kind: Kind) -> Result<Key> {
        let file = ctx.folder().join(format!("{name}.key"));
        match kind {
            Kind::Ec(curve, _) => {
                openssl(&["ecparam", "-genkey", "-name", curve, "-out", text(&file)?])?;
            }
            Kind::Rsa(bits) => {
                openssl(&["genrsa", "-out", text(&file)?, &bits.to_string()])?;
            }
        }
        Ok(Key { file, kind })
    }

    /// The public half.
    pub(crate) fn public(&self) -> Result<String> {
        Ok(String::from_utf8(openssl(&["pkey", "-in", text(&self.file)?, "-pubout"])?)?)
    }

    /// The usual algorithm of the key.
    pub(crate) fn alg(&self) -> &'static str {
        match self.kind {
            P256 => "ES256",
            P384 => "ES384",
            Kind::Ec(..) => "ES512",
            Kind::Rsa(_) => "RS256",
        }
    }

    /// A token as it should be.
    pub(crate) fn token(&self, claims: &Value) -> Result<String> {
        self.sign(&json!({ "alg": self.alg(), "typ": "JWT" }), claims)
    }

    /// A token with any header; the digest is that of the header's algorithm, if it names one.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> Result<String> {
        let alg = header["alg"].as_str().unwrap_or_default();
        let digest = ["-sha384", "-sha512"].into_iter().find(|digest| alg.ends_with(&digest[4..]));
        let message = unsigned(header, claims);
        let file = self.file.with_extension("message");
        std::fs::write(&file, &message)?;
        let args = ["dgst", digest.unwrap_or("-sha256"), "-sign", text(&self.file)?, text(&file)?];
        let mut signature = openssl(&args)?;
        if let Kind::Ec(_, size) = self.kind {
            signature = fixed(&signature, size).context("openssl's signature is not two numbers")?;
        }
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The first two parts of a token.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// A token that anybody can make who knows the text of a public key.
pub(crate) fn hmac(ctx: &Ctx, secret: &str, claims: &Value) -> Result<String> {
    let message = unsigned(&json!({ "alg": "HS256", "typ": "JWT" }), claims);
    let file = ctx.folder().join("hmac.message");
    std::fs::write(&file, &message)?;
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("hexkey:{hex}");
    let tag = openssl(&["dgst", "-sha256", "-mac", "HMAC", "-macopt", &key, "-binary", text(&file)?])?;
    ensure!(tag.len() == 32, "that is no HMAC");
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag)))
}

/// From a sequence of two numbers to two numbers of fixed size (RFC 7518, 3.4).
fn fixed(der: &[u8], size: usize) -> Option<Vec<u8>> {
    // The length of the sequence takes two bytes if it is above 127.
    let mut rest = der.get(if der.get(1)? & 0x80 == 0 { 2 } else { 3 }..)?;
    let mut all = Vec::new();
    for _ in 0..2 {
        let length = usize::from(*rest.get(1)?);
        let number = rest.get(2..2 + length)?;
        let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
        all.resize(all.len() + size.checked_sub(number.len())?, 0);
        all.extend_from_slice(number);
        rest = &rest[2 + length..];
    }
    Some(all)
}

/// Runs `make-jwt`, which must succeed; answers what it prints.
pub(crate) fn make(args: &[&str]) -> Result<String> {
    let output = Command::new(Service::new("cdc-webhook").path()?).arg("make-jwt").args(args).output()?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemClock.wall().as_secs()
}

/// Claims for one hour and these schemas.
pub(crate) fn claims(id: &str, schemas: &[[&str; 2]]) -> Value {
    json!({ "jti": id, "exp": now() + 3_600, CLAIM: { "schemas": schemas } })
}

/// A service that wants tokens, and a client.
pub(crate) struct Door {
    pub(crate) feed: Feed,
    pub(crate) path: String,
}

impl Door {
    /// Starts the service.
    pub(crate) async fn start(ctx: &Ctx, flags: &[&str]) -> Result<Door> {
        let conn = format!("--conn={}", ctx.target().url());
        let service = Service::new("cdc-webhook").args([&*conn, "--stagingCreateSchema", "-v"]);
        let process = ServiceProcess::start(service.args(flags.iter().copied()), ctx.folder()).await?;
        let feed = Feed::of(ctx.target(), process).await?;
        Ok(Door { path: format!("/{}/public", feed.database), feed })
    }

    /// Claims for the schema that is knocked at.
    pub(crate) fn claims(&self, id: &str) -> Value {
        claims(id, &[[&self.feed.database, "public"]])
    }

    /// Stores a public key; answers its id. It counts after the next reload.
    pub(crate) async fn store(&mut self, public: &str) -> Result<String> {
        let public = public.replace('\'', "''");
        let sql = format!(
            "INSERT INTO _cdc_sink.jwt_public_keys (public_key) VALUES ('{public}') RETURNING id::text"
        );
        self.feed.value(&sql).await?.context("no id")
    }

    /// Makes a key and stores its public half, which counts at once.
    pub(crate) async fn new_key(&mut self, ctx: &Ctx, name: &str, kind: Kind) -> Result<Key> {
        let key = Key::make(ctx, name, kind)?;
        self.store(&key.public()?).await?;
        self.reload().await?;
        Ok(key)
    }

    /// Has the tables read again, and waits until they are.
    pub(crate) async fn reload(&mut self) -> Result<()> {
        let before = self.feed.metric("jwt_last_refresh_time", "").await?;
        self.feed.service.signal(Signal::Hup)?;
        eventually(SOON, "the keys to be read again", async || {
            let after = self.feed.metric("jwt_last_refresh_time", "").await?;
            ensure!(after > before, "still {after}");
            Ok(())
        })
        .await
    }

    /// Sends an empty request with these headers.
    pub(crate) async fn knock_with(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(StatusCode, String)> {
        let (status, text) = self.feed.client.post(path, headers, "").await?;
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Sends an empty request with a token.
    pub(crate) async fn knock(&mut self, token: &str) -> Result<StatusCode> {
        let path = self.path.clone();
        Ok(self.knock_with(&path, &[("authorization", &format!("Bearer {token}"))]).await?.0)
    }

    /// Sends a request with a token, which must be let in.
    pub(crate) async fn opens(&mut self, what: &str, token: &str) -> Result<()> {
        let status = self.knock(token).await?;
        ensure!(status == StatusCode::OK, "{what}: {status}");
        Ok(())
    }

    /// Sends a request with a token, which must be refused.
    pub(crate) async fn stays_shut(&mut self, what: &str, token: &str) -> Result<()> {
        let status = self.knock(token).await?;
        ensure!(status == StatusCode::UNAUTHORIZED, "{what}: {status}");
        Ok(())
    }

    /// Waits until `/_/readyz` says this of authentication.
    pub(crate) async fn shows(&mut self, member: &str, expected: Value) -> Result<()> {
        eventually(Duration::from_secs(30), "the state of the keys", async || {
            let state: Value = serde_json::from_str(&self.feed.readyz().await?.1)?;
            let found = &state["authentication"][member];
            ensure!(*found == expected, "{member} is {found}");
            Ok(())
        })
        .await
    }

    /// Lines of the log that contain a text.
    pub(crate) fn logged(&self, text: &str) -> Result<usize> {
        let log = std::fs::read_to_string(self.feed.service.log())?;
        Ok(log.lines().filter(|line| line.contains(text)).count())
    }
}
