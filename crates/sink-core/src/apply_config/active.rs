//! Which configuration is in use for which table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::rules::ConfigRow;
use super::store;
use crate::failure::{Disposition, Failure};
use crate::metrics;
use crate::model::{Behaviours, DatabaseSchema, Ident, SchemaId, TableId, TableRules, TableSchema};
use crate::target::Database;

/// Nanoseconds of a second.
const NANOS: f64 = 1e9;

/// What is done with the rows of a table in `apply_config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They are in use.
    Active,
    /// They cannot be used; the last ones that could are.
    LastGood,
    /// They cannot be used and none could before: the table takes no rows.
    Rejected,
    /// The target has no such table, or nothing has been written to its database yet.
    Unused,
}

impl State {
    /// One word for operators.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::LastGood => "last good",
            Self::Rejected => "rejected",
            Self::Unused => "unused",
        }
    }
}

/// A table with rows in `apply_config`, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredTable {
    /// `database.schema.table` as configured.
    pub name: String,
    /// What is done with them.
    pub state: State,
    /// What is wrong with them.
    pub problems: Vec<String>,
}

/// A table as configured: database, schema, table.
type Name = (String, String, String);

/// What became of the rows of one table.
#[derive(Debug)]
struct Judged {
    /// The table that they were judged by, without behaviours.
    table: TableSchema,
    /// The rows that were judged.
    rows: Vec<ConfigRow>,
    /// The rows in use, and what they mean.
    active: Option<(Vec<ConfigRow>, Arc<TableRules>)>,
    problems: Vec<String>,
}

impl Judged {
    fn behaviours(&self) -> Behaviours {
        match &self.active {
            Some((_, rules)) => Behaviours::Configured(Arc::clone(rules)),
            None => Behaviours::Rejected(self.problems.join("; ").into()),
        }
    }

    fn state(&self) -> State {
        match &self.active {
            Some(_) if self.problems.is_empty() => State::Active,
            Some(_) => State::LastGood,
            None => State::Rejected,
        }
    }
}

/// The configuration of all tables of a target.
#[derive(Debug, Default)]
pub struct ApplyConfigs {
    rows: Mutex<Arc<BTreeMap<Name, Vec<ConfigRow>>>>,
    judged: Mutex<HashMap<Name, Judged>>,
    /// Configured names of which the target has no table, in databases that were looked at.
    missing: Mutex<BTreeSet<Name>>,
}

impl ApplyConfigs {
    /// Reads the table. What it says takes effect with the next look at each database's schema.
    ///
    /// # Errors
    /// If it cannot be read; what was read before stays.
    pub async fn load(&self, home: &Database) -> Result<(), Failure> {
        let rows = store::read(home).await.inspect_err(|_| metrics::count_configuration_error())?;
        let mut tables: BTreeMap<Name, Vec<ConfigRow>> = BTreeMap::new();
        for row in rows {
            let name = (row.database.clone(), row.schema.clone(), row.table.clone());
            tables.entry(name).or_default().push(row);
        }
        *lock(&self.rows) = Arc::new(tables);
        Ok(())
    }

    /// Lays the configuration over the schema of a database.
    ///
    /// # Errors
    /// If the target cannot be asked whether it takes what is configured.
    pub async fn overlay(&self, database: &Database, schema: &mut DatabaseSchema) -> Result<(), Failure> {
        let configured = Arc::clone(&lock(&self.rows));
        lock(&self.judged).retain(|name, _| configured.contains_key(name));
        lock(&self.missing).retain(|name| configured.contains_key(name));
        let ours = configured.iter().filter(|((name, ..), _)| name == database.name().as_str());
        let mut names_of: BTreeMap<TableId, Vec<&Name>> = BTreeMap::new();
        for name in ours.map(|(name, _)| name) {
            match find(schema, database.name(), name) {
                Some(table) => {
                    lock(&self.missing).remove(name);
                    names_of.entry(table.id).or_default().push(name);
                }
                None => {
                    lock(&self.judged).remove(name);
                    lock(&self.missing).insert(name.clone());
                }
            }
        }
        for (id, names) in names_of {
            let table = schema.table(&id.schema, id.table.as_str()).map(|table| TableSchema::clone(table));
            let Some(table) = table else { continue };
            // Rows under another spelling of the table's name are as good as any, so none may be passed over.
            let rows: Vec<ConfigRow> = names.iter().flat_map(|name| configured[*name].clone()).collect();
            let mut behaviours = Behaviours::Plain;
            for name in names {
                behaviours = self.judge(database, name, &table, &rows).await?;
            }
            schema.set_behaviours(&id, behaviours);
        }
        let rejected = lock(&self.judged).values().filter(|judged| !judged.problems.is_empty()).count();
        metrics::set_rejected_configurations(rejected);
        Ok(())
    }

