//! The texts of the questions, by version of the server. Sessions have `search_path = pg_catalog`, so that names need no
//! schema, and types of other schemas are printed with theirs.

use super::read::TableScope;
use crate::transport::sql::{literal, publication_names};

/// First version with row filters and column lists.
const LISTS: u32 = 150_000;
/// First version that says why a slot was given up.
const INVALIDATION: u32 = 170_000;
/// First version that sends computed columns.
const GENERATED: u32 = 180_000;

/// Schemas that hold nobody's data.
const NOT_OURS: &str = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";

fn setting(name: &str) -> String {
    format!("(SELECT setting FROM pg_settings WHERE name = '{name}')")
}

/// One row, see `Server`.
pub(super) fn server() -> String {
    let settings =
        ["wal_level", "wal_sender_timeout", "max_slot_wal_keep_size", "idle_replication_slot_timeout"];
    let [level, timeout, keep, idle] = settings.map(setting);
    let (slots, senders) = (setting("max_replication_slots"), setting("max_wal_senders"));
    format!(
        "SELECT {version}, current_database(), \
         (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()), \
         pg_is_in_recovery(), {level}, {timeout}, {keep}, {idle}, {slots}, \
         (SELECT count(*) FROM pg_replication_slots), {senders}, {END_OF_LOG}",
        version = setting("server_version_num"),
    )
}

const END_OF_LOG: &str =
    "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END";

/// One row, see `Role`. On one hosted service nobody has the attribute, and a role stands in for it.
pub(super) const ROLE: &str = "SELECT r.rolname, r.rolsuper, r.rolsuper OR r.rolreplication OR EXISTS (SELECT 1 FROM \
     pg_roles g WHERE g.rolname = 'rds_replication' AND pg_has_role(g.oid, 'MEMBER')), r.rolsuper OR r.rolbypassrls, \
     has_database_privilege(current_database(), 'CREATE') FROM pg_roles r WHERE r.rolname = current_user";

/// No or one row, see `Slot`.
pub(super) fn slot(version: u32, name: &str) -> String {
    let newer = if version >= INVALIDATION {
        "s.invalidation_reason, (s.inactive_since AT TIME ZONE 'UTC')::text, s.synced"
    } else {
        "NULL, NULL, false"
    };
    format!(
        "SELECT s.slot_name, s.plugin, s.slot_type, s.database, s.temporary, s.active_pid, \
         (SELECT a.application_name FROM pg_stat_activity a WHERE a.pid = s.active_pid), \
         s.confirmed_flush_lsn, s.restart_lsn, \
         greatest(pg_wal_lsn_diff({END_OF_LOG}, s.restart_lsn), 0)::int8, \
         s.wal_status, s.safe_wal_size, s.two_phase, s.catalog_xmin, {newer} \
         FROM pg_replication_slots s WHERE s.slot_name = {name}",
        name = literal(name),
    )
}

fn texts<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| literal(name)).collect();
    // An empty list is no syntax.
    if names.is_empty() { "NULL".to_owned() } else { names.join(", ") }
}

/// One row per publication, see `Publication`. The smaller a transaction's number, the greater its age.
pub(super) fn publications(version: u32, slot: &str, names: &[String]) -> String {
    let generated = if version >= GENERATED { "p.pubgencols" } else { "'n'" };
    let schemas = if version >= LISTS {
        "(SELECT count(*) FROM pg_publication_namespace x WHERE x.pnpubid = p.oid)"
    } else {
        "0"
    };
    format!(
        "SELECT p.oid, p.pubname, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot, \
         {generated}, (SELECT age(p.xmin) > age(s.catalog_xmin) FROM pg_replication_slots s WHERE s.slot_name = {slot}), \
         {schemas} FROM pg_publication p WHERE p.pubname IN ({names}) ORDER BY p.pubname",
        slot = literal(slot),
        names = texts(names),
    )
}

/// The numbers of the tables that are asked for, as the query of a common table expression.
fn wanted(scope: &TableScope) -> String {
    let named = |(schema, name): (&str, &str)| format!("({}, {})", literal(schema), literal(name));
    match scope {
        TableScope::Published(publications) => format!(
            "SELECT DISTINCT c.oid FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname \
             JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename WHERE t.pubname IN ({})",
            texts(publications)
        ),
        TableScope::Named(names) if names.is_empty() => "SELECT 0::oid WHERE false".to_owned(),
        TableScope::Named(names) => {
            let pairs: Vec<String> = names.iter().map(|table| named((&table.schema, &table.name))).collect();
            format!(
                "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p') AND (n.nspname::text, c.relname::text) IN ({})",
                pairs.join(", ")
            )
        }
        TableScope::All => format!(
            "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {NOT_OURS}"
        ),
    }
}

