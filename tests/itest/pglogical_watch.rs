//! Tables that leave a publication and come back: the feed ends instead of going on without the rows in between.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::support::pair::{Pair, fingerprint};
use crate::support::replication::confirmed;
use crate::support::watch::metric;

const NEEDS: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
/// Longest wait for something that happens by itself.
const SOON: Duration = Duration::from_secs(30);
/// Exit code: a person has to decide.
const REFUSED: Option<i32> = Some(4);
const TABLES: &str =
    "CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text)";
/// A row that no stream has.
const OUT_AND_IN: &str = "ALTER PUBLICATION my_pub DROP TABLE b; INSERT INTO b VALUES (2, 'unseen'); \
                          ALTER PUBLICATION my_pub ADD TABLE b";

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("pglogical_watch_ends_at_a_gap_while_it_streams", NEEDS, streaming),
        scenario("pglogical_watch_refuses_a_gap_of_when_it_was_stopped", NEEDS, stopped),
        scenario("pglogical_watch_goes_on_where_nothing_is_missing", NEEDS, harmless),
        scenario("pglogical_watch_finds_every_kind_of_gap", NEEDS, kinds),
        scenario("pglogical_watch_refuses_what_came_after_the_slot", NEEDS, after_slot),
        scenario("pglogical_watch_compares_with_what_was_copied", NEEDS, after_copy),
        scenario("pglogical_watch_leaves_out_what_comes_while_the_slot_is_made", NEEDS, while_made),
        scenario("pglogical_watch_shows_the_slot", NEEDS, figures),
    ]
}

async fn start(ctx: &Ctx) -> Result<Pair> {
    let pair = Pair::start(ctx, TABLES).await?;
    pair.publish("FOR TABLE a, b").await?;
    Ok(pair)
}

/// What is noted of the source's publications, in the target.
async fn noted(pair: &Pair) -> Result<String> {
    let mut target = pair.target.connect().await?;
    let sql = "SELECT published::text FROM _cdc_sink.positions WHERE feed = 'pglogical'";
    let text: Option<String> = sqlx::query_scalar(sql).fetch_one(&mut target).await?;
    text.context("nothing is noted")
}

/// Waits for the process to end by itself, with this in what it says.
async fn refuses(process: &mut ServiceProcess, parts: &[&str]) -> Result<()> {
    let code = process.wait_for_exit(SOON).await.with_context(|| process.log_tail())?.code();
    let said = process.log_tail();
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    ensure!(
        code == REFUSED && parts.iter().all(|part| error.contains(part)),
        "{code:?} without {parts:?}:\n{said}"
    );
    Ok(())
}

async fn ends_well(mut process: ServiceProcess) -> Result<()> {
    ensure!(process.terminate(SOON).await? == Some(0), "{}", process.log_tail());
    Ok(())
}

async fn streaming(ctx: Ctx) -> Result<()> {
    let pair = start(&ctx).await?;
    let mut process = pair.run().await?;
    pair.origin.execute("INSERT INTO a VALUES (1, 'a'); INSERT INTO b VALUES (1, 'b')").await?;
    pair.caught_up().await?;
    let before = noted(&pair).await?;
    pair.origin.execute(OUT_AND_IN).await?;
    pair.origin.execute("INSERT INTO b VALUES (3, 'after')").await?;
    let parts = [
        "table public.b was taken out of publication \"my_pub\"",
        "copy it anew",
        "--acceptPublicationChanges",
    ];
    refuses(&mut process, &parts).await?;
    // In good order: the slot is free, and the source was told of nothing that is not in the target.
    let mut origin = pair.origin.connect().await?;
    let confirmed = confirmed(&mut origin, "cdc_sink").await?;
    ensure!(confirmed <= pair.stored_by("pglogical").await?, "{confirmed} is acknowledged and not stored");
    ensure!(noted(&pair).await? == before, "what was found is noted as if it was accepted");
    // Starting again changes nothing about that, whatever the stored position is by now.
    for name in ["again", "and again"] {
        let mut process = ServiceProcess::spawn(pair.service().named(name), pair.folder())?;
        refuses(&mut process, &parts).await?;
    }
    Ok(())
}

