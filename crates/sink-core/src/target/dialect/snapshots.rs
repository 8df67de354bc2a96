//! Statements about first copies of tables: their state, and the copy itself. PostgreSQL only.

use super::{StagingArea, quote};
use crate::model::TableSchema;

/// Whether the epoch is still the caller's. Parameters and answer as of [`fence`], which has the last word.
#[must_use]
pub fn look_at_fence(area: &StagingArea) -> String {
    format!("SELECT 1 FROM {} WHERE feed = $1 AND scope = $2 AND epoch = $3", area.table("positions"))
}

/// Holds the epoch until the transaction ends: whoever takes over waits for it. Parameters: feed, scope, epoch. One row
/// if the epoch is still the caller's.
#[must_use]
pub fn fence(area: &StagingArea) -> String {
    format!(
        "SELECT 1 FROM {} WHERE feed = $1 AND scope = $2 AND epoch = $3 FOR SHARE",
        area.table("positions")
    )
}

/// All tables of a feed, in order of name. Parameter: feed. Answer: schema, table, state, consistent point, rows, bytes.
#[must_use]
pub fn read(area: &StagingArea) -> String {
    format!(
        "SELECT source_schema, source_table, state, consistent_point, rows, bytes FROM {} WHERE feed = $1 \
         ORDER BY source_schema, source_table",
        area.table("snapshots")
    )
}

/// Notes tables that are to be copied. Parameters: feed, schemas, tables.
#[must_use]
pub fn register(area: &StagingArea) -> String {
    format!(
        "INSERT INTO {} (feed, source_schema, source_table, state) \
         SELECT $1, s, t, 'pending' FROM unnest($2::text[], $3::text[]) AS n(s, t) ON CONFLICT DO NOTHING",
        area.table("snapshots")
    )
}

/// Moves a table from one state to another. Parameters: feed, schema, table, old state, new state, consistent point or
/// NULL, rows, bytes. One row if it was in the old state.
#[must_use]
pub fn change(area: &StagingArea) -> String {
    format!(
        "UPDATE {} SET state = $5, consistent_point = $6, rows = $7, bytes = $8, \
         started_at = CASE WHEN $5 = 'copying' THEN now() ELSE started_at END, \
         finished_at = CASE WHEN $5 IN ('copied', 'gone') THEN now() END \
         WHERE feed = $1 AND source_schema = $2 AND source_table = $3 AND state = $4",
        area.table("snapshots")
    )
}

/// Forgets the parts of a table. Parameters: feed, schema, table.
#[must_use]
pub fn forget_ranges(area: &StagingArea) -> String {
    format!(
        "DELETE FROM {} WHERE feed = $1 AND source_schema = $2 AND source_table = $3",
        area.table("snapshot_ranges")
    )
}

/// Notes the parts of a table, numbered from 1. Parameters: feed, schema, table, bounds of each.
#[must_use]
pub fn add_ranges(area: &StagingArea) -> String {
    format!(
        "INSERT INTO {} (feed, source_schema, source_table, number, bounds) \
         SELECT $1, $2, $3, n, b FROM unnest($4::text[]) WITH ORDINALITY AS u(b, n)",
        area.table("snapshot_ranges")
    )
}

/// The parts of all tables of a feed, in order. Parameter: feed. Answer: schema, table, number, bounds, how far it is
/// copied or NULL, whether to its end, rows, bytes.
#[must_use]
pub fn read_ranges(area: &StagingArea) -> String {
    format!(
        "SELECT source_schema, source_table, number, bounds, reached, done, rows, bytes FROM {} WHERE feed = $1 \
         ORDER BY source_schema, source_table, number",
        area.table("snapshot_ranges")
    )
}

/// Moves on within a part. Parameters: feed, schema, table, number, how far it was or NULL, how far it is, whether to its
/// end, rows and bytes more. One row if it was there.
#[must_use]
pub fn advance_range(area: &StagingArea) -> String {
    format!(
        "UPDATE {} SET reached = $6, done = $7, rows = rows + $8, bytes = bytes + $9 \
         WHERE feed = $1 AND source_schema = $2 AND source_table = $3 AND number = $4 \
         AND reached IS NOT DISTINCT FROM $5::text AND NOT done",
        area.table("snapshot_ranges")
    )
}

