//! Public keys: which can be used, where they are kept, and what happens when they cannot be read.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::harness::Signal;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;

use crate::posting::{Feed, SOON};
use crate::tokens::{Door, Key, Kind, P256, P384, P521, RSA, make, openssl};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("auth_every_kind_of_key_made_by_openssl_verifies", &[Need::Postgres], kinds),
        scenario("auth_a_bad_key_is_named_and_harms_no_other", &[Need::Postgres], bad_keys),
        scenario("auth_unreadable_keys_stay_and_emptied_ones_go", &[Need::Postgres], unreadable),
        scenario("auth_tables_of_the_original_are_used", &[Need::Postgres], original),
        scenario("auth_an_administrator_may_own_the_tables", &[Need::Postgres], administrator),
        scenario("auth_nobody_gets_in_before_the_tables_were_read", &[Need::Postgres], unreadable_at_start),
    ]
}

async fn kinds(ctx: Ctx) -> Result<()> {
    let mut door = Door::start(&ctx, &[]).await?;
    for (name, kind) in
        [("p256", P256), ("p384", P384), ("p521", P521), ("rsa", RSA), ("rsa4096", Kind::Rsa(4_096))]
    {
        let key = Key::make(&ctx, name, kind)?;
        let token = key.token(&door.claims(name))?;
        door.stays_shut(name, &token).await?;
        door.store(&key.public()?).await?;
        door.reload().await?;
        door.opens(name, &token).await?;
        // Our own tokens, with keys in all forms.
        let schema = format!("{}.public", door.feed.database);
        let (plain, pkcs8) = (key.file.to_str().context("path")?, key.file.with_extension("p8"));
        let pkcs8 = pkcs8.to_str().context("path")?;
        openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", plain, "-out", pkcs8])?;
        let mut forms = vec![plain, pkcs8];
        let pkcs1 = format!("{pkcs8}.p1");
        if matches!(kind, Kind::Rsa(_)) {
            openssl(&["rsa", "-traditional", "-in", plain, "-out", &pkcs1])?;
            forms.push(&pkcs1);
        }
        for form in forms {
            door.opens(form, make(&["-k", form, "-a", &schema, "--expires=1h"])?.trim_end()).await?;
        }
    }
    // An RSA key is good for all three.
    let key = door.new_key(&ctx, "more", RSA).await?;
    for alg in ["RS256", "RS384", "RS512"] {
        let token = key.sign(&json!({ "alg": alg }), &door.claims(alg))?;
        door.opens(alg, &token).await?;
    }
    Ok(())
}

async fn bad_keys(ctx: Ctx) -> Result<()> {
    let mut door = Door::start(&ctx, &[]).await?;
    ensure!(door.logged("there is no usable key in jwt_public_keys")? == 1, "nothing is said at the start");
    let weak = Key::make(&ctx, "weak", Kind::Rsa(1_024))?;
    let private = std::fs::read_to_string(Key::make(&ctx, "leaked", P256)?.file)?;
    let other = String::from_utf8(openssl(&["genpkey", "-algorithm", "ed25519"])?)?;
    std::fs::write(ctx.folder().join("ed"), other)?;
    let ed = ctx.folder().join("ed");
    let ed = openssl(&["pkey", "-in", ed.to_str().context("path")?, "-pubout"])?;
    let k1 = Key::make(&ctx, "k1", Kind::Ec("secp256k1", 32))?;
    let mut bad = Vec::new();
    for (text, reason) in [
        (weak.public()?, "1024 bits"),
        (private.clone(), "private key"),
        (String::from_utf8(ed)?, "neither an RSA key nor"),
        (k1.public()?, "neither an RSA key nor"),
        ("nonsense-canary".to_owned(), "BEGIN PUBLIC KEY"),
        (String::new(), "BEGIN PUBLIC KEY"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA".to_owned(), "BEGIN PUBLIC KEY"),
        ("x".repeat(100_000), "longer than"),
    ] {
        bad.push((door.store(&text).await?, reason));
    }
    let key = door.new_key(&ctx, "good", P256).await?;
    let token = key.token(&door.claims("a"))?;
    door.opens("beside bad keys", &token).await?;
    for key in [&weak, &k1] {
        let token = key.token(&door.claims("weak"))?;
        door.stays_shut("a key that is not taken", &token).await?;
    }
    door.shows("bad_keys", bad.len().into()).await?;
    door.reload().await?;
    door.reload().await?;
    let log = std::fs::read_to_string(door.feed.service.log())?;
    for (id, reason) in &bad {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(id.as_str())).collect();
        ensure!(lines.len() == 1 && lines[0].contains(reason), "{reason}: {lines:?}");
    }
    let secret = private.lines().nth(4).unwrap_or_default();
    ensure!(
        !log.contains("nonsense-canary") && secret.len() > 10 && !log.contains(secret),
        "the log tells a key"
    );
    // One that is switched off counts no more, nor does what it has signed before.
    door.feed
        .execute("UPDATE _cdc_sink.jwt_public_keys SET active = false WHERE public_key LIKE '%BEGIN%'")
        .await?;
    door.reload().await?;
    door.stays_shut("the key is not active", &token).await
}

