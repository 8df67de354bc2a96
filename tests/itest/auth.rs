//! Who may write: keys, tokens and everything that is wrong with a token.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use tests::harness::http::Client;
use tests::harness::process::Service;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::posting::SOON;
use crate::tokens::{CLAIM, Door, Key, P256, RSA, claims, hmac, now, unsigned};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("auth_forged_tokens_are_refused", &[Need::Postgres], forged),
        scenario("auth_wrong_claims_are_refused", &[Need::Postgres], wrong_claims),
        scenario("auth_names_are_compared_exactly", &[Need::Postgres], names),
        scenario("auth_a_token_ends_on_an_open_connection", &[Need::Postgres], ends),
        scenario("auth_a_token_stands_in_the_header_or_the_url", &[Need::Postgres], places),
        scenario("auth_long_tokens_cost_nothing", &[Need::Postgres], long),
        scenario("auth_tokens_without_expiry_are_warned_of_or_refused", &[Need::Postgres], no_expiry),
    ]
}

async fn forged(ctx: Ctx) -> Result<()> {
    let mut door = Door::start(&ctx, &[]).await?;
    let key = door.new_key(&ctx, "ec", P256).await?;
    let rsa = door.new_key(&ctx, "rsa", RSA).await?;
    let attacker = Key::make(&ctx, "attacker", P256)?;
    let good = door.claims("good");
    let token = key.token(&good)?;
    let public = key.public()?;
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { anyhow::bail!("not three parts") };
    let none = |alg: &str| unsigned(&json!({ "alg": alg }), &good);
    let points_to_attacker = json!({
        "alg": "ES256", "kid": "attacker", "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/cert",
        "jwk": { "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode([1; 32]), "y": URL_SAFE_NO_PAD.encode([2; 32]) },
    });
    let mut more = good.clone();
    more[CLAIM]["schemas"] = json!([["*", "*"]]);
    let wider = URL_SAFE_NO_PAD.encode(more.to_string());
    let forgeries = [
        ("alg none, no signature", format!("{}.", none("none"))),
        ("alg none, a good signature", format!("{}.{signature}", none("none"))),
        ("alg None", format!("{}.", none("None"))),
        ("alg NONE", format!("{}.", none("nOnE"))),
        ("alg empty", format!("{}.", none(""))),
        ("no alg", format!("{}.{signature}", unsigned(&json!({ "typ": "JWT" }), &good))),
        ("HS256 with the public key as secret", hmac(&ctx, &public, &good)?),
        ("HS256, without the last line break", hmac(&ctx, public.trim_end(), &good)?),
        ("HS256 with the RSA key as secret", hmac(&ctx, &rsa.public()?, &good)?),
        ("an EC key under an RSA header", key.sign(&json!({ "alg": "RS256" }), &good)?),
        ("an RSA key under an EC header", rsa.sign(&json!({ "alg": "ES256" }), &good)?),
        ("an RSA key under a PSS header", rsa.sign(&json!({ "alg": "PS256" }), &good)?),
        ("the header of another curve", key.sign(&json!({ "alg": "ES384" }), &good)?),
        ("a key that is not stored", attacker.token(&good)?),
        ("a header that points to the attacker's key", attacker.sign(&points_to_attacker, &good)?),
        ("two parts", format!("{header}.{payload}")),
        ("no signature", format!("{header}.{payload}.")),
        ("a signature cut short", token[..token.len() - 10].to_owned()),
        ("five parts", format!("{token}.{payload}.{signature}")),
        ("four parts", format!("{token}.")),
        ("padding", format!("{token}=")),
        ("wider claims", format!("{header}.{wider}.{signature}")),
        (
            "another header",
            format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256" }"#)),
        ),
        ("a signature of zeros", format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 64]))),
        (
            "a header that is critical",
            key.sign(&json!({ "alg": "ES256", "crit": ["b64"], "b64": false }), &good)?,
        ),
        ("a header that is no object", key.sign(&json!(["ES256"]), &good)?),
        ("no token", String::new()),
        ("no base64", "ä.ö.ü".into()),
    ];
    let mut told = Vec::new();
    let path = door.path.clone();
    for (what, forgery) in &forgeries {
        let (status, text) =
            door.knock_with(&path, &[("authorization", &format!("Bearer {forgery}"))]).await?;
        ensure!(status == StatusCode::UNAUTHORIZED, "{what}: {status} {text}");
        told.push(text);
    }
    told.dedup();
    ensure!(told.len() == 1 && told[0].contains("make-jwt"), "answers tell refusals apart: {told:?}");
    door.opens("the good one", &token).await?;
    // The same header from who holds the key: what it points to does not matter.
    let token = key.sign(&points_to_attacker, &good)?;
    door.opens("kid, jku and jwk are ignored", &token).await
}

