//! Questions about a target that only a look before the start asks. PostgreSQL alone.

/// Enabled triggers of tables: schema, table, trigger, whether it fires always.
pub const TRIGGERS: &str = "\
SELECT n.nspname::text, c.relname::text, t.tgname::text, t.tgenabled = 'A' \
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled IN ('O', 'A') AND c.relkind IN ('r', 'p') \
ORDER BY 1, 2, 3";

/// Whether our role may mark rows with a replication origin.
pub const MAY_MARK: &str = "\
SELECT pg_catalog.has_function_privilege('pg_catalog.pg_replication_origin_create(text)', 'EXECUTE') \
AND pg_catalog.has_function_privilege('pg_catalog.pg_replication_origin_session_setup(text)', 'EXECUTE') \
AND pg_catalog.has_table_privilege('pg_catalog.pg_replication_origin', 'SELECT')";

/// Foreign keys: schema, table, constraint, definition, schema and table referred to, whether it is deferrable.
pub const FOREIGN_KEYS: &str = "\
SELECT n.nspname::text, c.relname::text, k.conname::text, pg_catalog.pg_get_constraintdef(k.oid), \
pn.nspname::text, p.relname::text, k.condeferrable \
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
JOIN pg_catalog.pg_class p ON p.oid = k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, 2, 3";

/// What the role lacks, one row for each table of which it lacks anything: schema, table, usage of the schema, SELECT,
/// INSERT, UPDATE, DELETE, TRUNCATE, no row security.
pub const PRIVILEGES: &str = "\
SELECT * FROM (SELECT n.nspname::text, c.relname::text, pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usage, \
pg_catalog.has_table_privilege(c.oid, 'SELECT') AS sel, pg_catalog.has_table_privilege(c.oid, 'INSERT') AS ins, \
pg_catalog.has_table_privilege(c.oid, 'UPDATE') AS upd, pg_catalog.has_table_privilege(c.oid, 'DELETE') AS del, \
pg_catalog.has_table_privilege(c.oid, 'TRUNCATE') AS tru, NOT pg_catalog.row_security_active(c.oid) AS open \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')) t \
WHERE NOT (usage AND sel AND ins AND upd AND del AND tru AND open) ORDER BY 1, 2";

/// Columns that a new row must be given: schema, table, column.
pub const REQUIRED: &str = "\
SELECT n.nspname::text, c.relname::text, a.attname::text FROM pg_catalog.pg_attribute a \
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef \
AND a.attidentity = '' AND t.typdefault IS NULL AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
ORDER BY n.nspname, c.relname, a.attnum";

/// Identity columns: schema, table, column.
pub const IDENTITIES: &str = "\
SELECT n.nspname::text, c.relname::text, a.attname::text FROM pg_catalog.pg_attribute a \
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity <> '' \
ORDER BY n.nspname, c.relname, a.attnum";

/// Primary keys: schema, table, constraint, names of their columns in order.
pub const KEYS: &str = "\
SELECT n.nspname::text, c.relname::text, k.conname::text, \
ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS u(number, place) \
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number ORDER BY u.place) \
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'p' ORDER BY 1, 2";

/// Names of schemas.
pub const SCHEMAS: &str = "SELECT nspname::text FROM pg_catalog.pg_namespace";

/// Who we are.
pub const ROLE: &str = "SELECT current_user::text";