async fn stopped(ctx: Ctx) -> Result<()> {
    let pair = start(&ctx).await?;
    let process = pair.run().await?;
    pair.origin.execute("INSERT INTO b VALUES (1, 'b')").await?;
    pair.caught_up().await?;
    ends_well(process).await?;
    pair.origin.execute(OUT_AND_IN).await?;
    pair.origin.execute("INSERT INTO b VALUES (3, 'after')").await?;
    let mut process = ServiceProcess::spawn(pair.service().named("stopped"), pair.folder())?;
    refuses(&mut process, &["table public.b", "put in again", "--acceptPublicationChanges"]).await?;
    ensure!(fingerprint(&pair.target, "public.b").await? == ["(1,b)"], "it went on over the gap");

    // Copied by hand, as asked for, then told to go on.
    pair.target.execute("INSERT INTO b VALUES (2, 'unseen')").await?;
    let accepting = pair.service().named("accepting").args(["--acceptPublicationChanges"]);
    let mut process = ServiceProcess::start(accepting, pair.folder()).await?;
    pair.caught_up().await?;
    pair.same(&["public.a", "public.b"]).await?;
    // That was for once: what comes later is found by the same process.
    pair.origin.execute(OUT_AND_IN.replace("(2,", "(4,").as_str()).await?;
    refuses(&mut process, &["table public.b", "put in again"]).await?;

    pair.target.execute("INSERT INTO b VALUES (4, 'unseen')").await?;
    let accepting = pair.service().named("once more").args(["--acceptPublicationChanges"]);
    ends_well(ServiceProcess::start(accepting, pair.folder()).await?).await?;
    // Accepted for good: without the flag it goes on as well.
    let process = ServiceProcess::start(pair.service().named("later"), pair.folder()).await?;
    pair.origin.execute("INSERT INTO b VALUES (5, 'later')").await?;
    pair.caught_up().await?;
    pair.same(&["public.a", "public.b"]).await?;
    ends_well(process).await
}

async fn harmless(ctx: Ctx) -> Result<()> {
    let pair = start(&ctx).await?;
    let process = pair.run().await?;
    pair.origin.execute("CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c VALUES (1)").await?;
    pair.target.execute("CREATE TABLE c (id int PRIMARY KEY)").await?;
    pair.origin.execute("ALTER PUBLICATION my_pub ADD TABLE c").await?;
    pair.origin.execute("INSERT INTO c VALUES (2)").await?;
    pair.origin.execute("DROP TABLE a").await?;
    let told = async || -> Result<()> {
        let log = std::fs::read_to_string(process.log())?;
        ensure!(log.contains("table public.c came into publication") && log.contains("is not sent"), "{log}");
        ensure!(log.contains("table public.a of publication") && log.contains("was dropped"), "{log}");
        let noted = noted(&pair).await?;
        ensure!(noted.contains("\"c\"") && !noted.contains("\"a\""), "{noted}");
        Ok(())
    };
    wait::eventually(SOON, "the changes to be told and noted", told).await?;
    pair.caught_up().await?;
    ensure!(fingerprint(&pair.target, "public.c").await? == ["(2)"]);
    ends_well(process).await?;

    // What was added is watched from then on, and what happens while nobody looks is told at the start.
    pair.origin.execute("CREATE TABLE d (id int PRIMARY KEY)").await?;
    pair.target.execute("CREATE TABLE d (id int PRIMARY KEY)").await?;
    pair.origin.execute("ALTER PUBLICATION my_pub ADD TABLE d; INSERT INTO d VALUES (1)").await?;
    let process = ServiceProcess::start(pair.service().named("stopped"), pair.folder()).await?;
    pair.caught_up().await?;
    pair.same(&["public.d"]).await?;
    ensure!(std::fs::read_to_string(process.log())?.contains("table public.d came into publication"));
    ends_well(process).await?;
    pair.origin
        .execute("ALTER PUBLICATION my_pub DROP TABLE c; ALTER PUBLICATION my_pub ADD TABLE c")
        .await?;
    let mut process = ServiceProcess::spawn(pair.service().named("again"), pair.folder())?;
    refuses(&mut process, &["table public.c", "put in again"]).await
}

