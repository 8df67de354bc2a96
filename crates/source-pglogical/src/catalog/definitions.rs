//! The questions about what tables are made of. Their answers stay rows here; `definitions` makes sense of them.

use std::time::Duration;

use super::read::Asking;
use super::{CatalogError, TableName};
use crate::transport::{Row, Session, sql};

/// What the source says of some tables, one list per question. The comment at each question names its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DefinitionRows {
    pub(crate) tables: Vec<Row>,
    pub(crate) columns: Vec<Row>,
    pub(crate) types: Vec<Row>,
    pub(crate) labels: Vec<Row>,
    pub(crate) attributes: Vec<Row>,
    pub(crate) checks: Vec<Row>,
    pub(crate) keys: Vec<Row>,
    pub(crate) exclusions: Vec<Row>,
    pub(crate) indexes: Vec<Row>,
    pub(crate) index_parts: Vec<Row>,
    pub(crate) foreign_keys: Vec<Row>,
}

/// Asks about these tables, in one transaction of the source.
pub(crate) async fn read(
    session: &mut Session,
    names: &[TableName],
    limit: Duration,
) -> Result<DefinitionRows, CatalogError> {
    if names.is_empty() {
        return Ok(DefinitionRows::default());
    }
    let mut asking = Asking::new(session, limit);
    asking.begin().await?;
    let wanted = wanted(names);
    let rows = DefinitionRows {
        tables: asking.rows("the tables to be made", &tables(&wanted)).await?,
        columns: asking.rows("the columns to be made", &columns(&wanted)).await?,
        types: asking.rows("the types to be made", &types(&wanted)).await?,
        labels: asking.rows("the labels of types", &labels(&wanted)).await?,
        attributes: asking.rows("the attributes of types", &attributes(&wanted)).await?,
        checks: asking.rows("the checks", &checks(&wanted)).await?,
        keys: asking.rows("the keys", &keys(&wanted)).await?,
        exclusions: asking.rows("the exclusion constraints", &exclusions(&wanted)).await?,
        indexes: asking.rows("the indexes", &indexes(&wanted)).await?,
        index_parts: asking.rows("the columns of indexes", &index_parts(&wanted)).await?,
        foreign_keys: asking.rows("the foreign keys", &foreign_keys(&wanted)).await?,
    };
    asking.end().await?;
    Ok(rows)
}

/// The tables' numbers, as the beginning of a statement.
fn wanted(names: &[TableName]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|table| format!("({}, {})", sql::literal(&table.schema), sql::literal(&table.name)))
        .collect();
    format!(
        "wanted(oid) AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND (n.nspname::text, c.relname::text) IN ({}))",
        names.join(", ")
    )
}

/// What an object uses that not every server has: functions and operators of users and extensions, sequences, other
/// tables. NULL if nothing. Types are made as well, so they are no obstacle.
fn uses(class: &str, object: &str, own_table: &str) -> String {
    format!(
        "(SELECT string_agg(DISTINCT o.type || ' ' || o.identity, ', ') FROM pg_depend dep \
         CROSS JOIN LATERAL pg_identify_object(dep.refclassid, dep.refobjid, 0) o \
         WHERE dep.classid = '{class}'::regclass AND dep.objid = {object} AND dep.deptype = 'n' \
         AND dep.refclassid NOT IN ('pg_type'::regclass, 'pg_constraint'::regclass, 'pg_namespace'::regclass) \
         AND NOT (dep.refclassid = 'pg_class'::regclass AND dep.refobjid = {own_table}) \
         AND o.schema IS DISTINCT FROM 'pg_catalog')"
    )
}

/// A collation by its SQL name if it is not the type's own, and whether every server has it and it tells texts apart.
fn collation(of: &str, of_type: &str) -> String {
    format!(
        "(SELECT quote_ident(ln.nspname) || '.' || quote_ident(l.collname) FROM pg_collation l \
         JOIN pg_namespace ln ON ln.oid = l.collnamespace WHERE l.oid = {of} AND {of} <> {of_type}), \
         COALESCE((SELECT ln.nspname = 'pg_catalog' AND l.collisdeterministic FROM pg_collation l \
         JOIN pg_namespace ln ON ln.oid = l.collnamespace WHERE l.oid = {of}), true)"
    )
}

/// Number, schema, name.
fn tables(wanted: &str) -> String {
    format!(
        "WITH {wanted} SELECT c.oid, n.nspname, c.relname FROM wanted w JOIN pg_class c ON c.oid = w.oid \
         JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY n.nspname, c.relname"
    )
}

