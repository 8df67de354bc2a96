//! What preflight finds on real servers, and that every statement it prints does what it says.

use anyhow::{Context as _, Result, ensure};
use sink_core::flow::OnTruncate;
use sink_core::flow::preflight::target::WriteMode;
use sink_core::flow::preflight::{Severity, Side};
use source_pglogical::preflight::{Since, SnapshotMode};
use source_pglogical::transport::{NewSlot, Session, SnapshotAction};
use sqlx::{AssertSqlSafe, Row as _};
use tests::harness::postgres::{PostgresServer, Shutdown};
use tests::harness::runner::{Need, Scenario, scenario};

use crate::support::preflight::{Pair, Settings, codes, find};
use crate::support::replication::{LIMIT, config, server, stream};

pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::PostgresBinaries];
    vec![
        scenario("pglogical_preflight::a_pair_made_by_the_printed_statements_passes", NEEDS, |_| {
            from_nothing()
        }),
        scenario("pglogical_preflight::keys_that_cannot_be_followed_are_told", NEEDS, |_| keys()),
        scenario("pglogical_preflight::columns_that_do_not_fit_are_told", NEEDS, |_| columns()),
        scenario("pglogical_preflight::partitions_lists_and_filters_are_told", NEEDS, |_| partitions()),
        scenario(
            "pglogical_preflight::a_publication_younger_than_what_the_slot_holds_is_told",
            NEEDS,
            |_| younger(),
        ),
        scenario("pglogical_preflight::slots_of_no_use_are_told", NEEDS, |_| slots()),
        scenario("pglogical_preflight::settings_of_the_server_are_told", NEEDS, |_| settings()),
        scenario("pglogical_preflight::foreign_keys_and_triggers_are_dropped_and_restored", NEEDS, |_| {
            foreign_keys()
        }),
        scenario("pglogical_preflight::sequences_are_copied_by_what_is_printed", NEEDS, |_| sequences()),
    ]
}

async fn pair() -> Result<Pair> {
    Pair::on(server().await?).await
}

/// Findings that every fresh server has.
const ALWAYS: &[(&str, &str)] = &[("source_retention_unlimited", "source"), ("source_truncate", "p")];

const SLOT: &str = "SELECT pg_create_logical_replication_slot('s', 'pgoutput')";

async fn from_nothing() -> Result<()> {
    let pair = pair().await?;
    let tables = r#"CREATE SCHEMA app; CREATE TABLE app.orders (id int PRIMARY KEY, "Sum" numeric(10,2) NOT NULL);
        CREATE TABLE app.keyless (v text)"#;
    pair.source.execute(tables).await?;
    let all = Settings::default();
    let report = pair.look(all).await?;
    ensure!(!report.passes(), "{report}");
    let initial = pair.look(Settings { snapshot: SnapshotMode::Initial, ..all }).await?;
    ensure!(initial.passes(), "publication and slot would be made:\n{initial}");

    pair.mend(all, "source_publication_missing", "p", 0).await?;
    pair.mend(all, "source_slot_missing", "s", 0).await?;
    pair.mend(all, "target_table_missing", "app.orders", 0).await?;
    let report = pair.mend(all, "source_retention_unlimited", "source", 0).await?;
    ensure!(codes(&report) == [("source_truncate", "p"), ("source_retention_limited", "source")], "{report}");
    ensure!(report.passes() && report.to_json()["passes"] == true, "{report}");

    // The statement copies no more than what is published; other ways to have the same.
    pair.target.execute("DROP TABLE app.orders").await?;
    let create = Settings { snapshot: SnapshotMode::Initial, create_tables: true, ..all };
    let report = pair.look(create).await?;
    ensure!(find(&report, "target_table_missing", "app.orders")?.severity == Severity::Info, "{report}");
    Ok(())
}

