//! How tokens are made: the command `make-jwt`, and the quickstart of the security page.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tests::harness::process::Service;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;

use crate::posting::{SOON, body, row};
use crate::tokens::{CLAIM, Door, Key, Kind, P256, make, now, openssl};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("auth_make_jwt_says_what_is_wrong", &[Need::Postgres], make_jwt),
        scenario("auth_the_documented_quickstart_works", &[Need::Postgres], quickstart),
    ]
}

async fn make_jwt(ctx: Ctx) -> Result<()> {
    let key = Key::make(&ctx, "ec", P256)?;
    let weak = Key::make(&ctx, "weak", Kind::Rsa(1_024))?;
    let file = |key: &Key| key.file.to_str().map(str::to_owned).context("path");
    let (key, weak) = (file(&key)?, file(&weak)?);
    let locked = format!("{key}.locked");
    openssl(&["ec", "-in", &key, "-aes256", "-passout", "pass:x", "-out", &locked])?;
    let public = format!("{key}.pub");
    openssl(&["ec", "-in", &key, "-pubout", "-out", &public])?;
    let program = Service::new("cdc-webhook").path()?;
    for (args, words) in [
        (vec!["-k", &key], "--allow"),
        (vec!["-a", "a.b"], "--key"),
        (vec!["-k", "/nowhere", "-a", "a.b"], "/nowhere"),
        (vec!["-k", &public, "-a", "a.b"], "no private key"),
        (vec!["-k", &weak, "-a", "a.b"], "2048"),
        (vec!["-k", &locked, "-a", "a.b"], "encrypted"),
        (vec!["-k", "/dev/zero", "-a", "a.b"], "no private key"),
        (vec!["-k", &key, "-a", "a"], "DATABASE.SCHEMA"),
        (vec!["-k", &key, "-a", "a.b.c"], "DATABASE.SCHEMA"),
        (vec!["-k", &key, "-a", "\"a.b"], "DATABASE.SCHEMA"),
        (vec!["-k", &key, "-a", "a.b,"], "DATABASE.SCHEMA"),
        (vec!["-k", &key, "-a", "a.b", "--expires=soon"], "30d"),
        (vec!["-k", &key, "-a", "a.b", "-o", "/nowhere/out"], "/nowhere/out"),
    ] {
        let output = std::process::Command::new(&program).arg("make-jwt").args(&args).output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2) && text.contains(words), "{args:?}: {output:?}");
        ensure!(output.stdout.is_empty(), "{args:?}: {output:?}");
    }
    let schemas = |token: &str| -> Result<Value> {
        let claims = token.trim_end().split('.').nth(1).context("no claims")?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        ensure!(
            claims["iss"] == "cdc-sink" && claims["jti"].as_str().is_some_and(|id| id.len() == 36),
            "{claims}"
        );
        Ok(claims)
    };
    let made = make(&["-k", &key, "-a", "a.b,C.*", "-a", r#""My.Db".public"#, "--expires", "2d"])?;
    ensure!(made.ends_with('\n') && made.lines().count() == 1, "{made:?}");
    let claims = schemas(&made)?;
    ensure!(claims[CLAIM]["schemas"] == json!([["a", "b"], ["C", "*"], ["My.Db", "public"]]), "{claims}");
    let left = claims["exp"].as_u64().context("no exp")? - now();
    ensure!((172_700..=172_800).contains(&left), "{left}");
    ensure!(schemas(&make(&["-k", &key, "-a", "a.b"])?)?["jti"] != claims["jti"], "two tokens of one id");
    let out = ctx.folder().join("out.jwt");
    std::fs::write(&out, "x".repeat(5_000))?;
    let path = out.to_str().context("path")?;
    ensure!(make(&["-k", &key, "-a", "a.b", "-o", path])?.is_empty(), "it is printed as well");
    let text = std::fs::read_to_string(&out)?;
    ensure!(text.split('.').count() == 3 && !text.contains(['\n', 'x']) || schemas(&text).is_ok(), "{text}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&out)?.permissions());
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let claim = make(&["-a", "database.schema", "--claim"])?;
    let id = serde_json::from_str::<Value>(&claim)?["jti"].as_str().context("no jti")?.to_owned();
    let document = include_str!("../../docs/security.md");
    ensure!(
        document.contains("make-jwt -a 'database.schema' --claim"),
        "the document prints another command"
    );
    let expected = format!(
        "{{\n  \"iss\": \"cdc-sink\",\n  \"jti\": \"{id}\",\n  \"{CLAIM}\": {{\n    \"schemas\": [\n      [\n        \
         \"database\",\n        \"schema\"\n      ]\n    ]\n  }}\n}}\n"
    );
    ensure!(claim == expected, "{claim}");
    Ok(())
}

/// Runs the quickstart of the document line by line. Two words are another's: the SQL goes to the scenario's PostgreSQL,
/// where the statement means the same, and the signal to the scenario's process alone.
async fn quickstart(ctx: Ctx) -> Result<()> {
    let document = include_str!("../../docs/security.md");
    let from = document.split("### Quickstart").nth(1).context("no quickstart")?;
    let steps =
        from.split("```bash\n").nth(1).and_then(|rest| rest.split("```").next()).context("no commands")?;
    let mut sql = ctx.target().connect().await?;
    for statement in ["DROP DATABASE IF EXISTS ycsb WITH (FORCE)", "CREATE DATABASE ycsb"] {
        sqlx::query(statement).execute(&mut sql).await?;
    }
    let mut door = Door::start(&ctx, &[]).await?;
    let folder = ctx.folder().to_owned();
    let programs = Service::new("cdc-webhook").path()?;
    let programs = programs.parent().and_then(|folder| folder.to_str()).context("path")?.to_owned();
    let shell = |line: &str| -> Result<String> {
        let path = format!("{programs}:{}", std::env::var("PATH")?);
        let mut command = std::process::Command::new("/bin/sh");
        let output = command.args(["-c", line]).current_dir(&folder).env("PATH", path).output()?;
        ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let mut done = 0;
    for line in steps.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(statement) = line.strip_prefix("cockroach sql -e ") {
            let statement = shell(&format!("printf %s {statement}"))?;
            door.feed.execute(&statement).await?;
        } else if line == "killall -HUP cdc-webhook" {
            door.reload().await?;
        } else {
            shell(line)?;
        }
        done += 1;
    }
    ensure!(done == 5, "{done} steps");
    let token = std::fs::read_to_string(ctx.folder().join("out.jwt"))?;
    // The feed that the document creates.
    let home = std::mem::replace(&mut door.feed.database, "ycsb".into());
    let url = ctx.target().url().replace(&format!("/{home}"), "/ycsb");
    let ddl = "CREATE TABLE usertable (ycsb_key text PRIMARY KEY, field0 text)";
    let mut there = PgConnection::connect(&url).await?;
    sqlx::query(ddl).execute(&mut there).await?;
    let time = door.feed.now();
    let one = row("usertable", &time, r#"["a"]"#, Some(r#"{"ycsb_key":"a","field0":"b"}"#), None);
    let mark = door.feed.tick();
    let header = format!("Bearer {token}");
    for (path, expected) in [("/ycsb/public", StatusCode::OK), ("/ycsb/private", StatusCode::UNAUTHORIZED)] {
        for content in [body(std::slice::from_ref(&one)), format!(r#"{{"resolved":"{mark}"}}"#)] {
            let (status, text) = door.feed.client.post(path, &[("authorization", &header)], content).await?;
            ensure!(status == expected, "{path}: {status} {}", String::from_utf8_lossy(&text));
        }
    }
    eventually(SOON, "the row", async || {
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM usertable").fetch_one(&mut there).await?;
        ensure!(found == 1, "{found} rows");
        Ok(())
    })
    .await?;
    door.feed.service.kill9().await?;
    there.close().await?;
    sqlx::query("DROP DATABASE ycsb WITH (FORCE)").execute(&mut sql).await?;
    Ok(())
}