/// One row per table, see `Table`.
pub(super) fn tables(scope: &TableScope) -> String {
    format!(
        "WITH wanted(oid) AS ({wanted}) \
         SELECT c.oid, n.nspname, c.relname, c.relkind, pn.nspname, pc.relname, c.relreplident, \
         (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid \
          WHERE i.indrelid = c.oid AND i.indisreplident AND c.relreplident = 'i'), \
         k.conname, COALESCE(k.condeferrable, false), c.relpersistence = 'u', \
         c.relkind = 'r' AND c.relhassubclass \
         AND EXISTS (SELECT 1 FROM pg_inherits h WHERE h.inhparent = c.oid), \
         has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid), \
         CASE WHEN c.reltuples >= 0 THEN c.reltuples::int8 END \
         FROM wanted w JOIN pg_class c ON c.oid = w.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_inherits h ON c.relispartition AND h.inhrelid = c.oid \
         LEFT JOIN pg_class pc ON pc.oid = h.inhparent LEFT JOIN pg_namespace pn ON pn.oid = pc.relnamespace \
         LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' \
         ORDER BY n.nspname, c.relname",
        wanted = wanted(scope),
    )
}

/// Partitions with another replica identity than the partitioned table: table, schema and name of the partition.
pub(super) fn partitions_that_differ(scope: &TableScope) -> String {
    format!(
        "WITH wanted(oid) AS ({wanted}) SELECT c.oid, ln.nspname, lc.relname FROM wanted w \
         JOIN pg_class c ON c.oid = w.oid AND c.relkind = 'p' CROSS JOIN LATERAL pg_partition_tree(c.oid) l \
         JOIN pg_class lc ON lc.oid = l.relid JOIN pg_namespace ln ON ln.oid = lc.relnamespace \
         WHERE l.isleaf AND lc.relreplident <> c.relreplident ORDER BY ln.nspname, lc.relname",
        wanted = wanted(scope),
    )
}

/// One row per column, see `Column`.
pub(super) fn columns(scope: &TableScope) -> String {
    format!(
        "WITH wanted(oid) AS ({wanted}) \
         SELECT c.oid, a.attnum, a.attname, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod), \
         a.attnotnull, pg_get_expr(d.adbin, d.adrelid), NULLIF(a.attgenerated::text, ''), \
         NULLIF(a.attidentity::text, ''), \
         CASE WHEN a.attcollation <> t.typcollation THEN quote_ident(ln.nspname) || '.' || quote_ident(l.collname) END, \
         (SELECT k.place - 1 FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) \
          WHERE i.indrelid = c.oid AND i.indisprimary AND k.number = a.attnum AND k.place <= i.indnkeyatts), \
         EXISTS (SELECT 1 FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) \
          WHERE i.indrelid = c.oid AND k.number = a.attnum AND k.place <= i.indnkeyatts AND \
          CASE c.relreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate \
          WHEN 'i' THEN i.indisreplident AND i.indimmediate ELSE false END) \
         FROM wanted w JOIN pg_class c ON c.oid = w.oid \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
         LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace \
         ORDER BY c.oid, a.attnum",
        wanted = wanted(scope),
    )
}

/// Publication and table, with what puts the one into the other: the table itself, the table that it is a partition of,
/// or its schema.
fn members(version: u32) -> String {
    let schema = if version >= LISTS {
        "LEFT JOIN LATERAL (SELECT x.oid, x.xmin AS made FROM pg_publication_namespace x \
         WHERE x.pnpubid = p.oid AND (x.pnnspid = c.relnamespace OR x.pnnspid IN (SELECT ac.relnamespace \
         FROM pg_partition_ancestors(c.oid) u(relid) JOIN pg_class ac ON ac.oid = u.relid)) \
         ORDER BY x.oid LIMIT 1) AS ns ON true"
    } else {
        "CROSS JOIN (SELECT NULL::oid AS oid, NULL::xid AS made) AS ns"
    };
    let list = if version >= LISTS { "r.prattrs IS NOT NULL" } else { "false" };
    format!(
        "FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname \
         JOIN pg_namespace n ON n.nspname = t.schemaname \
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename \
         LEFT JOIN LATERAL (SELECT r.oid, {list} AS listed, r.xmin AS made FROM pg_publication_rel r WHERE r.prpubid = p.oid \
         AND (r.prrelid = c.oid OR r.prrelid IN (SELECT u.relid FROM pg_partition_ancestors(c.oid) u(relid))) \
         ORDER BY r.prrelid <> c.oid, r.oid LIMIT 1) AS m ON true {schema}"
    )
}

/// One row per publication and table, see `Membership`.
pub(super) fn memberships(version: u32, slot: &str, publications: &[String]) -> String {
    let filter = if version >= LISTS { "t.rowfilter" } else { "NULL" };
    format!(
        "SELECT c.oid, t.pubname, COALESCE(m.oid, ns.oid, 0), COALESCE(m.listed, false), {filter}, \
         (SELECT age(COALESCE(m.made, ns.made)) > age(s.catalog_xmin) FROM pg_replication_slots s WHERE s.slot_name = {slot}) {members} \
         WHERE t.pubname IN ({names}) ORDER BY c.oid, t.pubname",
        slot = literal(slot),
        members = members(version),
        names = texts(publications),
    )
}

