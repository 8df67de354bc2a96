//! Text that must not be printed by accident: connection strings, tokens, keys.
//!
//! Not a defence against reading the process's memory; only against logs, error messages and help
//! texts. Who needs the text writes `expose()`, which is easy to search for.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A string which prints as `***`.
///
/// There is deliberately no `PartialEq`: comparing a token with `==` takes longer the more of it
/// matches.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. The caller keeps it out of logs and error messages.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Parameters of a connection string whose values say nothing that must not be told.
const HARMLESS: &[&str] = &["sslmode", "application_name", "connect_timeout", "dbname", "port"];
/// Parameters that are named, without their values.
const NAMED: &[&str] =
    &["host", "options", "password", "sslcert", "sslkey", "sslpassword", "sslrootcert", "user"];

/// A connection string without its password, for people: the values of parameters that may be secret are left out as
/// well. What is not plainly a URL is masked as a whole.
#[must_use]
pub fn masked_url(url: &str) -> String {
    masked_parts(url).unwrap_or_else(|| "***".to_owned())
}

fn masked_parts(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // A password with an unescaped `/`, `?` or `#` would end the authority early.
    if tail.contains('@') {
        return None;
    }
    let (user, host) = match authority.rsplit_once('@') {
        None => ("", authority),
        Some((user, host)) => match user.split_once(':') {
            None => (user, host),
            Some((user, _)) => (user, host),
        },
    };
    let has_password = authority.len() > user.len() + host.len() + 1;
    let user = match (user, has_password) {
        ("", false) => String::new(),
        (user, false) => format!("{user}@"),
        (user, true) => format!("{user}:***@"),
    };
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let parameters: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if HARMLESS.contains(&name) => pair.to_owned(),
            Some((name, _)) if NAMED.contains(&name) => format!("{name}=***"),
            _ => "***".to_owned(),
        })
        .collect();
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    Some(format!("{scheme}://{user}{host}{path}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_connection_string_is_shown_without_its_password() {
        for (url, shown) in [
            (
                "postgresql://root@localhost:26257/?sslmode=disable",
                "postgresql://root@localhost:26257/?sslmode=disable",
            ),
            ("postgresql://u:hunter2@db:5432/shop", "postgresql://u:***@db:5432/shop"),
            ("postgresql://u:hun:ter@2@db/shop", "postgresql://u:***@db/shop"),
            ("postgresql://:hunter2@db/shop", "postgresql://:***@db/shop"),
            ("postgresql://db/shop?user=u&password=hunter2", "postgresql://db/shop?user=***&password=***"),
            ("postgresql://u:hun/ter2@db/shop", "***"),
            ("host=db password=hunter2", "***"),
            ("", "***"),
        ] {
            assert_eq!(masked_url(url), shown, "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_password_is_shown(password in "[^\\x00]{1,12}", user in "[a-z]{0,3}") {
            let password = format!("Q7x{password}");
            for url in [
                format!("postgresql://{user}:{password}@host:5432/base?sslmode=disable"),
                format!("postgresql://host/base?password={password}"),
                format!("host=db password={password}"),
            ] {
                prop_assert!(!masked_url(&url).contains("Q7x"), "{}", masked_url(&url));
            }
        }

        #[test]
        fn masking_never_panics(text in "\\PC*|[a-z:/@?#&=]*") {
            let _ = masked_url(&text);
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret: Secret = "postgresql://root:hunter2@db".parse().unwrap();
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "postgresql://root:hunter2@db");
    }
}