async fn wrong_claims(ctx: Ctx) -> Result<()> {
    let mut door = Door::start(&ctx, &[]).await?;
    let key = door.new_key(&ctx, "ec", P256).await?;
    let good = door.claims("good");
    let with = |member: &str, value: Value| {
        let mut claims = good.clone();
        claims[member] = value;
        claims
    };
    let without = |member: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().map(|members| members.remove(member));
        claims
    };
    let hour = 3_600;
    for (what, claims) in [
        ("expired", with("exp", (now() - hour).into())),
        ("expired just beyond the leeway", with("exp", (now() - 61).into())),
        ("expired in 1970", with("exp", 0.into())),
        ("exp as text", with("exp", (now() + hour).to_string().into())),
        ("exp null", with("exp", Value::Null)),
        ("not yet valid", with("nbf", (now() + hour).into())),
        ("issued in the future", with("iat", (now() + hour).into())),
        ("no jti", without("jti")),
        ("jti empty", with("jti", "".into())),
        ("jti null", with("jti", Value::Null)),
        ("jti a number", with("jti", 7.into())),
        ("jti too long", with("jti", "x".repeat(2_000).into())),
        ("no schemas", with(CLAIM, json!({}))),
        ("empty schemas", with(CLAIM, json!({ "schemas": [] }))),
        ("a claim that is no object", with(CLAIM, json!([[["*", "*"]]]))),
        ("schemas as text", with(CLAIM, json!({ "schemas": "*.*" }))),
        ("our claim is missing", without(CLAIM)),
        ("claims are no object", json!(["*", "*"])),
    ] {
        let token = key.token(&claims)?;
        door.stays_shut(what, &token).await?;
    }
    for (what, claims) in [
        ("within the leeway", with("exp", (now() - 30).into())),
        ("valid for an hour already", with("nbf", (now() - hour).into())),
        ("a fraction of a second", with("exp", json!(now() as f64 + 1_000.5))),
        ("anybody's iss and aud", with("aud", json!(["somebody else"]))),
        ("a jti as long as may be", with("jti", "x".repeat(1_024).into())),
    ] {
        let token = key.token(&claims)?;
        door.opens(what, &token).await?;
    }
    Ok(())
}

async fn names(ctx: Ctx) -> Result<()> {
    let mut door = Door::start(&ctx, &[]).await?;
    let key = door.new_key(&ctx, "ec", P256).await?;
    let database = door.feed.database.clone();
    let (upper, quoted) = (database.to_uppercase(), format!("\"{database}\""));
    let dotted = format!("{database}.public");
    let db = database.as_str();
    for grant in [[db, "other"], ["other", "public"], [db, "PUBLIC"], [&upper, "public"], [db, "\"public\""]]
        .into_iter()
        .chain([
            [&*quoted, "public"],
            [db, "public "],
            [db, ""],
            [db, "pub*"],
            [db, "**"],
            ["*", "other"],
            ["other", "*"],
        ])
        .chain([[&*dotted, "*"], ["public", db], ["%", "%"], ["_", "_"]])
    {
        let token = key.token(&claims("a", &[grant]))?;
        door.stays_shut(&format!("{grant:?}"), &token).await?;
    }
    for one_part in [json!([db]), json!([dotted]), json!(["*"]), json!([db, "public", "*"]), json!([])] {
        let token = key.token(&json!({ "jti": "a", CLAIM: { "schemas": [one_part] } }))?;
        door.stays_shut(&one_part.to_string(), &token).await?;
    }
    for grants in [
        vec![[db, "public"]],
        vec![["*", "public"]],
        vec![[db, "*"]],
        vec![["*", "*"]],
        vec![["x", "y"], [db, "public"]],
    ] {
        let token = key.token(&claims("a", &grants))?;
        door.opens(&format!("{grants:?}"), &token).await?;
    }
    // The later name of the claim; and the spelling of the path, which is decoded before it is compared.
    let token = key.token(&json!({
        "jti": "b", "https://github.com/cockroachdb/replicator": { "schemas": [[db, "public"]] },
    }))?;
    door.opens("the later name of the claim", &token).await?;
    let header = format!("Bearer {token}");
    for (path, expected) in [
        (format!("//{db}/%70ublic/"), StatusCode::OK),
        (format!("/{db}/PUBLIC"), StatusCode::UNAUTHORIZED),
        (format!("/{db}/%22public%22"), StatusCode::UNAUTHORIZED),
        (format!("/{upper}/public"), StatusCode::UNAUTHORIZED),
        (format!("/{db}/public%20"), StatusCode::UNAUTHORIZED),
        (format!("/{db}/*"), StatusCode::UNAUTHORIZED),
        ("/*/*".to_owned(), StatusCode::UNAUTHORIZED),
        (format!("/{db}/public%00"), StatusCode::NOT_FOUND),
        ("/_/unknown".to_owned(), StatusCode::NOT_FOUND),
    ] {
        let (status, _) = door.knock_with(&path, &[("authorization", &header)]).await?;
        ensure!(status == expected, "{path}: {status}");
    }
    Ok(())
}