    async fn judge(
        &self,
        database: &Database,
        name: &Name,
        table: &TableSchema,
        rows: &[ConfigRow],
    ) -> Result<Behaviours, Failure> {
        let (last, told) = {
            let judged = lock(&self.judged);
            let known = judged.get(name).filter(|known| known.table == *table && known.rows == rows);
            // What was refused is asked again: a function or a right may be there now.
            if let Some(known) = known.filter(|known| known.problems.is_empty()) {
                return Ok(known.behaviours());
            }
            let told = known.map(|known| known.problems.clone());
            (judged.get(name).and_then(|known| known.active.clone()), told)
        };
        let (active, problems) = match store::check(database, table, rows).await? {
            Ok(rules) => (Some((rows.to_vec(), Arc::new(rules))), Vec::new()),
            Err(problems) => {
                // The columns may have changed since, so the last good rows are read anew as well.
                let again = match last {
                    Some((rows, _)) => {
                        store::check(database, table, &rows).await?.ok().map(|r| (rows, Arc::new(r)))
                    }
                    None => None,
                };
                (again, problems)
            }
        };
        let judged = Judged { table: table.clone(), rows: rows.to_vec(), active, problems };
        if judged.problems.is_empty() {
            tracing::info!(table = %table.id, "apply_config is in use for this table");
        } else if told.as_ref() != Some(&judged.problems) {
            tracing::error!(
                table = %table.id, state = judged.state().as_str(), problems = judged.problems.join("; "),
                "apply_config cannot be used for this table"
            );
        }
        let behaviours = judged.behaviours();
        lock(&self.judged).insert(name.clone(), judged);
        Ok(behaviours)
    }

    /// Every table with rows in the configuration.
    #[must_use]
    pub fn tables(&self) -> Vec<ConfiguredTable> {
        let judged = lock(&self.judged);
        let table = |name: &Name| match judged.get(name) {
            Some(known) => (known.state(), known.problems.clone()),
            None if lock(&self.missing).contains(name) => {
                (State::Unused, vec!["the target has no such table".to_owned()])
            }
            None => (State::Unused, Vec::new()),
        };
        let configured = Arc::clone(&lock(&self.rows));
        let tables = configured.keys().map(|name| {
            let (state, problems) = table(name);
            ConfiguredTable { name: dotted(name), state, problems }
        });
        tables.collect()
    }

    /// Fails if a table, of the databases that were looked at, cannot be written because of what is configured for it.
    ///
    /// # Errors
    /// `Halt`, with the problems of every such table.
    pub fn require_usable(&self) -> Result<(), Failure> {
        let rejected: Vec<String> = self
            .tables()
            .into_iter()
            .filter(|table| table.state == State::Rejected)
            .map(|table| format!("{}: {}", table.name, table.problems.join("; ")))
            .collect();
        if rejected.is_empty() {
            return Ok(());
        }
        let reason = format!("apply_config cannot be used; mend its rows: {}", rejected.join(". "));
        Err(Failure::new(Disposition::Halt, "read apply_config", reason))
    }

    /// The configuration in use as JSON: an object by table, with the members that the original shows, the `State` of the
    /// table's rows, and its `Problems`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let judged = lock(&self.judged);
        let configured = Arc::clone(&lock(&self.rows));
        let tables = configured.iter().map(|(name, rows)| {
            let known = judged.get(name);
            let state = known.map_or(State::Unused, Judged::state);
            let active = match known {
                Some(known) => known.active.as_ref().map_or(&[][..], |(rows, _)| rows),
                None => rows,
            };
            let mut table = table_json(active);
            table["State"] = state.as_str().into();
            table["Problems"] = match known {
                Some(known) => known.problems.clone(),
                None if lock(&self.missing).contains(name) => vec!["the target has no such table".to_owned()],
                None => Vec::new(),
            }
            .into();
            (dotted(name), table)
        });
        Value::Object(tables.collect::<Map<String, Value>>())
    }
}

fn table_json(rows: &[ConfigRow]) -> Value {
    let by_column = |value: &dyn Fn(&ConfigRow) -> Option<Value>| -> Value {
        let each = rows.iter().filter_map(|row| Some((row.column.clone(), value(row)?)));
        Value::Object(each.collect())
    };
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let mut cas: Vec<&ConfigRow> = rows.iter().filter(|row| row.cas_order > 0).collect();
    cas.sort_by_key(|row| row.cas_order);
    let cas: Vec<&str> = cas.iter().map(|row| row.column.as_str()).collect();
    #[expect(clippy::cast_possible_truncation, reason = "a conversion from float saturates")]
    let nanos = |row: &ConfigRow| (row.deadline_seconds * NANOS) as i64;
    json!({
        "CASColumns": if cas.is_empty() { Value::Null } else { cas.into() },
        "Deadlines": by_column(&|row| (row.deadline_seconds > 0.0).then(|| nanos(row).into())),
        "Exprs": by_column(&|row| text(&row.expr)),
        "Extras": rows.iter().find(|row| row.extras).map_or("", |row| row.column.as_str()),
        "Ignore": by_column(&|row| row.ignore.then_some(Value::Bool(true))),
        "SourceNames": by_column(&|row| text(&row.src_name)),
    })
}

fn dotted((database, schema, table): &Name) -> String {
    format!("{database}.{schema}.{table}")
}

/// The table that a configuration names.
fn find(schema: &DatabaseSchema, database: &Ident, (_, name, table): &Name) -> Option<TableSchema> {
    let id = SchemaId { database: database.clone(), schema: Ident::new(name).ok()? };
    schema.table(&id, table).map(|table| TableSchema::clone(table))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
