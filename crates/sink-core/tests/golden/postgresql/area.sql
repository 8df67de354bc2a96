CREATE TABLE IF NOT EXISTS "_cdc_sink"."frontiers" (target_db text NOT NULL, target_schema text NOT NULL, applied_nanos int8 NOT NULL DEFAULT 0, applied_logical int8 NOT NULL DEFAULT 0, epoch int8 NOT NULL DEFAULT 0, mode text NOT NULL DEFAULT 'consistent', guard_upto_nanos int8 NOT NULL DEFAULT 0, applied_at timestamptz, PRIMARY KEY (target_db, target_schema));

CREATE TABLE IF NOT EXISTS "_cdc_sink"."pending_timestamps" (target_db text NOT NULL, target_schema text NOT NULL, source_nanos int8 NOT NULL, source_logical int8 NOT NULL, target_applied_at timestamptz, received_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (target_db, target_schema, source_nanos, source_logical));

ALTER TABLE "_cdc_sink"."pending_timestamps" ADD COLUMN IF NOT EXISTS received_at timestamptz NOT NULL DEFAULT now();

CREATE TABLE IF NOT EXISTS "_cdc_sink"."staged_tables" (staging_table text PRIMARY KEY, guard_table text NOT NULL, target_db text NOT NULL, target_schema text NOT NULL, target_table text NOT NULL, key_columns text NOT NULL, source_key int8);

CREATE TABLE IF NOT EXISTS "_cdc_sink"."staged_shapes" (staging_table text NOT NULL, shape int8 NOT NULL, members text NOT NULL, PRIMARY KEY (staging_table, shape));

CREATE TABLE IF NOT EXISTS "_cdc_sink"."staged_windows" (target_db text NOT NULL, target_schema text NOT NULL, bucket int8 NOT NULL, staging_table text NOT NULL, shape int8 NOT NULL, PRIMARY KEY (target_db, target_schema, bucket, staging_table, shape));

CREATE TABLE IF NOT EXISTS "_cdc_sink"."leases" (name text PRIMARY KEY, expires timestamptz NOT NULL, nonce uuid NOT NULL, hostname text);

ALTER TABLE "_cdc_sink"."leases" ADD COLUMN IF NOT EXISTS hostname text;

CREATE TABLE IF NOT EXISTS "_cdc_sink"."target_databases" (name text PRIMARY KEY);

CREATE TABLE IF NOT EXISTS "_cdc_sink"."feeds" (target_db text NOT NULL, target_schema text NOT NULL, kind text NOT NULL, identity text NOT NULL, bound_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (target_db, target_schema, kind));

CREATE TABLE IF NOT EXISTS "_cdc_sink"."stalls" (target_db text NOT NULL, target_schema text NOT NULL, since timestamptz NOT NULL DEFAULT now(), source_nanos int8 NOT NULL, source_logical int8 NOT NULL, reason text NOT NULL, PRIMARY KEY (target_db, target_schema));

CREATE TABLE IF NOT EXISTS "_cdc_sink"."quarantine" (id uuid PRIMARY KEY, target_db text NOT NULL, target_schema text NOT NULL, target_table text NOT NULL, source_nanos int8 NOT NULL, source_logical int8 NOT NULL, key text NOT NULL, mut text NOT NULL, before text, sqlstate text, reason text NOT NULL, quarantined_at timestamptz NOT NULL DEFAULT now());

CREATE TABLE IF NOT EXISTS "_cdc_sink"."positions" (feed text NOT NULL, scope text NOT NULL, position text NOT NULL, source_identity jsonb NOT NULL, epoch int8 NOT NULL, torn bool NOT NULL DEFAULT false, source_time timestamptz, published jsonb, updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (feed, scope));

CREATE TABLE IF NOT EXISTS "_cdc_sink"."snapshots" (feed text NOT NULL, source_schema text NOT NULL, source_table text NOT NULL, state text NOT NULL, consistent_point text, rows int8 NOT NULL DEFAULT 0, bytes int8 NOT NULL DEFAULT 0, started_at timestamptz, finished_at timestamptz, PRIMARY KEY (feed, source_schema, source_table));

CREATE TABLE IF NOT EXISTS "_cdc_sink"."snapshot_ranges" (feed text NOT NULL, source_schema text NOT NULL, source_table text NOT NULL, number int4 NOT NULL, bounds text NOT NULL, reached text, done bool NOT NULL DEFAULT false, rows int8 NOT NULL DEFAULT 0, bytes int8 NOT NULL DEFAULT 0, PRIMARY KEY (feed, source_schema, source_table, number));