async fn kinds(ctx: Ctx) -> Result<()> {
    let pair = start(&ctx).await?;
    ends_well(pair.run().await?).await?;
    let steps = [
        ("ALTER PUBLICATION my_pub DROP TABLE b", "public.b was taken out"),
        ("ALTER PUBLICATION my_pub SET (publish = 'insert, update, delete')", "other operations"),
        ("ALTER PUBLICATION my_pub SET TABLE a WHERE (id > 7)", "another row filter"),
    ];
    for (at, (statement, part)) in steps.into_iter().enumerate() {
        pair.origin.execute(statement).await?;
        let mut process =
            ServiceProcess::spawn(pair.service().named(&format!("refused{at}")), pair.folder())?;
        refuses(&mut process, &[part, "--acceptPublicationChanges"]).await.context(statement)?;
        let accepting = pair.service().named(&format!("accepted{at}")).args(["--acceptPublicationChanges"]);
        ends_well(ServiceProcess::start(accepting, pair.folder()).await?).await.context(statement)?;
    }
    // A publication made anew under an empty slot: nothing but the numbers tell.
    let mut process = pair.run().await?;
    pair.caught_up().await?;
    pair.origin
        .execute(
            "BEGIN; DROP PUBLICATION my_pub; CREATE PUBLICATION my_pub FOR TABLE a WHERE (id > 7); COMMIT",
        )
        .await?;
    refuses(&mut process, &["publication \"my_pub\" was made anew", "new snapshot"]).await
}

/// Nobody has looked when the slot was made: numbers of transactions tell what cannot be excluded.
async fn after_slot(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, TABLES).await?;
    pair.publish("FOR TABLE a").await?;
    pair.origin.execute("INSERT INTO b VALUES (2, 'unseen'); ALTER PUBLICATION my_pub ADD TABLE b").await?;
    pair.origin.execute("INSERT INTO b VALUES (3, 'after'); INSERT INTO a VALUES (1, 'a')").await?;
    let mut process = ServiceProcess::spawn(pair.service().named("look"), pair.folder())?;
    let code = process.wait_for_exit(SOON).await?.code();
    let said = process.log_tail();
    ensure!(
        code == REFUSED && said.contains("source_table_newer_than_slot") && said.contains("public.b"),
        "{code:?} {said}"
    );
    // Not only the look before the start sees it.
    let reporting = pair.service().args(["--preflight", "report"]);
    let mut process = ServiceProcess::spawn(reporting.named("stream"), pair.folder())?;
    let parts =
        ["table public.b may have come into publication \"my_pub\" after the slot", "--acceptPublication"];
    refuses(&mut process, &parts).await?;
    ensure!(fingerprint(&pair.target, "public.b").await?.is_empty(), "it went on over the gap");

    pair.target.execute("INSERT INTO b VALUES (2, 'unseen')").await?;
    let accepting = pair.service().named("accepting").args(["--acceptPublicationChanges"]);
    let process = ServiceProcess::start(accepting, pair.folder()).await?;
    pair.caught_up().await?;
    pair.same(&["public.a", "public.b"]).await?;
    ends_well(process).await?;
    // From then on there is something to compare with.
    let process = ServiceProcess::start(pair.service().named("later"), pair.folder()).await?;
    pair.origin.execute("INSERT INTO b VALUES (4, 'later')").await?;
    pair.caught_up().await?;
    pair.same(&["public.a", "public.b"]).await?;
    ends_well(process).await
}

/// What was published when the slot of a snapshot was made is noted before the first table is copied.
async fn after_copy(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, TABLES).await?;
    pair.origin
        .execute("CREATE PUBLICATION my_pub FOR TABLE a, b; INSERT INTO b VALUES (1, 'copied')")
        .await?;
    let mut process = ServiceProcess::spawn(pair.service().args(["--snapshotMode", "only"]), pair.folder())?;
    ensure!(process.wait_for_exit(SOON).await?.success(), "{}", process.log_tail());
    ensure!(noted(&pair).await?.contains("\"b\""), "what was published is not noted");
    pair.origin.execute(OUT_AND_IN).await?;
    let initial = pair.service().named("initial").args(["--snapshotMode", "initial"]);
    let mut process = ServiceProcess::spawn(initial, pair.folder())?;
    refuses(&mut process, &["table public.b was taken out", "put in again", "copy it anew"]).await
}

