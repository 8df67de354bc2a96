//! The tables of the staging area that both products share; types are spelled as both understand.

use super::StagingArea;

/// `CREATE TABLE IF NOT EXISTS` for each, then the columns that an area made by the original lacks.
pub(super) fn tables(area: &StagingArea) -> Vec<String> {
    let create = |table: &str, columns: &str| create(area, table, columns);
    let add = |table: &str, column: &str| {
        format!("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {column}", area.table(table))
    };
    let mut tables = vec![
        // How far each schema is applied; the row that fences every apply.
        create(
            "frontiers",
            "target_db text NOT NULL, target_schema text NOT NULL, applied_nanos int8 NOT NULL DEFAULT 0, \
             applied_logical int8 NOT NULL DEFAULT 0, epoch int8 NOT NULL DEFAULT 0, \
             mode text NOT NULL DEFAULT 'consistent', guard_upto_nanos int8 NOT NULL DEFAULT 0, \
             applied_at timestamptz, PRIMARY KEY (target_db, target_schema)",
        ),
        // Resolved marks as they arrive; rows at or below the frontier are dead.
        create(
            "pending_timestamps",
            "target_db text NOT NULL, target_schema text NOT NULL, source_nanos int8 NOT NULL, \
             source_logical int8 NOT NULL, target_applied_at timestamptz, \
             received_at timestamptz NOT NULL DEFAULT now(), \
             PRIMARY KEY (target_db, target_schema, source_nanos, source_logical)",
        ),
        add("pending_timestamps", "received_at timestamptz NOT NULL DEFAULT now()"),
        // Which staging table belongs to which target table.
        create(
            "staged_tables",
            "staging_table text PRIMARY KEY, guard_table text NOT NULL, target_db text NOT NULL, \
             target_schema text NOT NULL, target_table text NOT NULL, key_columns text NOT NULL, source_key int8",
        ),
        // Which members the rows of a shape have, as a JSON array.
        create(
            "staged_shapes",
            "staging_table text NOT NULL, shape int8 NOT NULL, members text NOT NULL, \
             PRIMARY KEY (staging_table, shape)",
        ),
        // Which tables may have rows in which stretch of source time, so that a mark costs nothing for the others.
        create(
            "staged_windows",
            "target_db text NOT NULL, target_schema text NOT NULL, bucket int8 NOT NULL, staging_table text NOT NULL, \
             shape int8 NOT NULL, PRIMARY KEY (target_db, target_schema, bucket, staging_table, shape)",
        ),
        // Who works on what; the clock is the database's.
        create(
            "leases",
            "name text PRIMARY KEY, expires timestamptz NOT NULL, nonce uuid NOT NULL, hostname text",
        ),
        add("leases", "hostname text"),
        // Databases that are written, listed in the home database alone, so that a restarted process finds them.
        create("target_databases", "name text PRIMARY KEY"),
        // Which feed a schema belongs to, as far as feeds say who they are.
        create(
            "feeds",
            "target_db text NOT NULL, target_schema text NOT NULL, kind text NOT NULL, identity text NOT NULL, \
             bound_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (target_db, target_schema, kind)",
        ),
        // Why a schema stands still, for operators.
        create(
            "stalls",
            "target_db text NOT NULL, target_schema text NOT NULL, since timestamptz NOT NULL DEFAULT now(), \
             source_nanos int8 NOT NULL, source_logical int8 NOT NULL, reason text NOT NULL, \
             PRIMARY KEY (target_db, target_schema)",
        ),
        // Rows the target refused, moved aside by --onApplyError=quarantine.
        create(
            "quarantine",
            "id uuid PRIMARY KEY, target_db text NOT NULL, target_schema text NOT NULL, target_table text NOT NULL, \
             source_nanos int8 NOT NULL, source_logical int8 NOT NULL, key text NOT NULL, mut text NOT NULL, \
             before text, sqlstate text, reason text NOT NULL, quarantined_at timestamptz NOT NULL DEFAULT now()",
        ),
    ];
    tables.extend(log_tables(area));
    tables
}

fn create(area: &StagingArea, table: &str, columns: &str) -> String {
    format!("CREATE TABLE IF NOT EXISTS {} ({columns})", area.table(table))
}