/// Unique indexes of a target table besides its primary key. Parameters: schema, table. Answer for each: its name, the
/// statement that drops it, and the one that makes it anew.
pub const UNIQUE_INDEXES: &str = "\
SELECT i.relname::text, \
CASE WHEN k.oid IS NULL THEN format('DROP INDEX %I.%I', n.nspname, i.relname) \
ELSE format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, c.relname, k.conname) END, \
CASE WHEN k.oid IS NULL THEN pg_get_indexdef(x.indexrelid) \
ELSE format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid)) END \
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid \
JOIN pg_namespace n ON n.oid = c.relnamespace \
LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.conrelid = c.oid AND k.contype IN ('u', 'x') \
WHERE n.nspname = $1 AND c.relname = $2 AND x.indisunique AND NOT x.indisprimary ORDER BY 1";

/// Facts about a target table. Parameters: schema, table. Answer: whether it is partitioned; statements that drop its
/// foreign keys; those that make them anew; names of the triggers that fire for new rows.
pub const FACTS: &str = "\
SELECT c.relkind = 'p', \
ARRAY(SELECT format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, c.relname, f.conname) FROM pg_constraint f \
WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.conparentid = 0 ORDER BY f.conname), \
ARRAY(SELECT format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', n.nspname, c.relname, f.conname, \
pg_get_constraintdef(f.oid)) FROM pg_constraint f \
WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.conparentid = 0 ORDER BY f.conname), \
ARRAY(SELECT g.tgname::text FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal \
AND g.tgenabled IN ('O', 'A') AND g.tgtype & 4 <> 0 ORDER BY g.tgname) \
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";

/// A table without those that inherit from it, which are tables of their own; a partitioned one with its partitions,
/// which are where its rows are.
fn alone(table: &str, partitioned: bool) -> String {
    if partitioned { table.to_owned() } else { format!("ONLY {table}") }
}

/// Whether a table holds any row.
#[must_use]
pub fn holds_rows(table: &str, partitioned: bool) -> String {
    format!("SELECT EXISTS (SELECT 1 FROM {})", alone(table, partitioned))
}

/// Whether we may empty a table quickly. Parameter: the quoted name of the table.
pub const MAY_TRUNCATE: &str = "SELECT has_table_privilege($1::text, 'TRUNCATE') AND NOT EXISTS (\
SELECT 1 FROM pg_constraint f WHERE f.confrelid = $1::text::regclass AND f.contype = 'f' AND f.conrelid <> f.confrelid)";

/// Empties a table.
#[must_use]
pub fn empty(table: &str, partitioned: bool, quickly: bool) -> String {
    let verb = if quickly { "TRUNCATE" } else { "DELETE FROM" };
    format!("{verb} {}", alone(table, partitioned))
}

/// Ends other sessions of ours that copy into a table. Parameters: the quoted name of the table, our application's name.
pub const END_COPIES: &str = "\
SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() \
AND a.application_name = $2 AND a.query LIKE 'COPY %' AND a.usename = current_user AND EXISTS (SELECT 1 FROM pg_locks l \
WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.granted AND l.mode = 'RowExclusiveLock' \
AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) \
AND l.relation = $1::text::regclass)";

/// What the text of some types depends on, set as at the source, until the transaction ends.
pub const INPUT_SETTINGS: &str = "SET LOCAL lc_monetary = 'C'; SET LOCAL xmloption = content";

/// Takes rows as text, with the values of these columns in this order.
#[must_use]
pub fn copy_in(table: &str, schema: &TableSchema, columns: &[usize]) -> String {
    let names: Vec<_> = columns.iter().map(|at| quote(schema.columns[*at].name.as_str())).collect();
    format!("COPY {table} ({}) FROM STDIN", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ValueClass;
    use crate::model::schema::examples::{column, table};

    #[test]
    fn only_the_table_itself_is_looked_at_and_emptied() {
        assert_eq!(holds_rows("\"s\".\"t\"", false), "SELECT EXISTS (SELECT 1 FROM ONLY \"s\".\"t\")");
        assert_eq!(empty("\"s\".\"t\"", true, true), "TRUNCATE \"s\".\"t\"");
        assert_eq!(empty("\"s\".\"t\"", false, false), "DELETE FROM ONLY \"s\".\"t\"");
    }

    #[test]
    fn columns_are_named_in_the_order_of_the_text() {
        let int = ValueClass::Integer(64);
        let schema = table("t", 1, vec![column("id", "int8", int), column("a\"b", "int8", int)]);
        assert_eq!(copy_in("\"t\"", &schema, &[1, 0]), "COPY \"t\" (\"a\"\"b\", \"id\") FROM STDIN");
    }
}
