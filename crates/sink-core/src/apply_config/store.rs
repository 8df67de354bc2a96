//! Reads `apply_config`, and asks the target whether it takes what the rows say.

use sqlx::{AssertSqlSafe, Row as _};

use super::rules::{ConfigRow, rules_of};
use crate::failure::{Disposition, Failure, chain};
use crate::model::expression::Input;
use crate::model::{TableRules, TableSchema, ValueClass};
use crate::target::pool::{Database, failure};

const READ: &str = "read apply_config";
const CHECK: &str = "check apply_config against the target";

/// Most rows that are read; more are no configuration.
const MAX_ROWS: i64 = 100_000;

/// All rows, in order of their key.
///
/// # Errors
/// If the table cannot be read or has more than a hundred thousand rows.
pub(super) async fn read(home: &Database) -> Result<Vec<ConfigRow>, Failure> {
    // A table that was made elsewhere may allow NULL, which means the same as the default.
    let sql = format!(
        "SELECT target_db::text, target_schema::text, target_table::text, target_column::text, \
         COALESCE(cas_order, 0)::int8, COALESCE(deadline, '0'::interval)::text, \
         COALESCE(extract(epoch FROM deadline), 0)::float8, COALESCE(expr, '')::text, COALESCE(extras, false), \
         COALESCE(\"ignore\", false), COALESCE(src_name, '')::text \
         FROM {} ORDER BY 1, 2, 3, 4 LIMIT $1",
        home.area().table("apply_config")
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(MAX_ROWS + 1);
    let rows = query.fetch_all(home.control()).await.map_err(|e| failure(READ, e))?;
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) > MAX_ROWS {
        let reason = format!("the table has more than {MAX_ROWS} rows");
        return Err(Failure::new(Disposition::Halt, READ, reason));
    }
    let row = |row: &sqlx::postgres::PgRow| ConfigRow {
        database: row.get(0),
        schema: row.get(1),
        table: row.get(2),
        column: row.get(3),
        cas_order: row.get(4),
        deadline: row.get(5),
        deadline_seconds: row.get(6),
        expr: row.get(7),
        extras: row.get(8),
        ignore: row.get(9),
        src_name: row.get(10),
    };
    Ok(rows.iter().map(row).collect())
}

/// The rules of a table, if the rows make sense and the target takes their SQL; else what is wrong.
///
/// # Errors
/// If the target cannot be asked.
pub(super) async fn check(
    database: &Database,
    table: &TableSchema,
    rows: &[ConfigRow],
) -> Result<Result<TableRules, Vec<String>>, Failure> {
    let mut rules = match rules_of(rows, table) {
        Ok(rules) => rules,
        Err(problems) => return Ok(Err(problems)),
    };
    let mut problems = Vec::new();
    for column in 0..table.columns.len() {
        problems.extend(choose_input(database, table, &mut rules, column).await?);
    }
    let dialect = database.dialect();
    let named = |column: usize| table.columns[column].name.as_str();
    for column in rules.cas.clone() {
        for sql in dialect.check_cas(table, column) {
            if let Some(problem) = refused(database, &sql).await? {
                problems
                    .push(format!("column {:?} cannot be compared (cas_order): {problem}", named(column)));
            }
        }
    }
    for deadline in &rules.deadlines {
        let sql = dialect.check_deadline(table, deadline);
        if let Some(problem) = refused(database, &sql).await? {
            problems.push(format!("column {:?} cannot have a deadline: {problem}", named(deadline.column)));
        }
    }
    Ok(if problems.is_empty() { Ok(rules) } else { Err(problems) })
}

/// Finds the input with which the target takes a column's expression: the column's type if it does, else text.
async fn choose_input(
    database: &Database,
    table: &TableSchema,
    rules: &mut TableRules,
    column: usize,
) -> Result<Option<String>, Failure> {
    let Some(expression) = rules.columns[column].expression.clone() else { return Ok(None) };
    // Arrays and documents have a text form of their own, which is not that of their JSON.
    let scalar = !matches!(
        table.columns[column].class,
        ValueClass::Json { .. } | ValueClass::Array | ValueClass::Composite | ValueClass::Geo { .. }
    );
    let inputs: &[Input] = if expression.casts_every_input() && scalar {
        &[Input::Text]
    } else if expression.is_constant() {
        &[Input::Typed]
    } else {
        &[Input::Typed, Input::Text]
    };
    let mut first = None;
    for input in inputs {
        let candidate = expression.clone().with_input(*input);
        match refused(database, &database.dialect().check_expression(table, column, &candidate)).await? {
            None => {
                rules.columns[column].expression = Some(candidate);
                return Ok(None);
            }
            Some(problem) => drop(first.get_or_insert(problem)),
        }
    }
    let name = table.columns[column].name.as_str();
    Ok(first.map(|problem| format!("column {name:?}: the target does not take the expression: {problem}")))
}

/// Has the target plan a statement. Answers why it does not, if it does not.
async fn refused(database: &Database, sql: &str) -> Result<Option<String>, Failure> {
    let mut connection = database.connection().await?;
    // The extended protocol takes one statement only, whatever the expression holds.
    let explain = sqlx::query(AssertSqlSafe(format!("EXPLAIN {sql}"))).persistent(false);
    match explain.fetch_all(&mut *connection).await.map_err(|e| failure(CHECK, e)) {
        Ok(_) => Ok(None),
        Err(error) if error.disposition() == Disposition::Halt && error.sqlstate().is_some() => {
            Ok(Some(chain(&error).replacen(&format!("{CHECK} "), "", 1)))
        }
        Err(error) => Err(error),
    }
}
