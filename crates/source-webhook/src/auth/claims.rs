//! What a token says: who it is, for how long, and which schemas it opens. Pure.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use sink_core::credentials::MAX_ID_BYTES;
use uuid::Uuid;

/// Stands for every database, or every schema.
pub const WILDCARD: &str = "*";

/// How far the clocks of those who issue tokens and of this machine may be apart.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// The part of a token that is ours; other members are the issuer's business.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    id: String,
    expires: Option<f64>,
    begins: Option<f64>,
    grants: Vec<Vec<String>>,
}

/// Why claims are not accepted. Never holds anything of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// Not JSON, or a member has the wrong form.
    #[error("the claims cannot be read")]
    Malformed,
    /// Nobody could revoke it.
    #[error("the token has no `jti`")]
    NoId,
    /// Revoked ids are read up to this length only.
    #[error("the token's `jti` is longer than {MAX_ID_BYTES} bytes")]
    LongId,
    /// It opens nothing.
    #[error("the token names no schema")]
    NoSchema,
}

/// The members as they are written.
#[derive(Deserialize)]
struct Wire {
    jti: Option<String>,
    #[serde(default, deserialize_with = "time")]
    exp: Option<f64>,
    #[serde(default, deserialize_with = "time")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "time")]
    iat: Option<f64>,
    #[serde(rename = "https://github.com/cockroachdb/cdc-sink")]
    grant: Option<Map<String, Value>>,
    /// The name that later versions of the original use.
    #[serde(rename = "https://github.com/cockroachdb/replicator")]
    later_grant: Option<Map<String, Value>>,
}

/// Whether a JSON text is an object. The derived readers would take an array of the members as well.
pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

/// The schemas of our claim.
fn schemas(mut grant: Map<String, Value>) -> Result<Vec<Vec<String>>, ClaimsError> {
    let schemas = grant.remove("schemas").unwrap_or_else(|| Value::Array(Vec::new()));
    serde_json::from_value(schemas).map_err(|_| ClaimsError::Malformed)
}

/// Seconds since 1970. Null is no time: a token that was meant to end must not live forever.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let seconds = number.as_f64().filter(|seconds| seconds.is_finite());
    seconds.map(Some).ok_or_else(|| D::Error::custom("not a time"))
}

impl Claims {
    /// Reads the claims of a token whose signature was verified.
    ///
    /// # Errors
    /// See [`ClaimsError`].
    pub fn parse(json: &[u8]) -> Result<Self, ClaimsError> {
        let wire = if is_object(json) { serde_json::from_slice::<Wire>(json).ok() } else { None };
        let wire = wire.ok_or(ClaimsError::Malformed)?;
        let id = wire.jti.filter(|id| !id.is_empty()).ok_or(ClaimsError::NoId)?;
        if id.len() > MAX_ID_BYTES {
            return Err(ClaimsError::LongId);
        }
        let grants = [wire.grant, wire.later_grant].into_iter().flatten().map(schemas);
        let grants = grants.collect::<Result<Vec<_>, _>>()?.concat();
        if grants.is_empty() {
            return Err(ClaimsError::NoSchema);
        }
        // A token from the future is not yet valid either; comparing is safe, for none is NaN.
        let begins = match (wire.nbf, wire.iat) {
            (Some(nbf), Some(iat)) => Some(nbf.max(iat)),
            (one, other) => one.or(other),
        };
        Ok(Self { id, expires: wire.exp, begins, grants })
    }

    /// The token's id (`jti`).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the token never ends.
    #[must_use]
    pub fn never_expires(&self) -> bool {
        self.expires.is_none()
    }

    /// Whether the token is valid at this time since 1970, give or take [`LEEWAY`].
    #[must_use]
    pub fn valid_at(&self, now: Duration) -> bool {
        let (now, leeway) = (now.as_secs_f64(), LEEWAY.as_secs_f64());
        self.expires.is_none_or(|end| now < end + leeway)
            && self.begins.is_none_or(|begin| begin <= now + leeway)
    }

    /// Whether the token opens this schema. Names are compared character by character.
    #[must_use]
    pub fn covers(&self, database: &str, schema: &str) -> bool {
        let fits = |allowed: &String, name: &str| allowed == WILDCARD || allowed == name;
        self.grants.iter().any(|grant| match grant.as_slice() {
            [allowed_database, allowed_schema] => {
                fits(allowed_database, database) && fits(allowed_schema, schema)
            }
            _ => false,
        })
    }
}

/// Claims for a new token, in the order in which people expect them.
#[derive(Debug, Clone, Serialize)]
pub struct NewClaims {
    iss: &'static str,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(rename = "https://github.com/cockroachdb/cdc-sink")]
    grant: NewGrant,
}

#[derive(Debug, Clone, Serialize)]
struct NewGrant {
    schemas: Vec<[String; 2]>,
}