/// Table, name, type, type as text, dimensions, not null, default, what it uses, identity, generated, collation, whether
/// usual, own sequence, its start, its step.
fn columns(wanted: &str) -> String {
    format!(
        "WITH {wanted} SELECT a.attrelid, a.attname, a.atttypid, format_type(a.atttypid, a.atttypmod), a.attndims, \
         a.attnotnull, pg_get_expr(d.adbin, d.adrelid), {uses}, NULLIF(a.attidentity::text, ''), \
         NULLIF(a.attgenerated::text, ''), {collation}, s.name, s.seqstart, s.seqincrement \
         FROM wanted w JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped \
         JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         LEFT JOIN LATERAL (SELECT q.seqrelid::regclass::text AS name, q.seqstart, q.seqincrement FROM pg_depend p \
         JOIN pg_sequence q ON q.seqrelid = p.objid WHERE p.classid = 'pg_class'::regclass \
         AND p.refclassid = 'pg_class'::regclass AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum \
         AND p.deptype IN ('a', 'i') ORDER BY p.objid LIMIT 1) AS s ON true ORDER BY a.attrelid, a.attnum",
        uses = uses("pg_attrdef", "d.oid", "a.attrelid"),
        collation = collation("a.attcollation", "t.typcollation"),
    )
}

/// The types of the columns, and those that these are made of.
fn used(wanted: &str) -> String {
    format!(
        "WITH RECURSIVE {wanted}, used(oid) AS (\
         SELECT a.atttypid FROM wanted w JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 \
         AND NOT a.attisdropped \
         UNION SELECT x.oid FROM used u JOIN pg_type t ON t.oid = u.oid CROSS JOIN LATERAL (\
         SELECT e.oid FROM pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid \
         UNION ALL SELECT t.typbasetype \
         UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid = r.rngtypid \
         UNION ALL SELECT r.rngtypid FROM pg_range r WHERE t.oid = r.rngmultitypid \
         UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid \
         AND a.attnum > 0 AND NOT a.attisdropped) AS x(oid) WHERE x.oid <> 0)"
    )
}

/// Number, schema, name, kind, element of an array, extension; of domains: base, as text, dimensions, not null,
/// default, what it uses, collation, whether usual; of ranges: subtype, as text, multirange's name, whether nothing but a
/// subtype makes it; of multiranges: the range; whether it is a table's row.
fn types(wanted: &str) -> String {
    format!(
        "{used} SELECT t.oid, n.nspname, t.typname, t.typtype, \
         (SELECT e.oid FROM pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid), \
         (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid \
          WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e' \
          AND d.refclassid = 'pg_extension'::regclass), \
         NULLIF(t.typbasetype, 0), CASE WHEN t.typbasetype <> 0 THEN format_type(t.typbasetype, t.typtypmod) END, \
         t.typndims, t.typnotnull, pg_get_expr(t.typdefaultbin, 0), {uses}, {collation}, r.rngsubtype, \
         format_type(r.rngsubtype, NULL), m.typname, \
         r.rngcanonical::oid = 0 AND r.rngsubdiff::oid = 0 AND r.rngcollation IN (0, rs.typcollation) AND o.opcdefault, \
         (SELECT x.rngtypid FROM pg_range x WHERE x.rngmultitypid = t.oid), \
         COALESCE((SELECT c.relkind <> 'c' FROM pg_class c WHERE c.oid = t.typrelid), false) \
         FROM used u JOIN pg_type t ON t.oid = u.oid JOIN pg_namespace n ON n.oid = t.typnamespace \
         LEFT JOIN pg_type b ON b.oid = t.typbasetype \
         LEFT JOIN pg_range r ON r.rngtypid = t.oid LEFT JOIN pg_type rs ON rs.oid = r.rngsubtype \
         LEFT JOIN pg_type m ON m.oid = r.rngmultitypid LEFT JOIN pg_opclass o ON o.oid = r.rngsubopc ORDER BY t.oid",
        used = used(wanted),
        uses = uses("pg_type", "t.oid", "0"),
        collation = collation("t.typcollation", "COALESCE(b.typcollation, t.typcollation)"),
    )
}

/// Type, label; in order.
fn labels(wanted: &str) -> String {
    format!(
        "{} SELECT e.enumtypid, e.enumlabel FROM used u JOIN pg_enum e ON e.enumtypid = u.oid \
         ORDER BY e.enumtypid, e.enumsortorder",
        used(wanted)
    )
}

/// Composite type, name, type, type as text, dimensions, collation, whether usual; in order.
fn attributes(wanted: &str) -> String {
    format!(
        "{} SELECT t.oid, a.attname, a.atttypid, format_type(a.atttypid, a.atttypmod), a.attndims, {} \
         FROM used u JOIN pg_type t ON t.oid = u.oid AND t.typtype = 'c' \
         JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped \
         JOIN pg_type x ON x.oid = a.atttypid ORDER BY t.oid, a.attnum",
        used(wanted),
        collation("a.attcollation", "x.typcollation"),
    )
}