/// The slot waits for a transaction; meanwhile a table comes, with a row that no stream has.
async fn while_made(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, TABLES).await?;
    pair.origin.execute("CREATE PUBLICATION my_pub FOR TABLE a; INSERT INTO b VALUES (1, 'before')").await?;
    let mut open = pair.origin.connect().await?;
    sqlx::raw_sql("BEGIN; INSERT INTO a VALUES (1, 'open')").execute(&mut open).await?;
    let initial = pair.service().args(["--snapshotMode", "initial"]);
    let process = ServiceProcess::spawn(initial, pair.folder())?;
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE_REPLI%'";
    let mut origin = pair.origin.connect().await?;
    wait::eventually(SOON, "the slot to wait", async || -> Result<()> {
        let found: i64 = sqlx::query_scalar(waits).fetch_one(&mut origin).await?;
        ensure!(found == 1, "{found} wait; {}", process.log_tail());
        Ok(())
    })
    .await?;
    pair.origin.execute("ALTER PUBLICATION my_pub ADD TABLE b").await?;
    sqlx::raw_sql("COMMIT").execute(&mut open).await?;
    wait::eventually(SOON, "the first table", async || -> Result<()> {
        ensure!(fingerprint(&pair.target, "public.a").await? == ["(1,open)"], "{}", process.log_tail());
        Ok(())
    })
    .await?;
    pair.origin.execute("INSERT INTO b VALUES (2, 'after')").await?;
    pair.caught_up().await?;
    ensure!(fingerprint(&pair.target, "public.b").await? == ["(2,after)"], "{}", process.log_tail());
    let log = std::fs::read_to_string(process.log())?;
    for part in ["while the slot was made, and is not copied", "table public.b came into publication"] {
        ensure!(log.contains(part), "{part} is missing: {log}");
    }
    ends_well(process).await
}

async fn figures(ctx: Ctx) -> Result<()> {
    let pair = start(&ctx).await?;
    let process = pair.run().await?;
    pair.caught_up().await?;
    let shown = async || -> Result<()> {
        let reserved = metric(&process, "slot_wal_status{feed=\"pglogical\",status=\"reserved\"}").await?;
        let lost = metric(&process, "slot_wal_status{feed=\"pglogical\",status=\"lost\"}").await?;
        let safe = metric(&process, "slot_safe_wal_bytes{feed=\"pglogical\"}").await?;
        let retained = metric(&process, "slot_retained_wal_bytes{feed=\"pglogical\"}").await?;
        ensure!((reserved, lost) == (1.0, 0.0) && safe == f64::INFINITY, "{reserved} {lost} {safe}");
        ensure!(retained > 0.0, "{retained}");
        Ok(())
    };
    wait::eventually(SOON, "the slot's figures", shown).await?;
    // As in the original, by table: here one statement for one, and one for two.
    pair.origin.execute("INSERT INTO a VALUES (-1, 'one')").await?;
    pair.caught_up().await?;
    pair.origin
        .execute("BEGIN; INSERT INTO a VALUES (-2, 'two'); INSERT INTO b VALUES (-2, 'two'); COMMIT")
        .await?;
    pair.caught_up().await?;
    for (table, least) in [("a", 1.0), ("*", 1.0)] {
        let database = pair.target.name();
        let labels = format!("{{database=\"{database}\",schema=\"public\",table=\"{table}\"}}");
        ensure!(
            metric(&process, &format!("apply_duration_seconds_count{labels}")).await? >= least,
            "{table}"
        );
    }
    let before = metric(&process, "slot_retained_wal_bytes{feed=\"pglogical\"}").await?;
    // A transaction that is open holds the slot back.
    let mut open = pair.origin.connect().await?;
    sqlx::raw_sql("BEGIN; INSERT INTO a VALUES (1, 'open')").execute(&mut open).await?;
    pair.origin.execute("INSERT INTO b SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i").await?;
    wait::eventually(SOON, "the slot to keep more", async || -> Result<()> {
        let now = metric(&process, "slot_retained_wal_bytes{feed=\"pglogical\"}").await?;
        ensure!(now > before + 1_000_000.0, "{before} before, {now} now");
        Ok(())
    })
    .await?;
    ends_well(process).await
}