async fn keys() -> Result<()> {
    let pair = pair().await?;
    let source = "
        CREATE TABLE hidden (id int PRIMARY KEY, code int NOT NULL UNIQUE);
        ALTER TABLE hidden REPLICA IDENTITY USING INDEX hidden_code_key;
        CREATE TABLE elsewhere (id int PRIMARY KEY, code int NOT NULL);
        CREATE TABLE late (id int, CONSTRAINT late_key PRIMARY KEY (id) DEFERRABLE);
        CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
        CREATE TABLE keyless (id int NOT NULL); CREATE TABLE whole (id int NOT NULL, v text);
        ALTER TABLE whole REPLICA IDENTITY FULL;
        CREATE TABLE anew (id int PRIMARY KEY, code int NOT NULL UNIQUE);
        ALTER TABLE anew REPLICA IDENTITY USING INDEX anew_code_key;
        CREATE TABLE narrow (id int PRIMARY KEY, other int NOT NULL, v text); ALTER TABLE narrow REPLICA IDENTITY FULL;
        CREATE PUBLICATION p FOR TABLE hidden, elsewhere, late, nothing, keyless, whole, anew, narrow (id, v)
            WITH (publish = 'insert, update, delete')";
    let target = "
        CREATE TABLE hidden (id int PRIMARY KEY, code int NOT NULL);
        CREATE TABLE elsewhere (id int NOT NULL, code int PRIMARY KEY);
        CREATE TABLE late (id int, CONSTRAINT tk PRIMARY KEY (id) DEFERRABLE);
        CREATE TABLE nothing (id int); CREATE TABLE keyless (id int PRIMARY KEY);
        CREATE TABLE whole (id int PRIMARY KEY, v text);
        CREATE TABLE anew (id int PRIMARY KEY, code int NOT NULL);
        CREATE TABLE narrow (id int, other int, v text, PRIMARY KEY (id, other))";
    pair.source.execute(source).await?;
    pair.source.execute(SLOT).await?;
    pair.target.execute(target).await?;
    let all = Settings::default();
    for (code, subject, remedy) in [
        ("source_key_changes_unseen", "public.hidden", 0),
        ("source_key_changes_unseen", "public.elsewhere", 0),
        // The other way: the target is keyed by what the source sends.
        ("source_key_changes_unseen", "public.anew", 1),
        ("source_insert_only", "public.late", 0),
        ("target_key_deferrable", "public.late", 0),
        ("source_insert_only", "public.nothing", 0),
        ("target_key_missing", "public.nothing", 0),
        ("source_insert_only", "public.keyless", 0),
        ("source_key_not_sent", "public.narrow", 0),
    ] {
        pair.mend(all, code, subject, remedy).await.with_context(|| format!("{code} {subject} {remedy}"))?;
    }
    // Without the slot, which is older than the list made anew.
    let report = pair.mend(all, "source_table_newer_than_slot", "public.narrow", 0).await?;
    ensure!(report.passes() && report.count(Severity::Warning) == 1, "{report}");
    let list = find(&report, "source_column_list", "public.narrow")?;
    ensure!(list.what.contains("id, other, v are sent, not those to come"), "{list:?}");
    // The second way for a table without a key; the statement works at the source as well.
    pair.source.execute("ALTER TABLE keyless DROP CONSTRAINT keyless_pkey").await?;
    pair.mend(all, "source_insert_only", "public.keyless", 1).await?;
    pair.source.execute("INSERT INTO keyless VALUES (1); UPDATE keyless SET id = 2").await?;

    // Nothing but inserts is published: no more is refused.
    pair.source
        .execute("ALTER TABLE keyless REPLICA IDENTITY DEFAULT; ALTER PUBLICATION p SET (publish = 'insert')")
        .await?;
    let report = pair.look(all).await?;
    ensure!(find(&report, "source_insert_only", "public.keyless").is_err(), "{report}");
    pair.mend(all, "source_publication_operations", "p", 0).await?;
    Ok(())
}