/// Tables whose rows can be found again, and that are in nobody's staging area: schema, name. Partitions come with their
/// partitioned table.
pub(super) fn candidates() -> String {
    format!(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND {NOT_OURS} \
         AND to_regclass(quote_ident(n.nspname) || '.staged_tables') IS NULL \
         AND (c.relreplident = 'f' OR EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indimmediate \
         AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)) \
         ORDER BY n.nspname, c.relname"
    )
}

/// Decodes everything that the slot holds for these publications, and takes nothing. The first transaction alone would
/// not do: a publication may have been made anew in between.
pub(super) fn probe(slot: &str, publications: &[String]) -> String {
    format!(
        "SELECT count(*) FROM pg_logical_slot_peek_binary_changes({slot}, NULL, NULL, 'proto_version', '1', \
         'publication_names', {names})",
        slot = literal(slot),
        names = literal(&publication_names(publications)),
    )
}

/// Number, schema and name of each published table.
pub(super) fn names(publications: &[String]) -> String {
    let scope = TableScope::Published(publications.to_vec());
    format!(
        "SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid IN ({wanted})",
        wanted = wanted(&scope),
    )
}

/// Numbers, out of these, of tables that exist.
pub(super) fn still_there(tables: &[u32]) -> String {
    let numbers: Vec<String> = tables.iter().map(ToString::to_string).collect();
    format!("SELECT oid FROM pg_class WHERE oid IN ({})", numbers.join(", "))
}

/// One row per column in a column list: table, publication, column. No question before there were lists.
pub(super) fn listed_columns(version: u32, publications: &[String]) -> Option<String> {
    (version >= LISTS).then(|| {
        format!(
            "SELECT c.oid, t.pubname, l.name {members} CROSS JOIN LATERAL unnest(t.attnames) AS l(name) \
             WHERE t.pubname IN ({names}) AND m.listed ORDER BY c.oid, t.pubname",
            members = members(version),
            names = texts(publications),
        )
    })
}

/// The types of all columns, and those that these are made of.
fn used(scope: &TableScope) -> String {
    format!(
        "WITH RECURSIVE wanted(oid) AS ({wanted}), used(oid) AS (\
         SELECT a.atttypid FROM wanted w JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 \
         AND NOT a.attisdropped \
         UNION SELECT x.oid FROM used u JOIN pg_type t ON t.oid = u.oid CROSS JOIN LATERAL (\
         SELECT t.typelem WHERE t.typcategory = 'A' UNION ALL SELECT t.typbasetype \
         UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid) \
         UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid \
         AND a.attnum > 0 AND NOT a.attisdropped) AS x(oid) WHERE x.oid <> 0)",
        wanted = wanted(scope),
    )
}

/// One row per type, see `TypeFacts`.
pub(super) fn types(scope: &TableScope) -> String {
    format!(
        "{used} SELECT t.oid, n.nspname, t.typname, t.typtype, t.typcategory, \
         CASE WHEN t.typcategory = 'A' THEN NULLIF(t.typelem, 0) END, \
         (SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)), \
         NULLIF(t.typbasetype, 0), \
         CASE WHEN t.typbasetype <> 0 THEN format_type(t.typbasetype, t.typtypmod) END, \
         t.typnotnull, pg_get_expr(t.typdefaultbin, 0), \
         (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid \
          WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e' \
          AND d.refclassid = 'pg_extension'::regclass) \
         FROM used u JOIN pg_type t ON t.oid = u.oid JOIN pg_namespace n ON n.oid = t.typnamespace ORDER BY t.oid",
        used = used(scope),
    )
}

/// Labels, attributes and conditions of types: type, which of the three, name, text.
pub(super) fn type_parts(scope: &TableScope) -> String {
    format!(
        "{used} SELECT p.type, p.part, p.name, p.text FROM used u CROSS JOIN LATERAL (\
         SELECT e.enumtypid, 'l', e.enumlabel::text, NULL, e.enumsortorder::float8 FROM pg_enum e \
         WHERE e.enumtypid = u.oid \
         UNION ALL SELECT t.oid, 'a', a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnum \
         FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE t.oid = u.oid AND t.typtype = 'c' \
         UNION ALL SELECT k.contypid, 'c', k.conname::text, pg_get_constraintdef(k.oid), k.oid::int8 \
         FROM pg_constraint k WHERE k.contypid = u.oid AND k.contype = 'c') \
         AS p(type, part, name, text, place) ORDER BY p.type, p.part, p.place",
        used = used(scope),
    )
}

/// One row per sequence, see `Sequence`.
pub(super) fn sequences() -> String {
    format!(
        "SELECT n.nspname, c.relname, tn.nspname, t.relname, a.attname, COALESCE(d.deptype = 'i', false), \
         has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') \
         AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 \
         LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {NOT_OURS} ORDER BY n.nspname, c.relname"
    )
}
