//! What of a server and its tables would lose data. Pure; `preflight` tells it, `start` refuses.

use sink_core::failure::{Disposition, Failure};
use sink_core::flow::preflight::{Finding, Remedy, Severity, Side};

use super::quoted;
use super::server::ServerFacts;
use super::tables::{TableFacts, TableKind};
use crate::Flavor;

/// Log that is kept for less than this, in seconds, may be gone after a weekend's trouble.
const SHORT_EXPIRY_SECONDS: u64 = 86_400;

/// Whether changes that follow from foreign keys are in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cascades {
    /// They are.
    Logged,
    /// They are not, and somebody answers for the same foreign keys being in the target.
    Accepted,
    /// They are not.
    Lost,
}

impl Cascades {
    /// MySQL 9.6 and later logs them, unless `innodb_native_foreign_keys` is on; no MariaDB does (seen on 9.7, 10.11 and
    /// 11.8).
    #[must_use]
    pub fn of(server: &ServerFacts, accepted: bool) -> Self {
        let native = server.variable("innodb_native_foreign_keys").is_some_and(is_on);
        if server.flavor == Flavor::MySql && server.release >= (9, 6) && !native {
            Self::Logged
        } else if accepted {
            Self::Accepted
        } else {
            Self::Lost
        }
    }
}

fn is_on(value: &str) -> bool {
    value.eq_ignore_ascii_case("on") || value == "1"
}

/// What a variable has to be.
struct Needed {
    name: &'static str,
    /// One of these; the first is the one to set.
    values: &'static [&'static str],
    why: &'static str,
    /// It can be set while the server runs.
    set: &'static [&'static str],
    /// A server that lacks it behaves as needed.
    may_lack: bool,
}

const RESTART: &[&str] = &[];

fn needed(flavor: Flavor) -> Vec<Needed> {
    let row = Needed {
        name: "binlog_format",
        values: &["ROW"],
        why: "changes are logged as statements, which cannot be told from what they change",
        set: &["SET GLOBAL binlog_format = 'ROW'"],
        may_lack: true,
    };
    let metadata = Needed {
        name: "binlog_row_metadata",
        values: &["FULL"],
        why: "the log does not say what columns are called and whether numbers have a sign",
        set: &["SET GLOBAL binlog_row_metadata = 'FULL'"],
        may_lack: false,
    };
    let log = Needed {
        name: "log_bin",
        values: &["ON", "1"],
        why: "there is no binary log",
        set: RESTART,
        may_lack: false,
    };
    let image = |values| Needed {
        name: "binlog_row_image",
        values,
        why: "the log holds parts of rows only",
        set: &["SET GLOBAL binlog_row_image = 'FULL'"],
        may_lack: false,
    };
    match flavor {
        Flavor::MariaDb => vec![log, row, image(&["FULL", "FULL_NODUP"]), metadata],
        Flavor::MySql => vec![
            log,
            row,
            image(&["FULL"]),
            metadata,
            Needed {
                name: "enforce_gtid_consistency",
                values: &["ON", "1"],
                why: "statements that cannot have a GTID are allowed",
                set: &["SET GLOBAL enforce_gtid_consistency = ON"],
                may_lack: false,
            },
            Needed {
                name: "gtid_mode",
                values: &["ON"],
                why: "transactions have no GTID, so that there is no position to keep",
                set: &[
                    "SET GLOBAL gtid_mode = OFF_PERMISSIVE",
                    "SET GLOBAL gtid_mode = ON_PERMISSIVE",
                    "SET GLOBAL gtid_mode = ON",
                ],
                may_lack: false,
            },
        ],
    }
}

/// What is wrong with the server.
#[must_use]
pub fn server_findings(server: &ServerFacts) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        needed(server.flavor).iter().filter_map(|needed| variable(server, needed)).collect();
    if server.variable("server_id").is_none_or(|id| id == "0") {
        let what =
            "server_id is 0; needed is another number: a server without one sends its log once and ends";
        let remedy = Remedy::run(Side::Source, ["SET GLOBAL server_id = 1".to_owned()])
            .note("and in its configuration, so that it stays");
        found.push(Finding::new(Severity::Error, "source_server_id", "server_id", what).remedy(remedy));
    }
    let partial = server.variable("binlog_row_value_options").is_some_and(|value| !value.is_empty());
    if partial {
        let what = "binlog_row_value_options is set: changes of JSON documents are logged as edits, which are carried \
                    out on the row before";
        found.push(Finding::new(Severity::Info, "source_partial_json", "binlog_row_value_options", what));
    }
    found.extend(expiry(server));
    found
}