async fn columns() -> Result<()> {
    let pair = pair().await?;
    let source = r#"
        CREATE TYPE mood AS ENUM ('sad');
        CREATE TABLE t (id int PRIMARY KEY, "Über ""all""" varchar(7), feeling mood, amount numeric,
            twice numeric GENERATED ALWAYS AS (amount * 2) STORED, plain numeric, number int, maybe int, wide bigint);
        CREATE TABLE "Case" (id int PRIMARY KEY); CREATE TABLE "CASE" (id int PRIMARY KEY);
        CREATE PUBLICATION p FOR TABLE t, "Case", "CASE""#;
    let target = r#"
        CREATE TYPE mood AS ENUM ('sad');
        CREATE TABLE t (id int PRIMARY KEY, amount numeric, twice numeric,
            plain numeric GENERATED ALWAYS AS (amount * 3) STORED, number int GENERATED ALWAYS AS IDENTITY,
            maybe int NOT NULL, wide int, demanded int NOT NULL, preset int NOT NULL DEFAULT 7);
        CREATE TABLE "Case" (id int PRIMARY KEY)"#;
    pair.source.execute(source).await?;
    pair.source.execute(SLOT).await?;
    pair.target.execute(target).await?;
    let all = Settings::default();
    for (code, subject) in [
        ("target_column_missing", "public.t.Über \"all\""),
        ("target_column_missing", "public.t.feeling"),
        ("source_computed_not_sent", "public.t.twice"),
        ("target_column_computed", "public.t.plain"),
        ("target_identity_always", "public.t.number"),
        ("target_not_null", "public.t.number"),
        ("target_not_null", "public.t.maybe"),
        ("target_column_required", "public.t.demanded"),
        ("target_table_shared", "public.CASE"),
    ] {
        pair.mend(all, code, subject, 0).await.with_context(|| format!("{code} {subject}"))?;
    }
    let report = pair.look(all).await?;
    let types = find(&report, "target_types_differ", "public.t")?;
    ensure!(types.what.contains("wide bigint → integer") && types.severity == Severity::Info, "{types:?}");
    ensure!(report.passes() && report.count(Severity::Warning) == 1, "{report}");

    let version = pair.source_version().await?;
    pair.target.execute("ALTER TABLE t DROP COLUMN twice, ADD COLUMN twice numeric").await?;
    let report = pair.look(all).await?;
    let computed = find(&report, "source_computed_not_sent", "public.t.twice")?;
    if version >= 18 {
        ensure!(computed.remedies.len() == 2, "{computed:?}");
        pair.mend(all, "source_computed_not_sent", "public.t.twice", 1).await?;
    } else {
        ensure!(computed.remedies.len() == 1, "{computed:?}");
    }
    Ok(())
}

impl Pair {
    async fn source_version(&self) -> Result<i32> {
        let mut connection = self.source.connect().await?;
        let text = "SELECT current_setting('server_version_num')::int / 10000";
        Ok(sqlx::query_scalar(text).fetch_one(&mut connection).await?)
    }
}

