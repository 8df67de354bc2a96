CREATE TABLE IF NOT EXISTS "_cdc_sink"."public"."jwt_public_keys" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), public_key text NOT NULL, active bool NOT NULL DEFAULT true);

ALTER TABLE "_cdc_sink"."public"."jwt_public_keys" ADD COLUMN IF NOT EXISTS active bool NOT NULL DEFAULT true;

CREATE TABLE IF NOT EXISTS "_cdc_sink"."public"."jwt_revoked_ids" (id text PRIMARY KEY);

CREATE TABLE IF NOT EXISTS "_cdc_sink"."public"."apply_config" (target_db text NOT NULL CHECK (length(target_db) > 0), target_schema text NOT NULL CHECK (length(target_schema) > 0), target_table text NOT NULL CHECK (length(target_table) > 0), target_column text NOT NULL CHECK (length(target_column) > 0), cas_order int8 NOT NULL DEFAULT 0 CHECK (cas_order >= 0), deadline interval NOT NULL DEFAULT '0', expr text NOT NULL DEFAULT '', extras bool NOT NULL DEFAULT false, "ignore" bool NOT NULL DEFAULT false, src_name text NOT NULL DEFAULT '', PRIMARY KEY (target_db, target_schema, target_table, target_column));

ALTER TABLE "_cdc_sink"."public"."apply_config" ADD COLUMN IF NOT EXISTS cas_order int8 NOT NULL DEFAULT 0 CHECK (cas_order >= 0);

ALTER TABLE "_cdc_sink"."public"."apply_config" ADD COLUMN IF NOT EXISTS deadline interval NOT NULL DEFAULT '0';

ALTER TABLE "_cdc_sink"."public"."apply_config" ADD COLUMN IF NOT EXISTS expr text NOT NULL DEFAULT '';

ALTER TABLE "_cdc_sink"."public"."apply_config" ADD COLUMN IF NOT EXISTS extras bool NOT NULL DEFAULT false;

ALTER TABLE "_cdc_sink"."public"."apply_config" ADD COLUMN IF NOT EXISTS "ignore" bool NOT NULL DEFAULT false;

ALTER TABLE "_cdc_sink"."public"."apply_config" ADD COLUMN IF NOT EXISTS src_name text NOT NULL DEFAULT '';
