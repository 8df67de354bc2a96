//! The form of a script: statements, and lines that begin with `-- @`.
//!
//! * `-- @mysql`, `-- @mariadb`, `-- @mariadb 11.8`: what follows is for this server alone, up to `-- @all`;
//! * `-- @server --option`: the server runs with it;
//! * `-- @connection`: what follows runs on another connection; the one before is closed.

use ::tests::harness::mysql::Flavor;
use anyhow::{Result, bail, ensure};

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Statement(String),
    Connection,
}

/// Who a part is for; nothing said means everybody.
#[derive(Debug, Default, Clone)]
struct Audience {
    flavor: Option<Flavor>,
    version: Option<String>,
}

impl Audience {
    fn has(&self, flavor: Flavor) -> bool {
        self.flavor.is_none_or(|only| only == flavor)
    }
}

/// A script that was read.
#[derive(Debug, Default)]
pub(crate) struct Script {
    options: Vec<String>,
    parts: Vec<(Audience, Part)>,
}

impl Script {
    pub(crate) fn parse(text: &str) -> Result<Script> {
        let mut script = Script::default();
        let mut audience = Audience::default();
        let mut statement = String::new();
        for line in text.lines() {
            if let Some(said) = line.strip_prefix("-- @") {
                ensure!(statement.is_empty(), "a statement before {line} does not end");
                let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
                let version = (!rest.is_empty()).then(|| rest.to_owned());
                match word {
                    "all" => audience = Audience::default(),
                    "mysql" => audience = Audience { flavor: Some(Flavor::MySql), version },
                    "mariadb" => audience = Audience { flavor: Some(Flavor::MariaDb), version },
                    "server" => script.options.push(rest.to_owned()),
                    "connection" => script.parts.push((audience.clone(), Part::Connection)),
                    other => bail!("@{other} means nothing"),
                }
            } else if !line.starts_with("-- ") && !line.is_empty() {
                statement.push_str(line);
                statement.push('\n');
                if let Some(whole) = statement.trim_end().strip_suffix(';') {
                    script.parts.push((audience.clone(), Part::Statement(whole.to_owned())));
                    statement.clear();
                }
            }
        }
        ensure!(statement.is_empty(), "the last statement does not end");
        Ok(script)
    }

    /// Options of the server's program.
    pub(crate) fn options(&self) -> impl Iterator<Item = &str> {
        self.options.iter().map(String::as_str)
    }

    /// Whether there is anything in it for a product.
    pub(crate) fn is_for(&self, flavor: Flavor) -> bool {
        self.parts.iter().any(|(audience, _)| audience.has(flavor))
    }

    /// What is for a product of a version, such as `11.8`.
    pub(crate) fn parts(&self, flavor: Flavor, version: &str) -> impl Iterator<Item = &Part> {
        let chosen = self.parts.iter().filter(move |(audience, _)| {
            audience.has(flavor) && audience.version.as_deref().is_none_or(|only| only == version)
        });
        chosen.map(|(_, part)| part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_go_to_whom_they_are_for() {
        let text = "-- About.\n-- @server --x=1\nA\n b;\n-- @mariadb 11.8\nC;\n-- @mysql\n-- @connection\nD;\n-- @all\nE;\n";
        let script = Script::parse(text).unwrap();
        let said = |flavor, version: &str| {
            let parts = script.parts(flavor, version);
            parts
                .map(|part| match part {
                    Part::Statement(sql) => sql.as_str(),
                    Part::Connection => "-",
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(said(Flavor::MySql, "9.7"), ["A\n b", "-", "D", "E"]);
        assert_eq!(said(Flavor::MariaDb, "11.8"), ["A\n b", "C", "E"]);
        assert_eq!(said(Flavor::MariaDb, "10.11"), ["A\n b", "E"]);
        assert_eq!(script.options().collect::<Vec<_>>(), ["--x=1"]);
        assert!(Script::parse("SELECT 1\n").is_err() && Script::parse("-- @oracle\n").is_err());
    }
}
