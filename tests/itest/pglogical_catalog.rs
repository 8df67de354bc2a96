//! What is read of a source's catalogue is what is there.

use anyhow::{Context as _, Result, ensure};
use source_pglogical::catalog::{
    self, Computed, Identity, SourceCatalog, Table, TableKind, TableName, TableScope, TypeKind, Wanted,
};
use source_pglogical::pgoutput::ReplicaIdentity;
use tests::harness::database::Database;
use tests::harness::runner::{Need, Scenario, scenario};

use crate::support::replication::{LIMIT, config, create_slot, server};

pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::PostgresBinaries];
    vec![scenario("pglogical_catalog::a_source_is_read_as_it_is", NEEDS, |_| as_it_is())]
}

const OBJECTS: &str = r#"
    CREATE SCHEMA "Odd ""Schema";
    CREATE TYPE public.mood AS ENUM ('sad', 'it''s, "so so"', 'happy');
    ALTER TYPE public.mood ADD VALUE 'first' BEFORE 'sad';
    CREATE TYPE public.pair AS (a int, b public.mood);
    CREATE DOMAIN public.positive AS numeric(12,3) DEFAULT 1 NOT NULL CONSTRAINT above CHECK (VALUE > 0);
    CREATE TABLE "Odd ""Schema"."select \ from" (
        id int GENERATED ALWAYS AS IDENTITY, "Part 'two'" varchar(10) NOT NULL,
        amount public.positive, moods public.mood[], pairs public.pair, span int4range, spans int4multirange,
        twice numeric GENERATED ALWAYS AS (amount * 2) STORED,
        note text COLLATE "C" DEFAULT 'a\b', gone int,
        CONSTRAINT "the key" PRIMARY KEY ("Part 'two'", id) INCLUDE (note));
    ALTER TABLE "Odd ""Schema"."select \ from" DROP COLUMN gone;
    CREATE TABLE public.plain (a serial, code int NOT NULL, b text);
    CREATE UNIQUE INDEX plain_code ON public.plain (code) INCLUDE (b);
    ALTER TABLE public.plain REPLICA IDENTITY USING INDEX plain_code;
    CREATE TABLE public.late (id int, PRIMARY KEY (id) DEFERRABLE);
    CREATE TABLE public.whole (id int);
    ALTER TABLE public.whole REPLICA IDENTITY FULL;
    CREATE TABLE public.parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
    CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE public.parts_2 PARTITION OF public.parts FOR VALUES FROM (10) TO (20);
    ALTER TABLE public.parts_2 REPLICA IDENTITY FULL;
    CREATE SEQUENCE public.loose;
    CREATE PUBLICATION p FOR TABLE public.plain (code), public.whole WHERE (id > 7);
    CREATE PUBLICATION "P, ""2""" FOR TABLE "Odd ""Schema"."select \ from", public.late, public.parts
        WITH (publish = 'insert, delete', publish_via_partition_root);
    CREATE PUBLICATION leaves FOR TABLES IN SCHEMA public;
"#;

/// Reads with these publications.
pub(crate) async fn read(database: &Database, slot: &str, publications: &[&str]) -> Result<SourceCatalog> {
    let mut session = catalog::connect(&config(database)?).await?;
    let publications: Vec<String> = publications.iter().map(|name| (*name).to_owned()).collect();
    let wanted = Wanted { slot, publications: &publications };
    Ok(catalog::read(&mut session, wanted, LIMIT).await?)
}

fn table<'a>(tables: &'a [Table], name: &str) -> Result<&'a Table> {
    tables.iter().find(|table| table.name.name == name).with_context(|| format!("no table {name}"))
}

async fn as_it_is() -> Result<()> {
    let server = server().await?;
    let database = server.create_database("catalogue").await?;
    database.execute(OBJECTS).await?;
    let mut connection = database.connect().await?;
    create_slot(&mut connection, "s").await?;

    let catalog = read(&database, "s", &["p", "P, \"2\"", "missing"]).await?;
    ensure!(catalog.server.is_at_least(14) && catalog.server.wal_level == "logical", "{:?}", catalog.server);
    ensure!(!catalog.server.in_recovery && catalog.server.max_slot_wal_keep_bytes.is_none());
    ensure!(catalog.server.database == database.name() && catalog.server.slots == 1);
    ensure!(catalog.role.superuser && catalog.role.replication, "{:?}", catalog.role);
    let slot = catalog.slot.as_ref().context("no slot")?;
    ensure!(slot.plugin.as_deref() == Some("pgoutput") && slot.logical && slot.active_pid.is_none());
    ensure!(slot.confirmed > slot.restart && slot.retained_bytes.is_some_and(|bytes| bytes > 0), "{slot:?}");

    let names: Vec<&str> = catalog.publications.iter().map(|found| found.name.as_str()).collect();
    ensure!(names == ["P, \"2\"", "p"], "{names:?}");
    let second = &catalog.publications[0];
    ensure!((second.inserts, second.updates, second.deletes, second.truncates) == (true, false, true, false));
    ensure!(second.via_root && second.older_than_slot == Some(true), "{second:?}");
    let names: Vec<String> = catalog.published.tables.iter().map(|table| table.name.to_string()).collect();
    let expected =
        ["Odd \"Schema.select \\ from", "public.late", "public.parts", "public.plain", "public.whole"];
    ensure!(names == expected, "{names:?}");
    tables(&catalog)?;
    types(&catalog)?;

    let leaves = read(&database, "none", &["leaves"]).await?;
    ensure!(leaves.slot.is_none() && leaves.publications[0].older_than_slot.is_none());
    let names: Vec<&str> = leaves.published.tables.iter().map(|table| table.name.name.as_str()).collect();
    ensure!(names == ["late", "parts_1", "parts_2", "plain", "whole"], "{names:?}");
    let leaf = table(&leaves.published.tables, "parts_1")?;
    ensure!(leaf.parent.as_ref().is_some_and(|parent| parent.name == "parts"));
    ensure!(leaf.publications[0].oid != 0 && leaf.publications[0].columns.is_none());

    let loose: Vec<_> = catalog.sequences.iter().map(|it| (it.name.name.as_str(), it.identity)).collect();
    ensure!(
        loose == [("select \\ from_id_seq", true), ("loose", false), ("plain_a_seq", false)],
        "{loose:?}"
    );
    ensure!(
        catalog.sequences[2]
            .owner
            .as_ref()
            .is_some_and(|(table, column)| table.name == "plain" && column == "a")
    );

    let mut session = catalog::connect(&config(&database)?).await?;
    let all = catalog::read_tables(&mut session, &TableScope::All, LIMIT).await?;
    ensure!(all.tables.len() == 7, "{}", all.tables.len());
    let odd = TableName { schema: "Odd \"Schema".into(), name: "select \\ from".into() };
    let named = TableScope::Named(vec![odd, TableName { schema: "x".into(), name: "y".into() }]);
    let named = catalog::read_tables(&mut session, &named, LIMIT).await?;
    ensure!(named.tables.len() == 1 && named.tables[0].columns == catalog.published.tables[0].columns);
    Ok(())
}

