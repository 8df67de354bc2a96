//! `make-jwt`: makes the token that a changefeed shows. Touches no database.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use sink_core::clock::{Clock as _, SystemClock};
use sink_service::duration;
use sink_service::exit::Exit;
use source_webhook::auth::claims::{NewClaims, WILDCARD};
use source_webhook::auth::signing::SigningKey;

use crate::Failed;
use crate::args::part;

/// Longest key file that is read, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 1 << 20;
/// Whoever has the token may write, so nobody else may read it.
const TOKEN_MODE: u32 = 0o600;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const EXAMPLES: &str = "\
Examples:
  Make a key pair, and a token that may write to the schema ycsb.public for a year:
    openssl ecparam -out ec.key -genkey -name prime256v1
    openssl ec -in ec.key -pubout -out ec.pub
    cdc-webhook make-jwt -k ec.key -a ycsb.public --expires 365d -o out.jwt

  Every schema of one database, and one more; names with dots or commas are quoted as in SQL:
    cdc-webhook make-jwt -k ec.key -a 'ycsb.*' -a '\"My.Db\".public'

  Only the claims, for another issuer of tokens to sign:
    cdc-webhook make-jwt -a ycsb.public --claim

The public key belongs into the table jwt_public_keys of the staging area. It is read within a
minute, or at once after SIGHUP. To revoke a token, insert its `jti` into jwt_revoked_ids.";

/// Flags of `make-jwt`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MakeJwtArgs {
    /// A schema that the token opens, as DATABASE.SCHEMA; again, or after a comma, for more. A * stands for any
    /// database or any schema. Names are compared with those in the feed's URL character by character.
    #[arg(short = 'a', long = "allow", value_name = "DATABASE.SCHEMA", required = true)]
    allow: Vec<String>,

    /// File with the private key in PEM form: EC (P-256, P-384, P-521) or RSA (2048 bits and more); PKCS #8, SEC 1 or
    /// PKCS #1. The key decides the algorithm: ES256, ES384, ES512 or RS256.
    #[arg(short = 'k', long = "key", value_name = "FILE", required_unless_present = "claim")]
    key: Option<PathBuf>,

    /// Do not sign; print the claims as JSON.
    #[arg(long)]
    claim: bool,

    /// How long the token is valid from now on, such as 30d or 12h. Without it the token never expires.
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires: Option<Duration>,

    /// Write to this file, which only its owner can read, instead of standard output.
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Makes the token.
pub(crate) fn make_jwt(args: &MakeJwtArgs) -> Result<Exit, Failed> {
    let usage = |error: anyhow::Error| (Exit::Usage, error);
    let schemas = args.allow.iter().map(|text| schemas(text)).collect::<Result<Vec<_>, _>>();
    let schemas = schemas.map_err(|error| usage(anyhow::anyhow!("--allow: {error}")))?.concat();
    let expires = args.expires.map(|lifetime| SystemClock.wall().saturating_add(lifetime).as_secs());
    let claims = NewClaims::new(schemas, expires);
    let text = match &args.key {
        Some(key) if !args.claim => {
            let key = read_key(key).with_context(|| format!("--key {}", key.display())).map_err(usage)?;
            let claims = serde_json::to_vec(&claims).map_err(|e| (Exit::Failure, e.into()))?;
            key.sign(&claims).map_err(|e| (Exit::Failure, e.into()))?
        }
        _ => serde_json::to_string_pretty(&claims).map_err(|e| (Exit::Failure, e.into()))?,
    };
    match &args.out {
        Some(path) => {
            write_file(path, &text).with_context(|| format!("--out {}", path.display())).map_err(usage)?
        }
        None => writeln!(std::io::stdout(), "{text}")
            .context("standard output")
            .map_err(|e| (Exit::Failure, e))?,
    }
    if args.expires.is_none() && !args.claim {
        eprintln!("note: this token never expires; --expires sets a limit");
    }
    Ok(Exit::Success)
}

fn read_key(path: &Path) -> anyhow::Result<SigningKey> {
    let mut text = Vec::new();
    let file = File::open(path).context("cannot open the file")?;
    file.take(MAX_KEY_FILE_BYTES).read_to_end(&mut text).context("cannot read the file")?;
    Ok(SigningKey::from_pem(&text)?)
}

fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(TOKEN_MODE).open(path)?;
    // A file that was there before keeps its mode otherwise.
    file.set_permissions(Permissions::from_mode(TOKEN_MODE))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// One or several `database.schema`, separated by commas.
fn schemas(text: &str) -> Result<Vec<[String; 2]>, String> {
    let wrong = || format!("{text:?} is not of the form DATABASE.SCHEMA");
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let (database, after) = name(rest).ok_or_else(wrong)?;
        let (schema, after) = name(after.strip_prefix('.').ok_or_else(wrong)?).ok_or_else(wrong)?;
        found.push([database, schema]);
        match after.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if after.is_empty() => return Ok(found),
            None => return Err(wrong()),
        }
    }
}

/// One name and what follows it. A quoted star would open everything instead of what is called so.
fn name(text: &str) -> Option<(String, &str)> {
    let (name, rest) = part(text, &['.', ','])?;
    let quoted_star = text.starts_with('"') && name == WILDCARD;
    if name.is_empty() || name.contains('\0') || quoted_star { None } else { Some((name, rest)) }
}

/// A duration that may be in days.
fn lifetime(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let lifetime = match days {
        Some(days) => DAY.checked_mul(days).ok_or("too long")?,
        None => duration::parse(text).map_err(|_| "expected a duration such as 30d, 12h or 90m")?,
    };
    if lifetime < Duration::from_secs(1) {
        Err("the token would never be valid".into())
    } else {
        Ok(lifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_read_as_in_sql_and_separated_by_commas() {
        let parsed =
            |text| schemas(text).map(|all| all.iter().map(|pair| pair.join("|")).collect::<Vec<_>>());
        assert_eq!(parsed("ycsb.public").unwrap(), ["ycsb|public"]);
        assert_eq!(parsed("a.b,c.d, E.f").unwrap(), ["a|b", "c|d", "E|f"]);
        assert_eq!(parsed(r#""My.Db".public,"a,b"."c""d""#).unwrap(), ["My.Db|public", "a,b|c\"d"]);
        assert_eq!(parsed("*.*,db.*").unwrap(), ["*|*", "db|*"]);
        for text in
            ["", "a", "a.", ".b", "a.b.c", "a.b,", ",a.b", "a.b,c", "\"a.b", "\"\".b", "\"*\".b", "\"a\"b.c"]
        {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lifetimes_may_be_in_days() {
        assert_eq!(lifetime("30d"), Ok(DAY * 30));
        assert_eq!(lifetime("1h30m"), Ok(Duration::from_secs(5_400)));
        for text in ["", "d", "0d", "0s", "-1d", "1.5d", "tomorrow", "10"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
