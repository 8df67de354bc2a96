//! The statements that the pages on behaviours print, run as they are printed: against a database called `some_db` with
//! the table and columns that they name, and then a feed that shows what each of them does.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use tests::harness::Signal;
use tests::harness::postgres::{PostgresServer, Settings};
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;

use crate::posting::{Feed, SOON, webhook};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario(
            "documented::each_printed_statement_does_what_its_page_says",
            &[Need::PostgresBinaries],
            each,
        ),
        scenario("documented::all_printed_statements_together", &[Need::PostgresBinaries], together),
        scenario(
            "documented::both_forms_of_a_statement_store_the_same",
            &[Need::PostgresBinaries],
            both_forms,
        ),
        scenario("documented::the_printed_expressions_give_what_is_printed", &[Need::Postgres], expressions),
        scenario(
            "documented::rows_staged_before_a_change_wait_for_a_fitting_one",
            &[Need::PostgresBinaries],
            before,
        ),
    ]
}

const PAGES: [&str; 6] = ["compare-and-set", "deadlines", "extras", "ignore", "rename", "expressions"];

/// Has every column that the statements name, but the one that may exist only at the source.
const MY_TABLE: &str = "CREATE TABLE public.my_table (id int8 PRIMARY KEY, major_version int8, minor_version int8, \
                        patch_version int8, updated_at timestamptz, overflow_data jsonb, \
                        column_in_target_cluster text, value int8, did_migrate bool)";

fn page(name: &str) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no parent")?;
    let file = root.join("docs/behaviours").join(name).with_extension("md");
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// The statements of a page that begin with a word, in order.
fn printed(name: &str, word: &str) -> Result<Vec<String>> {
    let text = page(name)?;
    let blocks = text.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    Ok(blocks.filter(|sql| sql.starts_with(word)).map(str::to_owned).collect())
}

/// All statements in CockroachDB's words, by page.
fn upserts() -> Result<Vec<String>> {
    let each = PAGES.iter().map(|name| printed(name, "UPSERT")).collect::<Result<Vec<_>>>()?;
    let all = each.concat();
    ensure!(all.len() == 7, "the pages print {} statements", all.len());
    Ok(all)
}

