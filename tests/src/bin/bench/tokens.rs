//! What looking at tokens costs: staging small requests with a token on each, against the same process that asks for
//! none.

use anyhow::{Context, Result, ensure};
use rcgen::KeyPair;
use source_webhook::auth::claims::NewClaims;
use source_webhook::auth::signing::SigningKey;

use crate::context::{Bench, DATABASE, PATH, Side, number, rate};
use crate::figure::{Figure, Target};
use crate::load::{self, Request};
use crate::rows::{Body, NARROW, Row, Times, random};

/// Small, so that there are many tokens for the rows.
const BATCH_ROWS: usize = 25;
const CONNECTIONS: usize = 4;

struct Key {
    public: String,
    token: String,
}

impl Key {
    /// A P-256 key, the kind that the documents make, and a token for the schema.
    fn new() -> Result<Key> {
        let pair = KeyPair::generate().context("no key")?;
        let claims = NewClaims::new(vec![[DATABASE.to_owned(), "public".to_owned()]], None);
        let signing = SigningKey::from_pem(pair.serialize_pem().as_bytes())?;
        Ok(Key { public: pair.public_key_pem(), token: signing.sign(&serde_json::to_vec(&claims)?)? })
    }
}

/// See the module.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let key = Key::new()?;
    let (mut rng, mut times, mut body) = (random(), Times::begin()?, Body::new());
    let mut requests = Vec::new();
    for id in 0..i64::try_from(bench.size(300_000, 50_000))? {
        body.push("t", id, &Row::random(&mut rng, id).json(), times.tick());
        if body.rows() == BATCH_ROWS {
            requests.push(body.take(PATH));
        }
    }
    let with_token: Vec<Request> = requests
        .iter()
        .map(|request| request.with_header("Authorization", &format!("Bearer {}", key.token)))
        .collect();
    let pairs = bench
        .pairs(async |side| match side {
            Side::Ours => staged(bench, &with_token, Some(&key.public)).await,
            Side::Rival => staged(bench, &requests, None).await,
        })
        .await?;
    let figure =
        Figure::ratio("with tokens : without", "--disableAuthentication", &pairs, Target::AtLeast(0.95));
    Ok(vec![figure.note(format!(
        "{} narrow rows, {BATCH_ROWS} per request over {CONNECTIONS} connections, a token of ES256 on each",
        requests.len() * BATCH_ROWS
    ))])
}

/// Rows staged per second.
async fn staged(bench: &Bench, requests: &[Request], key: Option<&str>) -> Result<f64> {
    let database = bench.database(&format!("CREATE TABLE t {NARROW}")).await?;
    if let Some(key) = key {
        let sql = format!(
            "CREATE SCHEMA _cdc_sink; CREATE TABLE _cdc_sink.jwt_public_keys (id uuid PRIMARY KEY DEFAULT \
             gen_random_uuid(), public_key text NOT NULL, active bool NOT NULL DEFAULT true); \
             INSERT INTO _cdc_sink.jwt_public_keys (public_key) VALUES ('{key}')"
        );
        database.execute(&sql).await?;
    }
    let service = bench.service_with("tokens", key.is_none(), &[]).await?;
    let address = service.address();
    let (first, rest) = requests.split_first().context("nothing to send")?;
    // The staging table is made on first use, and the keys are read.
    tokio::task::block_in_place(|| load::send_one(address, first))?;
    let (took, again) = tokio::task::block_in_place(|| load::send_all(address, rest, CONNECTIONS))?;
    let mut connection = database.connect().await?;
    let table: String = sqlx::query_scalar("SELECT staging_table FROM _cdc_sink.staged_tables")
        .fetch_one(&mut connection)
        .await?;
    let stored = number(&mut connection, &format!("SELECT count(*) FROM _cdc_sink.\"{table}\"")).await?;
    ensure!(usize::try_from(stored)? == requests.len() * BATCH_ROWS, "{stored} rows were staged");
    sqlx::Connection::close(connection).await?;
    // A token without an end is warned of once.
    let announced: &[&str] = if again > 0 { &["a delivery was refused", "exp"] } else { &["exp"] };
    bench.end(service, announced).await?;
    Ok(rate(rest.len() * BATCH_ROWS, took))
}