/// Table or 0, domain or 0, name, expression, validated, what it uses.
fn checks(wanted: &str) -> String {
    format!(
        "{} SELECT k.conrelid, k.contypid, k.conname, pg_get_expr(k.conbin, k.conrelid), k.convalidated, {} \
         FROM pg_constraint k WHERE k.contype = 'c' AND (k.conrelid IN (SELECT w.oid FROM wanted w) \
         OR k.contypid IN (SELECT u.oid FROM used u)) ORDER BY k.conname, k.oid",
        used(wanted),
        uses("pg_constraint", "k.oid", "k.conrelid"),
    )
}

/// Table, name, primary or unique, deferrable, NULLs equal, text, column, whether only stored along; in order.
fn keys(wanted: &str) -> String {
    format!(
        "WITH {wanted} SELECT k.conrelid, k.conname, k.contype, k.condeferrable, \
         COALESCE((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false), pg_get_constraintdef(k.oid), a.attname, \
         p.place > i.indnkeyatts \
         FROM wanted w JOIN pg_constraint k ON k.conrelid = w.oid AND k.contype IN ('p', 'u') \
         JOIN pg_index i ON i.indexrelid = k.conindid \
         CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS p(number, place) \
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.number \
         ORDER BY k.conrelid, k.conname, p.place"
    )
}

/// Table, name, text, what it uses.
fn exclusions(wanted: &str) -> String {
    format!(
        "WITH {wanted} SELECT k.conrelid, k.conname, pg_get_constraintdef(k.oid), \
         COALESCE({}, {}) \
         FROM wanted w JOIN pg_constraint k ON k.conrelid = w.oid AND k.contype = 'x' ORDER BY k.conrelid, k.conname",
        uses("pg_constraint", "k.oid", "k.conrelid"),
        uses("pg_class", "k.conindid", "k.conrelid"),
    )
}

/// Indexes of no constraint: number, table, name, name as in the statement, unique, NULLs equal, method, statement,
/// condition, what it uses.
fn indexes(wanted: &str) -> String {
    format!(
        "WITH {wanted} SELECT i.indexrelid, i.indrelid, x.relname, quote_ident(x.relname), i.indisunique, \
         COALESCE((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false), m.amname, pg_get_indexdef(i.indexrelid), \
         pg_get_expr(i.indpred, i.indrelid), {} \
         FROM wanted w JOIN pg_index i ON i.indrelid = w.oid JOIN pg_class x ON x.oid = i.indexrelid \
         JOIN pg_am m ON m.oid = x.relam WHERE i.indislive AND (i.indisvalid OR x.relkind = 'I') \
         AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) \
         ORDER BY i.indrelid, x.relname",
        uses("pg_class", "i.indexrelid", "i.indrelid"),
    )
}

/// Index, column or NULL, expression, options, whether of the usual order, whether only stored along; in order.
fn index_parts(wanted: &str) -> String {
    format!(
        "WITH {wanted} SELECT i.indexrelid, a.attname, pg_get_indexdef(i.indexrelid, p.place::int, false), \
         COALESCE(o.option, 0), COALESCE(c.opcdefault AND (l.oid = 0 OR a.attcollation IS NULL \
         OR l.oid = a.attcollation), true), p.place > i.indnkeyatts \
         FROM wanted w JOIN pg_index i ON i.indrelid = w.oid \
         CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS p(number, place) \
         LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = p.number AND p.number > 0 \
         LEFT JOIN LATERAL unnest(i.indoption::int2[]) WITH ORDINALITY AS o(option, place) ON o.place = p.place \
         LEFT JOIN LATERAL unnest(i.indclass::oid[]) WITH ORDINALITY AS d(oid, place) ON d.place = p.place \
         LEFT JOIN pg_opclass c ON c.oid = d.oid \
         LEFT JOIN LATERAL unnest(i.indcollation::oid[]) WITH ORDINALITY AS l(oid, place) ON l.place = p.place \
         ORDER BY i.indexrelid, p.place"
    )
}

/// Table, name, column, parent's schema, parent's name, parent's column, on delete, on update, match, deferrable, text;
/// in order. Those that the server made for single partitions of a parent are no constraints of their own.
fn foreign_keys(wanted: &str) -> String {
    format!(
        "WITH {wanted} SELECT k.conrelid, k.conname, a.attname, pn.nspname, pc.relname, pa.attname, k.confdeltype, \
         k.confupdtype, k.confmatchtype, k.condeferrable, pg_get_constraintdef(k.oid) \
         FROM wanted w JOIN pg_constraint k ON k.conrelid = w.oid AND k.contype = 'f' \
         JOIN pg_class pc ON pc.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = pc.relnamespace \
         CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS p(own, theirs, place) \
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.own \
         JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = p.theirs \
         WHERE NOT EXISTS (SELECT 1 FROM pg_constraint u WHERE u.oid = k.conparentid AND u.conrelid = k.conrelid) \
         ORDER BY k.conrelid, k.conname, k.oid, p.place"
    )
}