/// The one place where CockroachDB's words become PostgreSQL's: `UPSERT INTO t (…)` inserts, and sets the columns that
/// it lists where the key is there already.
fn for_postgres(upsert: &str) -> Result<String> {
    let rest = upsert.strip_prefix("UPSERT").context("not an UPSERT")?;
    let (_, list) = rest.split_once('(').context("no list of columns")?;
    let (list, _) = list.split_once(')').context("an open list of columns")?;
    let (key, others): (Vec<&str>, Vec<&str>) =
        list.split(',').map(str::trim).partition(|column| column.starts_with("target_"));
    let sets: Vec<String> = others.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    let statement = rest.trim_end().trim_end_matches(';');
    Ok(format!("INSERT{statement} ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), sets.join(", ")))
}

/// A feed into `some_db` on a server of its own.
async fn some_db(ctx: &Ctx) -> Result<(PostgresServer, Feed)> {
    let server = PostgresServer::start(&Settings { fsync: false, ..Settings::default() }).await?;
    let database = server.create_database("some_db").await?;
    database.execute(MY_TABLE).await?;
    let service = ServiceProcess::start(webhook(&database, &[]), ctx.folder()).await?;
    let feed = Feed::of(&database, service).await?;
    Ok((server, feed))
}

/// Has the configuration read, and waits until `/_/config/apply` shows this for the table.
async fn in_use(feed: &mut Feed, table: &str, expected: Value) -> Result<()> {
    feed.service.signal(Signal::Hup)?;
    eventually(SOON, "the configuration to be in use", async || {
        let (_, text) = feed.client.get("/_/config/apply").await?;
        let all: Value = serde_json::from_slice(&text)?;
        let shown = &all[table];
        ensure!(shown.is_null() == expected.is_null(), "{shown:#}");
        let differs =
            expected.as_object().into_iter().flatten().find(|(name, value)| shown[name.as_str()] != **value);
        ensure!(differs.is_none(), "{differs:?} is not in {shown:#}");
        anyhow::Ok(())
    })
    .await
}

/// What `/_/config/apply` shows of a table with nothing but one behaviour.
fn only(member: &str, value: Value) -> Value {
    let mut shown = json!({
        "CASColumns": null, "Deadlines": {}, "Exprs": {}, "Extras": "", "Ignore": {}, "SourceNames": {},
        "State": "active", "Problems": [],
    });
    shown[member] = value;
    shown
}

const NAME: &str = "some_db.public.my_table";
const ONE_MINUTE: u64 = 60_000_000_000;

async fn each(ctx: Ctx) -> Result<()> {
    let (_server, mut feed) = some_db(&ctx).await?;
    let mut statements = upserts()?.into_iter();
    let mut next = async |feed: &mut Feed, shown: Value| -> Result<()> {
        feed.execute("DELETE FROM _cdc_sink.apply_config").await?;
        feed.execute(&for_postgres(&statements.next().context("no statement is left")?)?).await?;
        in_use(feed, NAME, shown).await
    };
    // Without any, what has no column is refused.
    for member in ["hat", "dont_care", "column_in_source_data"] {
        feed.put("my_table", "[1]", &format!(r#"{{"id": 1, "{member}": "x"}}"#));
        feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &[member, "my_table"]).await?;
    }

    next(&mut feed, only("CASColumns", json!(["major_version", "minor_version", "patch_version"]))).await?;
    compare_and_set(&mut feed).await?;
    next(&mut feed, only("Deadlines", json!({"updated_at": ONE_MINUTE}))).await?;
    deadline(&mut feed).await?;

    next(&mut feed, only("Extras", json!("overflow_data"))).await?;
    feed.put("my_table", "[3]", r#"{"id": 3, "hat": {"size": 58}, "shoe": 42}"#);
    feed.put("my_table", "[4]", r#"{"id": 4}"#);
    feed.settle().await?;
    let shown = r#"(3,"{""hat"": {""size"": 58}, ""shoe"": 42}") (4,{})"#;
    feed.shows("SELECT id, overflow_data FROM my_table WHERE id IN (3, 4) ORDER BY id", shown).await?;
    feed.put("my_table", "[3]", r#"{"id": 3, "overflow_data": {}}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["overflow_data"]).await?;

    next(&mut feed, only("Ignore", json!({"dont_care": true}))).await?;
    feed.put("my_table", "[5]", r#"{"id": 5, "value": 1, "dont_care": "x"}"#);
    feed.settle().await?;
    feed.shows("SELECT id, value FROM my_table WHERE id = 5", "(5,1)").await?;
    feed.put("my_table", "[5]", r#"{"id": 5, "other": "x"}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["other"]).await?;

    next(&mut feed, only("SourceNames", json!({"column_in_target_cluster": "column_in_source_data"})))
        .await?;
    feed.put("my_table", "[6]", r#"{"id": 6, "column_in_source_data": "a"}"#);
    feed.settle().await?;
    feed.shows("SELECT id, column_in_target_cluster FROM my_table WHERE id = 6", "(6,a)").await?;
    feed.put("my_table", "[6]", r#"{"id": 6, "column_in_target_cluster": "b"}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["column_in_target_cluster"]).await?;

    next(&mut feed, only("Exprs", json!({"value": "2 * $0"}))).await?;
    feed.put("my_table", "[7]", r#"{"id": 7, "value": 3000000000}"#);
    feed.settle().await?;
    feed.shows("SELECT id, value FROM my_table WHERE id = 7", "(7,6000000000)").await?;
    next(&mut feed, only("Exprs", json!({"did_migrate": "true"}))).await?;
    feed.put("my_table", "[8]", r#"{"id": 8}"#);
    feed.put("my_table", "[9]", r#"{"id": 9, "did_migrate": false}"#);
    feed.settle().await?;
    feed.shows("SELECT id, did_migrate FROM my_table WHERE id IN (8, 9) ORDER BY id", "(8,t) (9,t)").await
}

fn version(feed: &mut Feed, (major, minor, patch): (&str, i32, i32), step: i32) {
    let row = format!(
        r#"{{"id": 1, "major_version": {major}, "minor_version": {minor}, "patch_version": {patch}, "value": {step}}}"#
    );
    feed.put("my_table", "[1]", &row);
    feed.tick();
}

/// The example of the page: one by one, then all at once, then with a deletion in it.
async fn compare_and_set(feed: &mut Feed) -> Result<()> {
    let steps = [("1", 2, 3), ("1", 1, 9), ("1", 3, 0), ("1", 3, 0), ("null", 9, 9)];
    let stored =
        "SELECT value, major_version AS a, minor_version AS b, patch_version AS c FROM my_table WHERE id = 1";
    let after = ["(1,1,2,3)", "(1,1,2,3)", "(3,1,3,0)", "(3,1,3,0)", "(3,1,3,0)"];
    for ((step, tuple), shown) in (1..).zip(steps).zip(after) {
        version(feed, tuple, step);
        feed.settle().await?;
        feed.shows(stored, shown).await.with_context(|| format!("step {step}"))?;
    }
    feed.gone("my_table", "[1]");
    feed.settle().await?;
    (1..).zip(steps).for_each(|(step, tuple)| version(feed, tuple, step));
    feed.settle().await?;
    feed.shows(stored, "(3,1,3,0)").await.context("all in one batch")?;
    (1..).zip(&steps[..4]).for_each(|(step, tuple)| version(feed, *tuple, step));
    feed.gone("my_table", "[1]");
    feed.tick();
    version(feed, steps[4], 5);
    feed.settle().await?;
    feed.shows(stored, "(5,,9,9)").await.context("with a deletion")?;
    // Deletions always apply; a row without a version is refused.
    feed.gone("my_table", "[1]");
    feed.settle().await?;
    feed.shows(stored, "").await?;
    feed.put("my_table", "[1]", r#"{"id": 1, "major_version": 1, "minor_version": 2}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["patch_version", "cas_order"]).await
}

/// The time of the target some seconds ago, as a feed writes it.
async fn ago(feed: &mut Feed, seconds: u32) -> Result<String> {
    let sql = format!("SELECT to_char(now() - interval '{seconds}s', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    feed.value(&sql).await?.context("no time")
}

async fn deadline(feed: &mut Feed) -> Result<()> {
    let (young, old) = (ago(feed, 0).await?, ago(feed, 61).await?);
    let stored = "SELECT id, value FROM my_table WHERE id = 2";
    let times = [format!("\"{young}\""), format!("\"{old}\""), "null".to_owned()];
    for (step, at) in times.iter().enumerate() {
        feed.put("my_table", "[2]", &format!(r#"{{"id": 2, "updated_at": {at}, "value": {step}}}"#));
        feed.settle().await?;
        feed.shows(stored, "(2,0)").await.with_context(|| format!("step {step}"))?;
    }
    feed.gone("my_table", "[2]");
    feed.settle().await?;
    feed.put("my_table", "[2]", &format!(r#"{{"id": 2, "updated_at": "{old}", "value": 9}}"#));
    feed.settle().await?;
    feed.shows(stored, "").await?;
    let late = feed.metric("apply_discarded_total", "reason=\"deadline\"").await?;
    ensure!(late > 2.5, "{late} versions were counted as late");
    feed.put("my_table", "[2]", r#"{"id": 2, "value": 9}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["updated_at", "deadline"]).await
}

/// The members of a row for the table with all behaviours.
fn full(id: i64, versions: (i32, i32, i32), at: &str, value: &str) -> String {
    let (major, minor, patch) = versions;
    format!(
        r#"{{"id": {id}, "major_version": {major}, "minor_version": {minor}, "patch_version": {patch}, "updated_at": "{at}", "dont_care": [1], "column_in_source_data": "a", "value": {value}, "hat": 58}}"#
    )
}

async fn together(ctx: Ctx) -> Result<()> {
    let (_server, mut feed) = some_db(&ctx).await?;
    for statement in upserts()? {
        feed.execute(&for_postgres(&statement)?).await?;
    }
    let shown = json!({
        "CASColumns": ["major_version", "minor_version", "patch_version"],
        "Deadlines": {"updated_at": ONE_MINUTE},
        "Exprs": {"did_migrate": "true", "value": "2 * $0"},
        "Extras": "overflow_data",
        "Ignore": {"dont_care": true},
        "SourceNames": {"column_in_target_cluster": "column_in_source_data"},
        "State": "active",
        "Problems": [],
    });
    in_use(&mut feed, NAME, shown).await?;
    for (id, query) in [(1, ""), (2, "?immediate=true")] {
        query.clone_into(&mut feed.query);
        let key = format!("[{id}]");
        let (young, old) = (ago(&mut feed, 0).await?, ago(&mut feed, 61).await?);
        let versions = [
            full(id, (1, 2, 3), &young, "21"),
            full(id, (1, 2, 2), &young, "1"),
            full(id, (9, 9, 9), &old, "2"),
            full(id, (1, 3, 0), &young, "22"),
            full(id, (1, 3, 0), &young, "3"),
        ];
        for version in &versions {
            feed.put("my_table", &key, version);
            feed.tick();
        }
        feed.settle().await?;
        let shown = format!("({id},1,3,0,44,a,t,\"{{\"\"hat\"\": 58}}\")");
        let stored = format!(
            "SELECT id, major_version, minor_version, patch_version, value, column_in_target_cluster, did_migrate, \
             overflow_data FROM my_table WHERE id = {id}"
        );
        feed.shows(&stored, &shown).await.with_context(|| format!("with the query {query:?}"))?;
        feed.gone("my_table", &key);
        feed.settle().await?;
        feed.shows(&stored, "").await?;
    }
    Ok(())
}

/// What a statement leaves in an empty table, and in one where all its rows have other values.
async fn stores(feed: &mut Feed, statement: &str) -> Result<[String; 2]> {
    let all = "SELECT * FROM _cdc_sink.apply_config ORDER BY target_column";
    feed.execute("DELETE FROM _cdc_sink.apply_config").await?;
    feed.execute(statement).await?;
    let fresh = feed.rows(all).await?;
    let other = "UPDATE _cdc_sink.apply_config SET cas_order = 7, deadline = '7s', expr = '7', extras = false, \
                 \"ignore\" = false, src_name = '7'";
    feed.execute(other).await?;
    feed.execute(statement).await?;
    Ok([fresh, feed.rows(all).await?])
}

async fn both_forms(ctx: Ctx) -> Result<()> {
    let (_server, mut feed) = some_db(&ctx).await?;
    for name in PAGES {
        let (upserts, inserts) = (printed(name, "UPSERT")?, printed(name, "INSERT")?);
        ensure!(!upserts.is_empty() && upserts.len() == inserts.len(), "{name} lacks a form");
        for (upsert, insert) in upserts.iter().zip(&inserts) {
            let cockroach = stores(&mut feed, &for_postgres(upsert)?).await?;
            let postgres = stores(&mut feed, insert).await?;
            ensure!(cockroach == postgres, "{name}: {cockroach:?} is not {postgres:?}");
            ensure!(
                cockroach[0] != cockroach[1] && !cockroach[0].is_empty(),
                "{name}: nothing is overwritten"
            );
        }
    }
    Ok(())
}

/// A row of the table of examples: expression, type of the column, incoming value, what is written.
fn examples() -> Result<Vec<[String; 4]>> {
    let page = page("expressions")?;
    let (_, table) = page.split_once("| `expr` | column | incoming | written |").context("no table")?;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<String> = line
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').replace('\u{1}', "|"))
            .collect();
        <[String; 4]>::try_from(cells).map_err(|cells| anyhow::anyhow!("no four cells: {cells:?}"))
    };
    rows.map(row).collect()
}

async fn expressions(ctx: Ctx) -> Result<()> {
    let examples = examples()?;
    ensure!(examples.len() >= 7, "only {} examples were found", examples.len());
    let columns: String =
        examples.iter().enumerate().map(|(at, [_, sql_type, ..])| format!(", c{at} {sql_type}")).collect();
    let mut feed =
        Feed::start(&ctx, &format!("CREATE TABLE my_table (id int8 PRIMARY KEY{columns})"), &[]).await?;
    let mut members = String::from(r#""id": 1"#);
    for (at, [expr, _, incoming, _]) in examples.iter().enumerate() {
        let expr = expr.replace('\'', "''");
        let sql = format!(
            "INSERT INTO _cdc_sink.apply_config (target_db, target_schema, target_table, target_column, expr) \
             VALUES (current_database(), 'public', 'my_table', 'c{at}', '{expr}')"
        );
        feed.execute(&sql).await?;
        if incoming != "(nothing)" {
            members.push_str(&format!(r#", "c{at}": {incoming}"#));
        }
    }
    let name = format!("{}.public.my_table", feed.database);
    in_use(&mut feed, &name, json!({"State": "active", "Problems": []})).await?;
    feed.put("my_table", "[1]", &format!("{{{members}}}"));
    feed.settle().await?;
    for (at, [expr, _, incoming, written]) in examples.iter().enumerate() {
        let found = feed.value(&format!("SELECT c{at}::text FROM my_table")).await?;
        ensure!(found.as_ref() == Some(written), "{expr} of {incoming}: expected {written}, found {found:?}");
    }
    Ok(())
}

async fn before(ctx: Ctx) -> Result<()> {
    let (_server, mut feed) = some_db(&ctx).await?;
    let rename = printed("rename", "UPSERT")?.concat();
    let renamed = only("SourceNames", json!({"column_in_target_cluster": "column_in_source_data"}));
    feed.execute(&for_postgres(&rename)?).await?;
    in_use(&mut feed, NAME, renamed.clone()).await?;
    feed.put("my_table", "[1]", r#"{"id": 1, "column_in_source_data": "a"}"#);
    feed.send().await?;
    feed.execute("DELETE FROM _cdc_sink.apply_config").await?;
    in_use(&mut feed, NAME, Value::Null).await?;
    let at = feed.mark().await?;
    feed.stalled(&["column_in_source_data", "my_table"]).await?;
    feed.execute(&for_postgres(&rename)?).await?;
    in_use(&mut feed, NAME, renamed).await?;
    feed.applied(&at).await?;
    feed.shows("SELECT id, column_in_target_cluster FROM my_table", "(1,a)").await
}