impl NewClaims {
    /// Claims with a fresh random id; `expires` in seconds since 1970.
    #[must_use]
    pub fn new(schemas: Vec<[String; 2]>, expires: Option<u64>) -> Self {
        Self { iss: "cdc-sink", jti: Uuid::new_v4().to_string(), exp: expires, grant: NewGrant { schemas } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claims(rest: &str) -> Result<Claims, ClaimsError> {
        let grant = r#""https://github.com/cockroachdb/cdc-sink": {"schemas": [["db", "s"], ["all", "*"], ["*", "s2"]]}"#;
        Claims::parse(format!("{{{grant}{rest}}}").as_bytes())
    }

    #[test]
    fn schemas_are_compared_exactly_and_part_by_part() {
        let claims = claims(r#", "jti": "a""#).unwrap();
        for (database, schema) in [("db", "s"), ("all", "x"), ("all", "*"), ("x", "s2"), ("db", "s2")] {
            assert!(claims.covers(database, schema), "{database}.{schema}");
        }
        for (database, schema) in
            [("db", "S"), ("DB", "s"), ("\"db\"", "s"), ("db", "s "), ("x", "s"), ("", ""), ("*", "s")]
        {
            assert!(!claims.covers(database, schema), "{database}.{schema}");
        }
    }

    #[test]
    fn a_grant_of_one_or_three_parts_opens_nothing() {
        for schemas in [r#"[["*"]]"#, r#"[["*", "*", "*"]]"#, r#"[[]]"#] {
            let json = format!(
                r#"{{"jti": "a", "https://github.com/cockroachdb/replicator": {{"schemas": {schemas}}}}}"#
            );
            let claims = Claims::parse(json.as_bytes()).unwrap();
            assert!(!claims.covers("a", "b") && !claims.covers("*", "*"), "{schemas}");
        }
    }

    #[test]
    fn the_later_name_of_the_claim_is_understood() {
        let json =
            br#"{"jti": "a", "https://github.com/cockroachdb/replicator": {"schemas": [["db", "s"]]}}"#;
        assert!(Claims::parse(json).unwrap().covers("db", "s"));
    }

    #[test]
    fn an_id_and_a_schema_are_needed() {
        assert_eq!(claims(""), Err(ClaimsError::NoId));
        assert_eq!(claims(r#", "jti": """#), Err(ClaimsError::NoId));
        assert_eq!(claims(r#", "jti": null"#), Err(ClaimsError::NoId));
        assert_eq!(claims(r#", "jti": 7"#), Err(ClaimsError::Malformed));
        assert_eq!(claims(r#", "jti": "a", "jti": "b""#), Err(ClaimsError::Malformed));
        assert_eq!(claims(&format!(r#", "jti": "{}""#, "x".repeat(1_025))), Err(ClaimsError::LongId));
        assert_eq!(Claims::parse(br#"{"jti": "a"}"#), Err(ClaimsError::NoSchema));
        let none = br#"{"jti": "a", "https://github.com/cockroachdb/cdc-sink": {"schemas": []}}"#;
        assert_eq!(Claims::parse(none), Err(ClaimsError::NoSchema));
    }

    #[test]
    fn times_are_honoured_with_some_leeway() {
        let at = |rest: &str, now: u64| claims(rest).unwrap().valid_at(Duration::from_secs(now));
        assert!(at(r#", "jti": "a""#, 5) && claims(r#", "jti": "a""#).unwrap().never_expires());
        let ends = r#", "jti": "a", "exp": 1000"#;
        assert!(at(ends, 999) && at(ends, 1_059) && !at(ends, 1_060) && !at(ends, 5_000));
        let begins = r#", "jti": "a", "nbf": 1000.5, "exp": 1e300"#;
        assert!(!at(begins, 940) && at(begins, 941) && at(begins, 5_000));
        let issued = r#", "jti": "a", "nbf": 1, "iat": 1000"#;
        assert!(!at(issued, 900) && at(issued, 1_000));
        assert!(!at(r#", "jti": "a", "exp": -1"#, 1_000_000));
    }

    #[test]
    fn nothing_is_taken_for_an_object_that_is_none() {
        assert_eq!(
            Claims::parse(br#"["a", 2000, 1000, 1000, {"schemas": [["*", "*"]]}, null]"#),
            Err(ClaimsError::Malformed)
        );
        for grant in [r#"[[["*", "*"]]]"#, r#""*""#, r#"{"schemas": {"*": "*"}}"#, r#"{"schemas": ["*.*"]}"#]
        {
            let json = format!(r#"{{"jti": "a", "https://github.com/cockroachdb/cdc-sink": {grant}}}"#);
            assert_eq!(Claims::parse(json.as_bytes()), Err(ClaimsError::Malformed), "{grant}");
        }
    }

    #[test]
    fn a_time_that_is_none_is_an_error() {
        for exp in ["null", "\"1000\"", "true", "1e999", "[]", "{}"] {
            assert_eq!(
                claims(&format!(r#", "jti": "a", "exp": {exp}"#)),
                Err(ClaimsError::Malformed),
                "{exp}"
            );
        }
    }

    #[test]
    fn new_claims_are_understood_and_print_as_documented() {
        let new = NewClaims::new(vec![["database".into(), "schema".into()]], None);
        let json = serde_json::to_string_pretty(&new).unwrap();
        assert!(Claims::parse(json.as_bytes()).unwrap().covers("database", "schema"));
        let expected = format!(
            "{{\n  \"iss\": \"cdc-sink\",\n  \"jti\": \"{}\",\n  \"https://github.com/cockroachdb/cdc-sink\": {{\n    \
             \"schemas\": [\n      [\n        \"database\",\n        \"schema\"\n      ]\n    ]\n  }}\n}}",
            new.jti
        );
        assert_eq!(json, expected);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]\":,a-z0-9.*]*") {
            let _ = Claims::parse(&bytes);
            if let Ok(claims) = claims(&text) {
                let _ = claims.valid_at(Duration::MAX);
            }
        }
    }
}