async fn ends(ctx: Ctx) -> Result<()> {
    let mut door = Door::start(&ctx, &[]).await?;
    let key = door.new_key(&ctx, "ec", P256).await?;
    let path = door.path.clone();
    let address = door.feed.service.address();
    // Connections that never close: the harness's client makes a new one only if the old one is gone.
    let mut clients = [Client::connect(address).await?, Client::connect_h2(address).await?];
    let header = format!("Bearer {}", key.token(&door.claims("to be revoked"))?);
    let mut ask = async |expected: StatusCode| -> Result<()> {
        for client in &mut clients {
            let (status, _) = client.post(&path, &[("authorization", &header)], "").await?;
            ensure!(status == expected, "{status} instead of {expected}");
        }
        Ok(())
    };
    ask(StatusCode::OK).await?;
    ask(StatusCode::OK).await?;
    door.feed
        .execute("INSERT INTO _cdc_sink.jwt_revoked_ids VALUES ('to be revoked'), (repeat('x', 5000))")
        .await?;
    door.reload().await?;
    ask(StatusCode::UNAUTHORIZED).await?;
    let other = key.token(&door.claims("another"))?;
    door.opens("another token of the same key", &other).await?;
    door.feed.execute("DELETE FROM _cdc_sink.jwt_revoked_ids").await?;
    door.reload().await?;
    ask(StatusCode::OK).await?;
    door.feed.execute("DELETE FROM _cdc_sink.jwt_public_keys").await?;
    door.reload().await?;
    ask(StatusCode::UNAUTHORIZED).await?;

    // Time passes by itself, without any reload; 57 of the 60 seconds of leeway are over.
    let key = door.new_key(&ctx, "second", P256).await?;
    let mut claims = door.claims("ends soon");
    claims["exp"] = (now() - 57).into();
    let token = key.token(&claims)?;
    door.opens("not yet at its end", &token).await?;
    eventually(SOON, "the end of a token", async || door.stays_shut("at its end", &token).await).await
}