async fn partitions() -> Result<()> {
    let pair = pair().await?;
    let parted = "
        CREATE TABLE parts (id int PRIMARY KEY, v text, w text) PARTITION BY RANGE (id);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
        CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);";
    let target = "CREATE TABLE parts (id int PRIMARY KEY, v text, w text) PARTITION BY HASH (id);
        CREATE TABLE other PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        CREATE TABLE listed (id int PRIMARY KEY, v text, w text)";
    let source = "
        ALTER TABLE parts_2 REPLICA IDENTITY FULL;
        CREATE TABLE listed (id int PRIMARY KEY, v text, w text);
        CREATE PUBLICATION p FOR TABLE parts;
        CREATE PUBLICATION q FOR TABLE listed (id, v) WHERE (id > 3)";
    pair.source.execute(&format!("{parted}{source}")).await?;
    pair.source.execute(SLOT).await?;
    pair.target.execute(target).await?;
    let all = Settings::default();
    let report = pair.look(all).await?;
    find(&report, "target_table_missing", "public.parts_2")?;
    // By partition: each is a table of its own, unless the root speaks for them.
    pair.mend(all, "target_table_missing", "public.parts_1", 1).await?;
    pair.mend(all, "source_partition_identity", "public.parts_2", 0).await?;
    let report = pair.mend(all, "source_publication_may_be_newer", "p", 0).await?;
    ensure!(codes(&report) == ALWAYS, "{report}");
    pair.source.execute("ALTER PUBLICATION p SET (publish_via_partition_root = false)").await?;
    pair.mend(all, "target_table_missing", "public.parts_1", 0).await?;
    pair.mend(all, "target_table_missing", "public.parts_2", 0).await?;

    let listed = Settings { publications: &["q"], ..all };
    let report = pair.look(listed).await?;
    let list = find(&report, "source_column_list", "public.listed")?;
    ensure!(list.what.contains("id, v") && list.what.contains("not w"), "{list:?}");
    let filter = find(&report, "source_row_filter", "public.listed")?;
    ensure!(filter.what.contains("(id > 3)") && report.passes(), "{report}");

    // Two lists for one table: refused in mid-stream.
    let both = Settings { publications: &["q", "r"], ..all };
    pair.source.execute("CREATE PUBLICATION r FOR TABLE listed").await?;
    pair.mend(both, "source_column_lists_differ", "public.listed", 0).await?;
    let report = pair.mend(both, "source_publication_may_be_newer", "r", 0).await?;
    ensure!(report.passes(), "{report}");
    // A publication that is empty takes what could be meant.
    pair.mend(listed, "source_publication_empty", "q", 0).await?;
    Ok(())
}

async fn younger() -> Result<()> {
    let pair = pair().await?;
    let table = "CREATE TABLE t (id int PRIMARY KEY)";
    pair.source.execute(table).await?;
    pair.target.execute(table).await?;
    pair.source.execute("CREATE TABLE other (id int PRIMARY KEY)").await?;
    // The slot is older, and holds nothing of before: decoding works, but what else was published cannot be known.
    pair.source.execute(SLOT).await?;
    pair.source.execute("CREATE PUBLICATION p FOR TABLE t").await?;
    let all = Settings::default();
    let compared = Settings { since_slot: Since::Compared, ..all };
    for statement in ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"] {
        ensure!(codes(&pair.look(compared).await?) == ALWAYS);
        let accepted = pair.look(Settings { since_slot: Since::Accepted, ..all }).await?;
        ensure!(find(&accepted, "source_publication_may_be_newer", "p")?.severity == Severity::Info);
        ensure!(accepted.passes(), "{accepted}");
        let report = pair.look(all).await?;
        let doubt = find(&report, "source_publication_may_be_newer", "p")?;
        ensure!(!report.passes() && doubt.what.contains("--acceptPublicationChanges"), "{report}");
        pair.source.execute(statement).await?;
    }

    // Made anew, it is younger than a row that was written while there was none.
    pair.source.execute("DROP PUBLICATION p").await?;
    pair.source.execute("INSERT INTO t VALUES (10)").await?;
    pair.source.execute("CREATE PUBLICATION p FOR TABLE t").await?;
    let report = pair.mend(all, "source_publication_newer_than_slot", "p", 0).await?;
    ensure!(codes(&report) == ALWAYS, "{report}");

    // A table that came later than the slot.
    pair.target.execute("CREATE TABLE other (id int PRIMARY KEY)").await?;
    pair.source.execute("ALTER PUBLICATION p ADD TABLE other").await?;
    let report = pair.mend(all, "source_table_newer_than_slot", "public.other", 0).await?;
    ensure!(codes(&report) == ALWAYS, "{report}");

    // After a change of its options, too, nothing tells what it published before.
    pair.source.execute("INSERT INTO t VALUES (3)").await?;
    pair.source.execute("ALTER PUBLICATION p SET (publish = 'insert, update, delete, truncate')").await?;
    ensure!(codes(&pair.look(compared).await?) == ALWAYS);
    let report = pair.mend(all, "source_publication_may_be_newer", "p", 0).await?;
    ensure!(codes(&report) == ALWAYS, "{report}");
    Ok(())
}

