//! A hand-driven changefeed: rows written as JSON, times that rise by themselves, and a wait until they are applied.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::StatusCode;
use sqlx::{AssertSqlSafe, PgConnection};
use tests::harness::database::Database;
use tests::harness::http::Client;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::Ctx;
use tests::harness::wait::eventually;

/// Longest wait for a state that has to come.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// How far behind now the first time is; marks stay below the limit on clock skew.
const START_SECONDS_AGO: u64 = 60;
const STEP_NANOS: u64 = 1_000_000;

/// The service with the flags every scenario needs.
pub(crate) fn webhook(database: &Database, flags: &[&str]) -> Service {
    let conn = format!("--conn={}", database.url());
    Service::new("cdc-webhook")
        .args([conn.as_str(), "--stagingCreateSchema", "--disableAuthentication"])
        .args(flags.iter().copied())
}

/// A running service and the feed that posts to it.
pub(crate) struct Feed {
    pub(crate) service: ServiceProcess,
    pub(crate) client: Client,
    /// A connection to the target.
    pub(crate) sql: PgConnection,
    /// The target database's name in paths, percent-encoded.
    pub(crate) database: String,
    /// The schema rows are posted to, as it stands in the path.
    pub(crate) schema: String,
    /// The query string of the URL, with its question mark.
    pub(crate) query: String,
    clock: u64,
    rows: Vec<String>,
}

impl Feed {
    /// Runs the DDL, then starts the service.
    pub(crate) async fn start(ctx: &Ctx, ddl: &str, flags: &[&str]) -> Result<Feed> {
        let database = ctx.target();
        database.execute(ddl).await?;
        let service = ServiceProcess::start(webhook(database, flags), ctx.folder()).await?;
        Feed::of(database, service).await
    }

    /// Posts to a service that runs already.
    pub(crate) async fn of(database: &Database, service: ServiceProcess) -> Result<Feed> {
        let client = Client::connect(service.address()).await?;
        let mut sql = database.connect().await?;
        sqlx::raw_sql("SET timezone = 'UTC'").execute(&mut sql).await?;
        // The target's clock is the one that times are judged by.
        let now = sqlx::query_scalar::<_, i64>("SELECT (extract(epoch FROM clock_timestamp()) * 1e9)::int8");
        let clock = u64::try_from(now.fetch_one(&mut sql).await?)? - START_SECONDS_AGO * 1_000_000_000;
        Ok(Feed {
            service,
            client,
            sql,
            database: database.name().to_owned(),
            schema: "public".to_owned(),
            query: String::new(),
            clock,
            rows: Vec::new(),
        })
    }

    /// The current time, at which rows are written.
    pub(crate) fn now(&self) -> String {
        time(self.clock)
    }

    /// Moves the clock far ahead.
    pub(crate) fn leap(&mut self, hours: u64) {
        self.clock += hours * 3_600 * 1_000_000_000;
    }

    /// Moves the clock; rows until the next tick are of one transaction.
    pub(crate) fn tick(&mut self) -> String {
        self.clock += STEP_NANOS;
        self.now()
    }

    /// Adds an upsert at the current time to the next request.
    pub(crate) fn put(&mut self, topic: &str, key: &str, after: &str) {
        let row = row(topic, &self.now(), key, Some(after), None);
        self.rows.push(row);
    }

    /// Adds a deletion at the current time to the next request.
    pub(crate) fn gone(&mut self, topic: &str, key: &str) {
        let row = row(topic, &self.now(), key, None, None);
        self.rows.push(row);
    }

    /// Adds a row as it is.
    pub(crate) fn push(&mut self, row: String) {
        self.rows.push(row);
    }

    /// The body of the next request, which then holds nothing any more.
    pub(crate) fn take_body(&mut self) -> String {
        body(&std::mem::take(&mut self.rows))
    }

    fn path(&self) -> String {
        format!("/{}/{}{}", self.database, self.schema, self.query)
    }

    /// Posts a body to the feed's path.
    pub(crate) async fn post(&mut self, body: &str) -> Result<(StatusCode, String)> {
        let path = self.path();
        let (status, answer) = self.client.post(&path, &[], body.to_owned()).await?;
        Ok((status, String::from_utf8_lossy(&answer).into_owned()))
    }

    /// Sends what was added; answers what came back.
    pub(crate) async fn offer(&mut self) -> Result<(StatusCode, String)> {
        let body = self.take_body();
        self.post(&body).await
    }

    /// Sends what was added, which must be taken.
    pub(crate) async fn send(&mut self) -> Result<()> {
        let answer = self.offer().await?;
        ensure!(answer.0 == StatusCode::OK, "refused: {answer:?}");
        self.tick();
        Ok(())
    }

    /// Sends what was added again and again until it is taken, as a changefeed does.
    pub(crate) async fn insist(&mut self) -> Result<()> {
        let body = self.take_body();
        eventually(SOON, "the rows to be taken", async || match self.post(&body).await? {
            (StatusCode::OK, _) => Ok(()),
            answer => bail!("{answer:?}"),
        })
        .await?;
        self.tick();
        Ok(())
    }

    /// Sends what was added, which must be refused with this status and these words.
    pub(crate) async fn refused(&mut self, status: StatusCode, words: &[&str]) -> Result<()> {
        let body = self.take_body();
        self.refused_body(&body, status, words).await
    }