fn variable(server: &ServerFacts, needed: &Needed) -> Option<Finding> {
    let value = server.variable(needed.name);
    let good = match value {
        None => needed.may_lack,
        Some(value) => needed.values.iter().any(|good| good.eq_ignore_ascii_case(value)),
    };
    if good {
        return None;
    }
    let best = needed.values.first().copied().unwrap_or_default();
    let what = format!(
        "{} is {}; needed is {best}: {}",
        needed.name,
        value.map_or_else(|| "unknown to the server".to_owned(), |value| format!("{value:?}")),
        needed.why
    );
    let remedy = Remedy::run(Side::Source, needed.set.iter().map(|statement| (*statement).to_owned()));
    let remedy = if needed.set.is_empty() {
        remedy.note(format!("start the server with --{}, and --server-id", needed.name.replace('_', "-")))
    } else {
        let note = "and in its configuration, so that it stays; sessions that were there before keep what they had, and \
                    log from before cannot be followed";
        remedy.note(note)
    };
    let code = match needed.name {
        "log_bin" => "source_log_bin",
        "binlog_format" => "source_binlog_format",
        "binlog_row_image" => "source_row_image",
        "binlog_row_metadata" => "source_row_metadata",
        "gtid_mode" => "source_gtid_mode",
        _ => "source_gtid_consistency",
    };
    Some(Finding::new(Severity::Error, code, needed.name, what).remedy(remedy))
}

fn expiry(server: &ServerFacts) -> Option<Finding> {
    let number =
        |name: &str| server.variable(name).and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
    let seconds = number("binlog_expire_logs_seconds").max(number("expire_logs_days") * 86_400.0);
    // 0 is never.
    if seconds <= 0.0 || seconds >= SHORT_EXPIRY_SECONDS as f64 {
        return None;
    }
    let what = format!(
        "log is deleted after {seconds} s: a feed that stands still for longer than that has to start over"
    );
    let remedy = Remedy::run(Side::Source, ["SET GLOBAL binlog_expire_logs_seconds = 604800".to_owned()]);
    Some(
        Finding::new(Severity::Warning, "source_log_expiry", "binlog_expire_logs_seconds", what)
            .remedy(remedy),
    )
}

/// What is wrong with a table.
#[must_use]
pub fn table_findings(table: &TableFacts, cascades: Cascades) -> Vec<Finding> {
    let subject = format!("{}.{}", table.name.database, table.name.table);
    let name = format!("{}.{}", quoted(&table.name.database), quoted(&table.name.table));
    let mut found = Vec::new();
    let error = |code, what: &str| Finding::new(Severity::Error, code, &subject, what);
    match table.kind {
        TableKind::View | TableKind::Sequence | TableKind::Other => return found,
        TableKind::Versioned => {
            let what = "the table is system-versioned: the log has the history among its rows, and deletes as changes";
            let drop = format!("ALTER TABLE {name} DROP SYSTEM VERSIONING");
            found.push(error("source_versioned_table", what).mend(Side::Source, [drop]));
        }
        TableKind::Base => {}
    }
    for column in table.columns.iter().filter(|column| column.column_type.contains("COMPRESSED")) {
        let what = format!("column {} is COMPRESSED, and its values are compressed in the log", column.name);
        let change = format!("ALTER TABLE {name} MODIFY {} …", quoted(&column.name));
        let remedy = Remedy::run(Side::Source, [change]).note("with its type, without COMPRESSED");
        found.push(error("source_compressed_column", &what).remedy(remedy));
    }
    if !table.transactional {
        let what = format!(
            "engine {} has no transactions: what it wrote stays when one is rolled back",
            table.engine
        );
        let change = format!("ALTER TABLE {name} ENGINE = InnoDB");
        found.push(
            Finding::new(Severity::Warning, "source_engine", &subject, what).mend(Side::Source, [change]),
        );
    }
    found.extend(foreign_keys(table, &subject, &name, cascades));
    found
}

fn foreign_keys(table: &TableFacts, subject: &str, name: &str, cascades: Cascades) -> Vec<Finding> {
    let severity = match cascades {
        Cascades::Logged => return Vec::new(),
        Cascades::Accepted => Severity::Info,
        Cascades::Lost => Severity::Error,
    };
    let finding = |key: &super::ForeignKeyFacts| {
        let what = format!(
            "foreign key {} changes rows by itself (ON UPDATE {}, ON DELETE {}), and the source does not log such changes",
            key.name, key.on_update, key.on_delete
        );
        let drop = format!("ALTER TABLE {name} DROP FOREIGN KEY {}", quoted(&key.name));
        let found = Finding::new(severity, "source_unlogged_cascade", subject, what);
        if severity < Severity::Error {
            return found;
        }
        found.mend(Side::Source, [drop]).remedy(Remedy::run(Side::Target, []).note(
            "or make the same foreign key in the target, so that it does the same there, and start with \
                 --allowUnloggedCascades",
        ))
    };
    table.foreign_keys.iter().filter(|key| key.cascades()).map(finding).collect()
}

