SELECT applied_nanos, applied_logical
    FROM "_cdc_sink"."public"."frontiers"
    WHERE target_db = $1::text AND target_schema = $2::text AND mode = 'immediate';

INSERT INTO "_cdc_sink"."public"."guard_shop_golden_wide_c09cb0a2f722" AS g (nanos, logical, key)
    SELECT u.nanos, u.logical, u.key
    FROM unnest($1::int8[], $2::int8[], $3::text[]) AS u(nanos, logical, key)
    ORDER BY u.key
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key;

UPSERT INTO "shop"."golden"."wide" ("id", "doc", "raw", "at", "tags", "bits", "data")
    SELECT (cdc_row.j->>E'id')::uuid, CASE WHEN cdc_row.j->E'doc' = '{"__crdb_json_null__": true}'::JSONB THEN 'null'::JSONB ELSE NULLIF(cdc_row.j->E'doc', 'null'::JSONB) END, CASE WHEN cdc_row.j->E'raw' = '{"__crdb_json_null__": true}'::JSONB THEN 'null'::JSONB ELSE NULLIF(cdc_row.j->E'raw', 'null'::JSONB) END, (cdc_row.j->>E'at')::timestamp without time zone, CASE WHEN jsonb_typeof(cdc_row.j->E'tags') = 'array' THEN ARRAY(SELECT e.x::text
    FROM jsonb_array_elements_text(cdc_row.j->E'tags') AS e(x)) END, (cdc_row.j->>E'bits')::bit(5), (cdc_row.j->>E'data')::bytea
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = -5159595974983399295) AS cdc_row;