    /// As [`Feed::refused`], for any body.
    pub(crate) async fn refused_body(
        &mut self,
        body: &str,
        status: StatusCode,
        words: &[&str],
    ) -> Result<()> {
        let (found, text) = self.post(body).await?;
        let short: String = body.chars().take(300).collect();
        ensure!(found == status, "{short}: expected {status}, got {found} {text}");
        for word in words {
            ensure!(text.contains(word), "{short}: {word:?} is not in {text:?}");
        }
        Ok(())
    }

    /// Promises everything so far; answers the time of the mark.
    pub(crate) async fn mark(&mut self) -> Result<String> {
        let at = self.tick();
        let answer = self.post(&format!(r#"{{"resolved":"{at}"}}"#)).await?;
        ensure!(answer.0 == StatusCode::OK, "the mark was refused: {answer:?}");
        self.tick();
        Ok(at)
    }

    /// Sends, promises, and waits until it is applied.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        if !self.rows.is_empty() {
            self.send().await?;
        }
        let at = self.mark().await?;
        self.applied(&at).await
    }

    /// Waits until the schema is applied up to this time.
    pub(crate) async fn applied(&mut self, at: &str) -> Result<()> {
        let (nanos, _) = at.split_once('.').context("not a time")?;
        let schema = self.schema_name();
        let sql = format!(
            "SELECT CASE WHEN f.applied_nanos >= {nanos} THEN 'applied' ELSE coalesce(s.reason, 'not yet') END \
             FROM _cdc_sink.frontiers f LEFT JOIN _cdc_sink.stalls s USING (target_db, target_schema) \
             WHERE target_schema = '{schema}'"
        );
        eventually(SOON, "the mark to be applied", async || match self.value(&sql).await? {
            Some(state) if state == "applied" => Ok(()),
            state => bail!("{state:?}"),
        })
        .await
    }

    /// The schema's name as SQL text.
    fn schema_name(&self) -> String {
        let mut bytes = self.schema.bytes();
        let mut plain = Vec::new();
        while let Some(byte) = bytes.next() {
            let hex: String =
                if byte == b'%' { bytes.by_ref().take(2).map(char::from).collect() } else { String::new() };
            plain.push(u8::from_str_radix(&hex, 16).unwrap_or(byte));
        }
        String::from_utf8_lossy(&plain).replace('\'', "''")
    }

    /// Waits until the schema stands still for a reason that contains these words.
    pub(crate) async fn stalled(&mut self, words: &[&str]) -> Result<String> {
        let schema = self.schema_name();
        let sql = format!("SELECT reason FROM _cdc_sink.stalls WHERE target_schema = '{schema}'");
        let reason = eventually(SOON, "a stall", async || match self.value(&sql).await {
            Ok(Some(reason)) => Ok(reason),
            other => bail!("{other:?}"),
        });
        let reason = reason.await?;
        for word in words {
            ensure!(reason.contains(word), "{word:?} is not in {reason:?}");
        }
        Ok(reason)
    }

    /// Waits until the schema moves again.
    pub(crate) async fn healed(&mut self) -> Result<()> {
        let schema = self.schema_name();
        let sql = format!("SELECT reason FROM _cdc_sink.stalls WHERE target_schema = '{schema}'");
        eventually(SOON, "the stall to end", async || match self.value(&sql).await {
            Ok(None) => Ok(()),
            other => bail!("{other:?}"),
        })
        .await
    }

    /// Runs SQL at the target.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<()> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.sql).await;
        done.map(drop).with_context(|| sql.to_owned())
    }

    /// The text in the first column of the first row.
    pub(crate) async fn value(&mut self, sql: &str) -> Result<Option<String>> {
        let found = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql.to_owned()));
        Ok(found.fetch_optional(&mut self.sql).await.with_context(|| sql.to_owned())?.flatten())
    }

    /// The rows of a query as text, such as `(1,a)`, joined by spaces.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<String> {
        let all = format!("SELECT coalesce(string_agg(q::text, ' '), '') FROM ({sql}) q");
        Ok(self.value(&all).await?.unwrap_or_default())
    }

    /// Checks what a query finds.
    pub(crate) async fn shows(&mut self, sql: &str, expected: &str) -> Result<()> {
        let found = self.rows(sql).await?;
        ensure!(found == expected, "{sql}: expected {expected}, found {found}");
        Ok(())
    }

    /// One of the service's metrics: the sum over all lines that begin with the name and contain the label text.
    pub(crate) async fn metric(&mut self, name: &str, label: &str) -> Result<f64> {
        let (_, text) = self.client.get("/_/varz").await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// The state of the schema as `/_/readyz` shows it.
    pub(crate) async fn readyz(&mut self) -> Result<(StatusCode, String)> {
        let (status, text) = self.client.get("/_/readyz").await?;
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }
}

/// A time of the source.
pub(crate) fn time(nanos: u64) -> String {
    format!("{nanos}.0000000000")
}

/// A row of the wrapped envelope.
pub(crate) fn row(topic: &str, time: &str, key: &str, after: Option<&str>, before: Option<&str>) -> String {
    let topic = serde_json::Value::from(topic);
    let before = before.map(|before| format!(r#""before": {before}, "#)).unwrap_or_default();
    let after = after.unwrap_or("null");
    format!(r#"{{"after": {after}, {before}"key": {key}, "topic": {topic}, "updated": "{time}"}}"#)
}

/// A body of rows.
pub(crate) fn body(rows: &[String]) -> String {
    format!(r#"{{"payload":[{}],"length":{}}}"#, rows.join(", "), rows.len())
}