/// One failure of all findings that are errors.
///
/// # Errors
/// If there is one.
pub fn refuse<'a>(
    operation: &'static str,
    findings: impl IntoIterator<Item = &'a Finding>,
) -> Result<(), Failure> {
    let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
    let texts: Vec<String> = errors.map(text).collect();
    if texts.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Disposition::Halt, operation, texts.join("; ")))
}

fn text(finding: &Finding) -> String {
    let mut text = format!("{}: {}", finding.subject, finding.what);
    let mut or = "";
    for remedy in &finding.remedies {
        if !remedy.statements.is_empty() {
            text.push_str(&format!(
                "{or}; run on the {}: {};",
                remedy.side.as_str(),
                remedy.statements.join("; ")
            ));
        }
        if !remedy.note.is_empty() {
            text.push_str(&format!(" ({})", remedy.note));
        }
        or = " or";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::TableName;
    use crate::catalog::ForeignKeyFacts;
    use crate::gtid::GtidSet;
    use sink_core::failure::chain;

    fn server(flavor: Flavor) -> ServerFacts {
        let common = [
            ("log_bin", "ON"),
            ("server_id", "1"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_row_metadata", "FULL"),
        ];
        let mysql = [("gtid_mode", "ON"), ("enforce_gtid_consistency", "ON")];
        let variables = match flavor {
            Flavor::MySql => [&common[..], &mysql].concat(),
            Flavor::MariaDb => common.to_vec(),
        };
        ServerFacts {
            flavor,
            release: if flavor == Flavor::MySql { (9, 7) } else { (11, 8) },
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            executed: GtidSet::empty(flavor),
            purged: None,
        }
    }

    #[test]
    fn each_variable_is_named_with_its_value_and_the_statement_that_mends_it() {
        for (flavor, name, wrong, statement) in [
            (Flavor::MySql, "log_bin", "OFF", "--log-bin"),
            (Flavor::MySql, "binlog_format", "MIXED", "SET GLOBAL binlog_format = 'ROW'"),
            (Flavor::MySql, "binlog_row_image", "MINIMAL", "SET GLOBAL binlog_row_image = 'FULL'"),
            (Flavor::MySql, "binlog_row_metadata", "MINIMAL", "SET GLOBAL binlog_row_metadata = 'FULL'"),
            (Flavor::MySql, "gtid_mode", "ON_PERMISSIVE", "SET GLOBAL gtid_mode = ON"),
            (Flavor::MySql, "enforce_gtid_consistency", "WARN", "SET GLOBAL enforce_gtid_consistency = ON"),
            (Flavor::MySql, "server_id", "0", "SET GLOBAL server_id = 1"),
            (Flavor::MariaDb, "binlog_format", "STATEMENT", "SET GLOBAL binlog_format = 'ROW'"),
            (Flavor::MariaDb, "binlog_row_image", "NOBLOB", "SET GLOBAL binlog_row_image = 'FULL'"),
            (Flavor::MariaDb, "binlog_row_metadata", "NO_LOG", "SET GLOBAL binlog_row_metadata = 'FULL'"),
        ] {
            let mut server = server(flavor);
            assert!(refuse("look", &server_findings(&server)).is_ok());
            server.variables.insert(name.to_owned(), wrong.to_owned());
            let refused = chain(&refuse("look", &server_findings(&server)).unwrap_err());
            for part in [name, wrong, statement] {
                assert!(refused.contains(part), "{refused}");
            }
        }
        let mut nodup = server(Flavor::MariaDb);
        nodup.variables.insert("binlog_row_image".to_owned(), "FULL_NODUP".to_owned());
        assert!(server_findings(&nodup).is_empty());
    }

    #[test]
    fn cascades_matter_where_they_are_not_logged() {
        let key = ForeignKeyFacts {
            name: "fk".to_owned(),
            columns: vec![("p".to_owned(), "id".to_owned())],
            referenced: TableName { database: "d".to_owned(), table: "p".to_owned() },
            on_update: "RESTRICT".to_owned(),
            on_delete: "SET NULL".to_owned(),
        };
        let table = TableFacts {
            name: TableName { database: "d".to_owned(), table: "c".to_owned() },
            kind: TableKind::Base,
            engine: "InnoDB".to_owned(),
            transactional: true,
            rows: 0,
            bytes: 0,
            columns: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: vec![key],
        };
        let refused = |server: &ServerFacts, accepted| {
            refuse("look", &table_findings(&table, Cascades::of(server, accepted))).is_err()
        };
        let mut mysql = server(Flavor::MySql);
        assert!(!refused(&mysql, false));
        mysql.variables.insert("innodb_native_foreign_keys".to_owned(), "ON".to_owned());
        assert!(refused(&mysql, false) && !refused(&mysql, true));
        mysql.variables.clear();
        mysql.release = (8, 4);
        assert!(refused(&mysql, false));
        assert!(refused(&server(Flavor::MariaDb), false) && !refused(&server(Flavor::MariaDb), true));
    }
}