async fn slots() -> Result<()> {
    let pair = pair().await?;
    let table = "CREATE TABLE t (id int PRIMARY KEY, v text)";
    pair.source.execute(table).await?;
    pair.target.execute(table).await?;
    pair.source.execute("CREATE PUBLICATION p FOR TABLE t").await?;
    let all = Settings::default();
    let drop = "SELECT pg_drop_replication_slot('s')";
    let kinds = [
        ("SELECT pg_create_physical_replication_slot('s')", "source_slot_kind"),
        ("SELECT pg_create_logical_replication_slot('s', 'test_decoding')", "source_slot_plugin"),
        ("SELECT pg_create_logical_replication_slot('s', 'pgoutput', false, true)", "source_slot_two_phase"),
    ];
    for (create, code) in kinds {
        pair.source.execute(create).await?;
        pair.mend(all, code, "s", 0).await.with_context(|| code)?;
        pair.source.execute(drop).await?;
    }
    let name = Settings { slot: "No Name", ..all };
    find(&pair.look(name).await?, "source_slot_name", "No Name")?;

    let mut session = Session::connect(&config(&pair.source)?).await?;
    let slot = NewSlot { name: "s".to_owned(), temporary: true, snapshot: SnapshotAction::Nothing };
    session.create_slot(&slot, LIMIT).await?;
    find(&pair.look(all).await?, "source_slot_temporary", "s")?;
    drop_and_wait(&pair, session).await?;

    // Of another database.
    pair.target.execute(SLOT).await?;
    let report = pair.look(all).await?;
    let other = find(&report, "source_slot_database", "s")?;
    let statements = &other.remedies[0].statements;
    pair.run(Side::Target, &statements[..1]).await?;
    pair.run(Side::Source, &statements[1..]).await?;
    ensure!(codes(&pair.look(all).await?) == ALWAYS);

    // In use, and freed.
    let streaming = stream(&config(&pair.source)?, "s", &["p"]).await?;
    let report = pair.look(all).await?;
    let busy = find(&report, "source_slot_busy", "s")?;
    ensure!(busy.what.contains("cdc-pglogical") && report.passes(), "{busy:?}");
    pair.run(Side::Source, &busy.remedies[0].statements).await?;
    let freed = async || -> Result<()> {
        ensure!(find(&pair.look(all).await?, "source_slot_busy", "s").is_err());
        Ok(())
    };
    tests::harness::wait::eventually(LIMIT, "the slot to be free", freed).await?;
    std::mem::drop(streaming);
    lost(&pair, all).await
}

/// The session's slot goes with it.
async fn drop_and_wait(pair: &Pair, session: Session) -> Result<()> {
    drop(session);
    let mut connection = pair.source.connect().await?;
    let gone = async || -> Result<()> {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_replication_slots")
            .fetch_one(&mut connection)
            .await?;
        ensure!(left == 0, "{left} slots");
        Ok(())
    };
    tests::harness::wait::eventually(LIMIT, "the temporary slot to vanish", gone).await
}