fn tables(catalog: &SourceCatalog) -> Result<()> {
    let tables = &catalog.published.tables;
    let odd = &tables[0];
    let key = odd.primary_key.as_ref().context("no key")?;
    ensure!((key.name.as_str(), key.deferrable) == ("the key", false) && key.columns == ["Part 'two'", "id"]);
    let names: Vec<&str> = odd.columns.iter().map(|column| column.name.as_str()).collect();
    let expected = ["id", "Part 'two'", "amount", "moods", "pairs", "span", "spans", "twice", "note"];
    ensure!(names == expected, "{names:?}");
    let in_identity: Vec<bool> = odd.columns.iter().map(|column| column.in_identity).collect();
    ensure!(in_identity == [true, true, false, false, false, false, false, false, false]);
    let column = |name: &str| odd.column(name).with_context(|| format!("no column {name}"));
    ensure!(column("id")?.identity == Some(Identity::Always) && column("id")?.not_null);
    ensure!(column("Part 'two'")?.sql_type == "character varying(10)");
    ensure!(column("amount")?.sql_type == "public.positive" && column("moods")?.sql_type == "public.mood[]");
    ensure!(matches!(&column("twice")?.computed, Some(Computed::Stored(text)) if text.contains("amount")));
    ensure!(column("twice")?.default.is_none());
    let note = column("note")?;
    ensure!(note.collation.as_deref() == Some("pg_catalog.\"C\""), "{:?}", note.collation);
    ensure!(note.default.as_deref() == Some("'a\\b'::text"), "{:?}", note.default);

    let plain = table(tables, "plain")?;
    ensure!(
        plain.identity == ReplicaIdentity::Index && plain.identity_index.as_deref() == Some("plain_code")
    );
    ensure!(plain.publications[0].columns.as_deref() == Some(&["code".to_owned()][..]));
    let in_identity: Vec<bool> = plain.columns.iter().map(|column| column.in_identity).collect();
    ensure!(in_identity == [false, true, false] && plain.primary_key.is_none(), "{in_identity:?}");
    ensure!(
        plain.column("a").is_some_and(|a| a.default.as_deref().is_some_and(|d| d.starts_with("nextval")))
    );
    let late = table(tables, "late")?;
    ensure!(late.primary_key.as_ref().is_some_and(|key| key.deferrable) && !late.columns[0].in_identity);
    let whole = table(tables, "whole")?;
    ensure!(whole.identity == ReplicaIdentity::Full);
    ensure!(whole.publications[0].row_filter.as_deref() == Some("(id > 7)"), "{:?}", whole.publications);
    let parts = table(tables, "parts")?;
    ensure!(
        (parts.kind, parts.partitions_differ.len()) == (TableKind::Partitioned, 1) && parts.parent.is_none()
    );
    Ok(())
}

fn types(catalog: &SourceCatalog) -> Result<()> {
    let types = &catalog.published.types;
    let named = |name: &str| types.values().find(|facts| facts.name.name == name).context(name.to_owned());
    let mood = named("mood")?;
    ensure!(mood.kind == TypeKind::Enum && mood.labels == ["first", "sad", "it's, \"so so\"", "happy"]);
    ensure!(named("_mood")?.element == Some(mood.oid) && named("_mood")?.category == 'A');
    let pair = named("pair")?;
    ensure!(pair.attributes.len() == 2 && pair.attributes[1].sql_type == "public.mood", "{pair:?}");
    let positive = named("positive")?.domain.as_ref().context("no domain")?;
    ensure!(positive.base_sql == "numeric(12,3)" && positive.not_null, "{positive:?}");
    ensure!(positive.constraints.len() == 1 && positive.constraints[0].0 == "above", "{positive:?}");
    ensure!(positive.default.is_some() && types.contains_key(&positive.base));
    ensure!(named("int4multirange")?.bound == Some(named("int4")?.oid) && named("int4")?.is_built_in());
    ensure!(named("int4range")?.kind == TypeKind::Range);
    Ok(())
}