async fn places(ctx: Ctx) -> Result<()> {
    let mut door = Door::start(&ctx, &["--maxBodyBytes=1000000"]).await?;
    let key = door.new_key(&ctx, "ec", P256).await?;
    let token = key.token(&door.claims("a"))?;
    let path = door.path.clone();
    let (bearer, lower) = (format!("Bearer {token}"), format!("bearer {token}"));
    let encoded = token.replace('.', "%2E");
    let (ok, no) = (StatusCode::OK, StatusCode::UNAUTHORIZED);
    for (query, headers, expected) in [
        (String::new(), vec![&*bearer], ok),
        (String::new(), vec![&*lower], ok),
        (String::new(), vec![], no),
        (String::new(), vec![&*token], no),
        (String::new(), vec!["Bearer"], no),
        (String::new(), vec![&*bearer, "Bearer x"], no),
        (format!("?access_token={token}"), vec![], ok),
        (format!("?access_token={encoded}&immediate=false"), vec![], ok),
        (format!("?immediate=false&access_token={token}"), vec![], ok),
        (format!("?access_token={token}"), vec!["Basic dXNlcjpwYXNz"], no),
        (format!("?access_token={token}"), vec!["Bearer x"], no),
        ("?access_token=x".into(), vec![&*bearer], ok),
        (format!("?access_token=x&access_token={token}"), vec![], no),
        (format!("?ACCESS_TOKEN={token}"), vec![], no),
        (format!("?x=access_token={token}"), vec![], no),
        ("?access_token=%".into(), vec![], no),
        ("?access_token".into(), vec![], no),
    ] {
        let headers: Vec<_> = headers.iter().map(|value| ("authorization", *value)).collect();
        let (status, text) = door.knock_with(&format!("{path}{query}"), &headers).await?;
        ensure!(status == expected, "{query:?} {} headers: {status} {text}", headers.len());
    }
    // Paths are looked at first, so a stranger can tell what is no path; what a path stands for, he cannot.
    for (path, expected) in
        [("/a", StatusCode::NOT_FOUND), ("/_/x", StatusCode::NOT_FOUND), ("/nowhere/public", no)]
    {
        let (status, _) = door.knock_with(path, &[]).await?;
        ensure!(status == expected, "{path}: {status}");
    }
    let get = door.feed.client.get(&path).await?;
    ensure!(get.0 == no, "another method is told before the token is asked for: {get:?}");
    // Refused by the head alone: a body that never comes is not waited for, nor is one that is too long looked at.
    for length in ["1000", "900000000"] {
        let mut stream = TcpStream::connect(door.feed.service.address()).await?;
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = vec![0; 12];
        timeout(SOON, stream.read_exact(&mut answer)).await.context("no answer")??;
        ensure!(answer == b"HTTP/1.1 401", "{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

async fn long(ctx: Ctx) -> Result<()> {
    let mut door = Door::start(&ctx, &[]).await?;
    let key = door.new_key(&ctx, "ec", P256).await?;
    // Signed, and too long all the same.
    let mut padded = door.claims("a");
    padded["padding"] = "x".repeat(14_000).into();
    let token = key.token(&padded)?;
    ensure!(token.len() > 16 * 1_024, "{}", token.len());
    door.stays_shut("a token of more than 16 KiB", &token).await?;
    padded["padding"] = "x".repeat(11_000).into();
    let token = key.token(&padded)?;
    door.opens("a token of less", &token).await?;
    let before = door.feed.service.cpu_seconds()?;
    let huge = "A".repeat(1 << 20);
    let path = door.path.clone();
    for _ in 0..20 {
        for head in [
            format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {huge}\r\nContent-Length: 0\r\n\r\n"
            ),
            format!("POST {path}?access_token={huge} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
        ] {
            let mut stream = TcpStream::connect(door.feed.service.address()).await?;
            // The server may refuse before it has read everything, and then resets the connection.
            let _ = stream.write_all(head.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.context("it is kept open")?;
            let answer = String::from_utf8_lossy(&answer);
            let refused = ["", "HTTP/1.1 401", "HTTP/1.1 414", "HTTP/1.1 431"];
            ensure!(refused.contains(&answer.get(..12).unwrap_or("")), "{answer}");
        }
    }
    let used = door.feed.service.cpu_seconds()? - before;
    ensure!(used < 2.0, "40 tokens of a megabyte took {used} seconds");
    let mut h2 = Client::connect_h2(door.feed.service.address()).await?;
    let refused = h2.post(&path, &[("authorization", &format!("Bearer {huge}"))], "").await;
    ensure!(
        refused.as_ref().is_ok_and(|(status, _)| *status != StatusCode::OK) || refused.is_err(),
        "{refused:?}"
    );
    door.opens("a good token, after all that", &token).await
}

async fn no_expiry(ctx: Ctx) -> Result<()> {
    let mut door = Door::start(&ctx, &[]).await?;
    let key = door.new_key(&ctx, "ec", P256).await?;
    let endless = |id: &str| {
        let mut claims = door.claims(id);
        claims.as_object_mut().map(|members| members.remove("exp"));
        claims
    };
    let (one, two) = (endless("endless-one"), endless("endless-two"));
    let ending = key.token(&door.claims("ending"))?;
    for _ in 0..3 {
        // Another key makes what was verified before forgotten.
        door.new_key(&ctx, "more", P256).await?;
        for claims in [&one, &two] {
            let token = key.token(claims)?;
            door.opens("no expiry", &token).await?;
            door.opens("no expiry", &token).await?;
        }
        door.opens("an expiry", &ending).await?;
    }
    for (id, lines) in [("endless-one", 1), ("endless-two", 1), ("ending", 0)] {
        let found = door.logged(&format!("jti={id}"))?;
        ensure!(found == lines, "{id}: {found} warnings");
    }
    let plain = Service::new("cdc-webhook").args([format!("--conn={}", ctx.target().url())]);
    for (what, service) in [
        ("flag", plain.clone().args(["--jwtAllowNoExpiry=false"])),
        ("alias", plain.clone().args(["--jwt-allow-no-expiry=false"])),
        ("environment", plain.env("CDC_JWT_ALLOW_NO_EXPIRY", "false")),
    ] {
        door.feed.service.terminate(SOON).await?;
        door.feed.service.change(|_| service);
        door.feed.service.start_again().await?;
        let token = key.token(&one)?;
        door.stays_shut(what, &token).await?;
        door.opens(what, &ending).await?;
    }
    Ok(())
}