/// The log that a slot needs goes when the limit is passed; before, it is in danger.
async fn lost(pair: &Pair, all: Settings) -> Result<()> {
    let limit = ["ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'", "SELECT pg_reload_conf()"];
    pair.run(Side::Source, &limit.map(str::to_owned)).await?;
    let mut connection = pair.source.connect().await?;
    let mut risks = 0;
    for _ in 0..60 {
        let report = pair.look(all).await?;
        if find(&report, "source_slot_lost", "s").is_ok() {
            break;
        }
        risks += usize::from(find(&report, "source_slot_at_risk", "s").is_ok());
        let write = "INSERT INTO t SELECT coalesce(max(id), 0) + 1, repeat('x', 1000000) FROM t";
        let fill = format!(
            "ALTER TABLE t ALTER v SET STORAGE EXTERNAL; {}; SELECT pg_switch_wal(); CHECKPOINT",
            [write; 4].join("; ")
        );
        for statement in fill.split("; ") {
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
        }
    }
    ensure!(risks > 0, "nobody was warned before the slot was lost");
    let report = pair.look(all).await?;
    let finding = find(&report, "source_slot_lost", "s")?;
    ensure!(finding.what.contains("snapshot"), "{finding:?}");
    pair.mend(all, "source_slot_lost", "s", 0).await.map(drop)
}

async fn settings() -> Result<()> {
    let server = tests::harness::postgres::Settings { fsync: false, ..Default::default() };
    let server = server.with("wal_level", "replica").with("max_replication_slots", "1");
    let mut pair = Pair::on(PostgresServer::start(&server).await?).await?;
    let table = "CREATE TABLE t (id int PRIMARY KEY)";
    pair.source.execute(table).await?;
    pair.target.execute(table).await?;
    pair.source.execute("CREATE PUBLICATION p FOR TABLE t").await?;
    pair.source.execute("SELECT pg_create_physical_replication_slot('taken')").await?;
    let all = Settings::default();
    let report = pair.look(all).await?;
    // What the command line says wins over what statements write, so the harness repeats them.
    for (code, name, value) in [
        ("source_wal_level", "wal_level", "logical"),
        ("source_slots_exhausted", "max_replication_slots", "11"),
    ] {
        let finding = find(&report, code, "source")?;
        let statement = &finding.remedies[0].statements[0];
        ensure!(statement.starts_with(&format!("ALTER SYSTEM SET {name} = ")) && statement.contains(value));
        pair.run(Side::Source, &finding.remedies[0].statements).await?;
        pair.server.set(name, value);
    }
    pair.server.restart(Shutdown::Fast).await?;
    let report = pair.look(all).await?;
    ensure!(find(&report, "source_wal_level", "source").is_err(), "{report}");
    ensure!(find(&report, "source_slots_exhausted", "source").is_err(), "{report}");
    pair.mend(all, "source_slot_missing", "s", 0).await?;

    for value in ["'2s'", "0"] {
        pair.source.execute(&format!("ALTER ROLE postgres SET wal_sender_timeout = {value}")).await?;
        pair.mend(all, "source_wal_sender_timeout", "source", 0).await?;
    }
    if pair.source_version().await? >= 18 {
        let set = ["ALTER SYSTEM SET idle_replication_slot_timeout = '1h'", "SELECT pg_reload_conf()"];
        pair.run(Side::Source, &set.map(str::to_owned)).await?;
        pair.mend(all, "source_slot_idle_timeout", "source", 0).await?;
    }
    let ascii = "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    pair.source.execute(ascii).await?;
    let url = pair.server.url("ascii");
    let report = crate::support::preflight::look(&url, pair.target.url(), all).await?;
    find(&report, "source_encoding", "ascii").map(drop)
}

