//! A log that says what the test wants, and its target: for tables with behaviours.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use sink_core::failure::Disposition;
use sink_core::flow::{
    Advance, Binding, Change, FeedName, FlowApplier, Folder, Form, Limits, Position, PositionStore, Row,
    SourceColumn, Value, Written,
};
use sink_core::model::{Ident, SchemaId};
use sink_core::target::Target;
use sqlx::{AssertSqlSafe, Row as _};
use tests::harness::runner::Ctx;

use crate::flow_positions::connect;

/// A feed that applies what it is told.
pub(crate) struct Log {
    target: Target,
    applier: FlowApplier,
    pub(crate) schema: String,
    feed: FeedName,
    epoch: i64,
    pub(crate) at: u64,
    bindings: BTreeMap<String, Binding>,
    pub(crate) folder: Folder,
}

impl Log {
    /// Starts with what is configured by now.
    pub(crate) async fn start(url: &str, schema: &str) -> Result<Log> {
        let target = connect(url).await?;
        let feed = FeedName { feed: "log".into(), scope: schema.into() };
        let store = PositionStore::new(Arc::clone(target.home()));
        let stored = store.take_over(&feed, "{}", &Position::new("0")).await?;
        let log = Log {
            applier: FlowApplier::new(Arc::clone(target.home()))?,
            target,
            schema: schema.into(),
            feed,
            epoch: stored.epoch,
            at: stored.position.as_str().parse()?,
            bindings: BTreeMap::new(),
            folder: Folder::new(Limits::default()),
        };
        log.reload().await?;
        Ok(log)
    }

    /// Reads the configuration again.
    pub(crate) async fn reload(&self) -> Result<()> {
        let home = self.target.home();
        self.target.configs().load(home).await?;
        home.schema().refresh(home).await?;
        Ok(())
    }

    /// Says which columns a table of the source has. `name:n` is a number, `:b` a truth value, `:j` a document.
    pub(crate) async fn bind(&mut self, table: &str, columns: &[&str]) -> Result<()> {
        let home = self.target.home();
        let schema = SchemaId { database: home.name().clone(), schema: Ident::new(&self.schema)? };
        let known = home.schema().current(home).await?;
        let found = known.table(&schema, table).context("the table exists")?;
        let columns = columns.iter().map(|text| {
            let (name, form) = text.split_once(':').unwrap_or((text, ""));
            let form = match form {
                "n" => Form::Number,
                "b" => Form::Bool,
                "j" => Form::Json,
                _ => Form::Text,
            };
            SourceColumn { name, form }
        });
        let binding = Binding::typed(Arc::clone(found), &columns.collect::<Vec<_>>())?;
        self.bindings.insert(table.into(), binding);
        Ok(())
    }

    pub(crate) fn push(&mut self, table: &str, make: impl FnOnce(&Binding) -> Change) {
        let binding = &self.bindings[table];
        self.folder.push(binding, make(binding));
    }

    pub(crate) fn insert(&mut self, table: &str, row: &[&str]) {
        let row = values(row);
        self.push(table, |to| Change::Insert { key: key(to, &row), row: to.row(&row) });
    }

    pub(crate) fn update(&mut self, table: &str, row: &[&str]) {
        let row = values(row);
        self.push(table, |to| Change::Update { key: key(to, &row), row: to.row(&row) });
    }

    pub(crate) fn rekey(&mut self, table: &str, from: &[&str], row: &[&str]) {
        let (from, row) = (values(from), values(row));
        self.push(table, |to| Change::Rekey { from: key(to, &from), to: key(to, &row), row: to.row(&row) });
    }

    pub(crate) fn delete(&mut self, table: &str, row: &[&str]) {
        let row = values(row);
        self.push(table, |to| Change::Delete { key: key(to, &row) });
    }

    /// Applies what was collected, again as long as that may help.
    pub(crate) async fn commit(&mut self) -> Result<Written> {
        let nets = self.folder.take();
        let (from, to) = (Position::new(self.at.to_string()), Position::new((self.at + 1).to_string()));
        let advance =
            Advance { feed: &self.feed, from: &from, to: &to, epoch: self.epoch, source_time_micros: None };
        loop {
            match self.applier.apply(&nets, advance).await {
                Ok(written) => {
                    self.at += 1;
                    return Ok(written);
                }
                Err(error) if error.disposition() == Disposition::Retry => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

pub(crate) fn key(binding: &Binding, row: &[Value<'_>]) -> Row {
    binding.key(row).expect("the key is given")
}

/// `-` is not given, `~` is NULL.
pub(crate) fn values<'a>(texts: &[&'a str]) -> Vec<Value<'a>> {
    let value = |text: &&'a str| match *text {
        "-" => Value::Absent,
        "~" => Value::Null,
        text => Value::Text(text),
    };
    texts.iter().map(value).collect()
}

pub(crate) async fn configure(
    ctx: &Ctx,
    schema: &str,
    table: &str,
    rows: &[(&str, &str, &str)],
) -> Result<()> {
    for (column, name, value) in rows {
        let sql = format!(
            "INSERT INTO _cdc_sink.apply_config (target_db, target_schema, target_table, target_column, {name}) \
             VALUES (current_database(), '{schema}', '{table}', '{column}', $v${value}$v$) \
             ON CONFLICT (target_db, target_schema, target_table, target_column) DO UPDATE SET {name} = excluded.{name}"
        );
        ctx.target().execute(&sql).await?;
    }
    Ok(())
}

pub(crate) async fn lines(ctx: &Ctx, query: &str) -> Result<Vec<String>> {
    let mut connection = ctx.target().connect().await?;
    let sql = format!("SELECT r.line::text FROM ({query}) r(line)");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(crate) async fn shows(ctx: &Ctx, query: &str, expected: &[&str]) -> Result<()> {
    let found = lines(ctx, query).await?;
    ensure!(found == expected, "{query} shows {found:?}, expected {expected:?}");
    Ok(())
}