/// Those of the log sources.
fn log_tables(area: &StagingArea) -> [String; 3] {
    let create = |table: &str, columns: &str| create(area, table, columns);
    [
        // How far each log is in the target; the row that fences every step of its feed.
        create(
            "positions",
            "feed text NOT NULL, scope text NOT NULL, position text NOT NULL, source_identity jsonb NOT NULL, \
             epoch int8 NOT NULL, torn bool NOT NULL DEFAULT false, source_time timestamptz, published jsonb, \
             updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (feed, scope)",
        ),
        // How far the first copy of each table of a log's source is. Rows stay when it is done: changes before a table's
        // consistent point are in its copy.
        create(
            "snapshots",
            "feed text NOT NULL, source_schema text NOT NULL, source_table text NOT NULL, state text NOT NULL, \
             consistent_point text, rows int8 NOT NULL DEFAULT 0, bytes int8 NOT NULL DEFAULT 0, \
             started_at timestamptz, finished_at timestamptz, PRIMARY KEY (feed, source_schema, source_table)",
        ),
        // Where a table is copied in the order of its key: how far each part of it is.
        create(
            "snapshot_ranges",
            "feed text NOT NULL, source_schema text NOT NULL, source_table text NOT NULL, number int4 NOT NULL, \
             bounds text NOT NULL, reached text, done bool NOT NULL DEFAULT false, rows int8 NOT NULL DEFAULT 0, \
             bytes int8 NOT NULL DEFAULT 0, PRIMARY KEY (feed, source_schema, source_table, number)",
        ),
    ]
}

/// A table that stands in the home database alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeTable {
    /// A query that succeeds if the table is complete. Then nothing is to be made, and the process needs no right to: an
    /// administrator may own these tables.
    pub probe: String,
    /// What makes it complete.
    pub ddl: Vec<String>,
}

/// The tables that stand in the home database alone: who may write, and what is done to the rows, for every process of
/// this target. The names and columns are those of the original, whose tables are used as they are.
pub(super) fn home_tables(area: &StagingArea) -> Vec<HomeTable> {
    let (keys, revoked) = (area.table("jwt_public_keys"), area.table("jwt_revoked_ids"));
    let create_keys = format!(
        "CREATE TABLE IF NOT EXISTS {keys} (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), public_key text NOT NULL, \
         active bool NOT NULL DEFAULT true)"
    );
    let add_active = format!("ALTER TABLE {keys} ADD COLUMN IF NOT EXISTS active bool NOT NULL DEFAULT true");
    vec![
        HomeTable {
            probe: format!("SELECT id, public_key, active FROM {keys} LIMIT 0"),
            ddl: vec![create_keys, add_active],
        },
        HomeTable {
            probe: format!("SELECT id FROM {revoked} LIMIT 0"),
            ddl: vec![format!("CREATE TABLE IF NOT EXISTS {revoked} (id text PRIMARY KEY)")],
        },
        HomeTable {
            probe: format!(
                "SELECT target_db, target_schema, target_table, target_column, cas_order, deadline, expr, extras, \
                 \"ignore\", src_name FROM {} LIMIT 0",
                area.table("apply_config")
            ),
            ddl: apply_config(area),
        },
    ]
}

/// What the operator wants done to the rows of each table, per column.
fn apply_config(area: &StagingArea) -> Vec<String> {
    let apply_config = area.table("apply_config");
    let columns = [
        "cas_order int8 NOT NULL DEFAULT 0 CHECK (cas_order >= 0)",
        "deadline interval NOT NULL DEFAULT '0'",
        "expr text NOT NULL DEFAULT ''",
        "extras bool NOT NULL DEFAULT false",
        "\"ignore\" bool NOT NULL DEFAULT false",
        "src_name text NOT NULL DEFAULT ''",
    ];
    let key = ["target_db", "target_schema", "target_table", "target_column"];
    let key_columns = key.map(|name| format!("{name} text NOT NULL CHECK (length({name}) > 0)")).join(", ");
    let mut statements = vec![format!(
        "CREATE TABLE IF NOT EXISTS {apply_config} ({key_columns}, {}, PRIMARY KEY ({}))",
        columns.join(", "),
        key.join(", ")
    )];
    // A table of the original's first versions lacks some.
    let add = |column: &&str| format!("ALTER TABLE {apply_config} ADD COLUMN IF NOT EXISTS {column}");
    statements.extend(columns.iter().map(add));
    statements
}