async fn foreign_keys() -> Result<()> {
    let pair = pair().await?;
    let tables = "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE aside (id int PRIMARY KEY);
        CREATE TABLE child (id int PRIMARY KEY, parent int, other int);";
    pair.source.execute(tables).await?;
    let more = "
        ALTER TABLE child ADD CONSTRAINT \"to Parent\" FOREIGN KEY (parent) REFERENCES parent ON DELETE CASCADE
            DEFERRABLE INITIALLY DEFERRED;
        ALTER TABLE child ADD CONSTRAINT outside FOREIGN KEY (other) REFERENCES aside NOT VALID;
        CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER \"On Write\" BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION nothing();
        CREATE TRIGGER always AFTER UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION nothing();
        ALTER TABLE parent ENABLE ALWAYS TRIGGER always;
        CREATE TRIGGER off AFTER UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION nothing();
        ALTER TABLE parent DISABLE TRIGGER off";
    pair.target.execute(&format!("{tables}{more}")).await?;
    pair.source.execute("CREATE PUBLICATION p FOR TABLE parent, child").await?;
    pair.source.execute(SLOT).await?;

    let whole = Settings::default();
    let report = pair.look(whole).await?;
    let of_child: Vec<_> =
        report.findings().iter().filter(|finding| finding.code == "target_foreign_key").collect();
    ensure!(of_child.len() == 1 && of_child[0].what.contains("public.aside"), "{report}");
    ensure!(report.passes(), "whole transactions keep foreign keys:\n{report}");
    pair.mend_and_restore(whole, "target_trigger", "public.child").await?;
    pair.mend_and_restore(whole, "target_trigger", "public.parent").await?;
    pair.mend_and_restore(whole, "target_foreign_key", "public.child").await?;

    pair.target.execute("ALTER TABLE child DROP CONSTRAINT outside").await?;
    let parallel = Settings { mode: WriteMode::Parallel, ..whole };
    pair.mend_and_restore(parallel, "target_foreign_key", "public.child").await?;
    let copies = Settings { snapshot: SnapshotMode::Initial, ..whole };
    ensure!(!pair.look(copies).await?.passes(), "children may be copied before their parents");
    pair.mend_and_restore(copies, "target_foreign_key", "public.child").await?;
    let report = pair.mend(copies, "target_foreign_key", "public.child", 0).await?;
    ensure!(report.passes(), "{report}");
    let apply = Settings { on_truncate: OnTruncate::Apply, ..whole };
    ensure!(find(&pair.look(apply).await?, "source_truncate", "p").is_err());
    Ok(())
}

async fn sequences() -> Result<()> {
    let pair = pair().await?;
    let tables = r#"CREATE TABLE t (id serial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY);
        CREATE SEQUENCE "Odd 'one'" INCREMENT 5"#;
    pair.source.execute(tables).await?;
    pair.target.execute(tables).await?;
    pair.source.execute("CREATE PUBLICATION p FOR TABLE t").await?;
    pair.source.execute(SLOT).await?;
    pair.source
        .execute(r#"INSERT INTO t SELECT FROM generate_series(1, 41); SELECT nextval('"Odd ''one''"')"#)
        .await?;
    let report = pair.look(Settings::default()).await?;
    let finding = find(&report, "source_sequences", pair.source.name())?;
    ensure!(finding.severity == Severity::Info && finding.remedies[0].statements.len() == 3, "{finding:?}");
    let mut source = pair.source.connect().await?;
    let mut target = pair.target.connect().await?;
    for statement in &finding.remedies[0].statements {
        let row = sqlx::raw_sql(AssertSqlSafe(statement.clone())).fetch_one(&mut source).await?;
        let printed: String = row.try_get(0)?;
        sqlx::raw_sql(AssertSqlSafe(printed.clone())).execute(&mut target).await.context(printed)?;
    }
    for next in [r#"nextval('"Odd ''one''"')"#, "nextval('t_id_seq')", "nextval('t_n_seq')"] {
        let next = format!("SELECT {next}");
        let at_source: i64 = sqlx::query_scalar(AssertSqlSafe(next.clone())).fetch_one(&mut source).await?;
        let at_target: i64 = sqlx::query_scalar(AssertSqlSafe(next.clone())).fetch_one(&mut target).await?;
        ensure!(at_source == at_target, "{next}: {at_source} and {at_target}");
    }
    Ok(())
}