async fn unreadable(ctx: Ctx) -> Result<()> {
    let mut door = Door::start(&ctx, &[]).await?;
    let key = door.new_key(&ctx, "ec", P256).await?;
    let (token, revoked) = (key.token(&door.claims("a"))?, key.token(&door.claims("b"))?);
    door.feed.execute("INSERT INTO _cdc_sink.jwt_revoked_ids VALUES ('b')").await?;
    door.reload().await?;
    for table in ["jwt_public_keys", "jwt_revoked_ids"] {
        door.feed.execute(&format!("ALTER TABLE _cdc_sink.{table} RENAME TO away")).await?;
        door.feed.service.signal(Signal::Hup)?;
        door.shows("last_refresh_failed", true.into()).await?;
        door.opens("keys known before", &token).await?;
        let fresh = key.token(&door.claims("fresh"))?;
        door.opens("a new token of a key known before", &fresh).await?;
        door.stays_shut("revoked before", &revoked).await?;
        door.feed.execute(&format!("ALTER TABLE _cdc_sink.away RENAME TO {table}")).await?;
        door.reload().await?;
        door.shows("last_refresh_failed", false.into()).await?;
    }
    ensure!(door.logged("those known stay in force")? == 2, "{}", door.feed.service.log_tail());
    door.feed.execute("DELETE FROM _cdc_sink.jwt_public_keys").await?;
    door.reload().await?;
    door.stays_shut("no key", &token).await?;
    door.shows("keys", 0.into()).await?;
    // Too many are as good as unreadable: some would be left out.
    let many = "INSERT INTO _cdc_sink.jwt_public_keys (public_key) SELECT 'x' FROM generate_series(1, 101)";
    door.feed.execute(many).await?;
    door.feed.service.signal(Signal::Hup)?;
    door.shows("last_refresh_failed", true.into()).await?;
    ensure!(door.logged("more than 100 active keys")? >= 1, "{}", door.feed.service.log_tail());
    Ok(())
}

async fn original(ctx: Ctx) -> Result<()> {
    let key = Key::make(&ctx, "ec", P256)?;
    let ddl = format!(
        "CREATE SCHEMA _cdc_sink;
         CREATE TABLE _cdc_sink.jwt_public_keys (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), public_key text NOT NULL);
         CREATE TABLE _cdc_sink.jwt_revoked_ids (id text PRIMARY KEY);
         INSERT INTO _cdc_sink.jwt_public_keys (public_key) VALUES ('{}');
         INSERT INTO _cdc_sink.jwt_revoked_ids VALUES ('gone');
         CREATE TABLE t (id int PRIMARY KEY)",
        key.public()?
    );
    ctx.target().execute(&ddl).await?;
    let mut door = Door::start(&ctx, &[]).await?;
    let token = key.token(&door.claims("a"))?;
    door.opens("the key of the original", &token).await?;
    let revoked = key.token(&door.claims("gone"))?;
    door.stays_shut("revoked with the original", &revoked).await?;
    // A whole feed with that token.
    door.feed.query = format!("?access_token={token}");
    door.feed.put("t", "[1]", r#"{"id": 1}"#);
    door.feed.settle().await?;
    door.feed.shows("SELECT * FROM t", "(1)").await
}

async fn administrator(ctx: Ctx) -> Result<()> {
    let key = Key::make(&ctx, "ec", P256)?;
    // The role of the document is the server's, not the database's; only this scenario uses it.
    let document = include_str!("../../docs/security.md");
    let ddl =
        document.split("```sql\n").find(|block| block.starts_with("CREATE TABLE _cdc_sink.jwt_public_keys"));
    let ddl =
        ddl.and_then(|block| block.split("```").next()).context("the document does not print the tables")?;
    let database = ctx.target().name();
    let prepare = "DO $$ BEGIN CREATE ROLE sink LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                   CREATE SCHEMA _cdc_sink; GRANT USAGE, CREATE ON SCHEMA _cdc_sink TO sink;";
    ctx.target().execute(&format!("{prepare} {ddl}")).await?;
    let url = ctx.target().url();
    let (scheme, rest) = url.split_once("://").context("no scheme")?;
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    let conn = format!("--conn={scheme}://sink@{host}");
    let service = Service::new("cdc-webhook").args([&*conn, "--stagingCreateSchema", "-v"]);
    let process = ServiceProcess::start(service, ctx.folder()).await?;
    let mut door = Door { feed: Feed::of(ctx.target(), process).await?, path: format!("/{database}/public") };
    door.store(&key.public()?).await?;
    door.reload().await?;
    let token = key.token(&door.claims("a"))?;
    door.opens("keys that belong to somebody else", &token).await?;
    door.feed.execute("SET ROLE sink").await?;
    ensure!(door.store("x").await.is_err(), "the process could let itself in");
    door.feed.execute("RESET ROLE").await?;
    door.feed.service.terminate(SOON).await?;
    ctx.target().execute("DROP OWNED BY sink; DROP ROLE sink").await
}

async fn unreadable_at_start(ctx: Ctx) -> Result<()> {
    let key = Key::make(&ctx, "ec", P256)?;
    ctx.target()
        .execute("CREATE SCHEMA _cdc_sink; CREATE TABLE _cdc_sink.jwt_revoked_ids (other int)")
        .await?;
    let mut door = Door::start(&ctx, &[]).await?;
    door.store(&key.public()?).await?;
    let token = key.token(&door.claims("a"))?;
    door.stays_shut("no table was read", &token).await?;
    ensure!(
        door.logged("cannot be read: every delivery is refused")? >= 1,
        "{}",
        door.feed.service.log_tail()
    );
    door.feed.execute("ALTER TABLE _cdc_sink.jwt_revoked_ids RENAME other TO id").await?;
    door.feed.execute("ALTER TABLE _cdc_sink.jwt_revoked_ids ALTER id TYPE text").await?;
    // By itself, without a signal.
    eventually(SOON, "the first read", async || door.opens("the tables are read", &token).await).await
}
