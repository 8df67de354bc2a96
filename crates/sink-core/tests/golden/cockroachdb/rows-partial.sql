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

UPSERT INTO "shop"."golden"."wide" ("id", "doc")
    SELECT (cdc_row.j->>E'id')::uuid, CASE WHEN cdc_row.j->E'doc' = '{"__crdb_json_null__": true}'::JSONB THEN 'null'::JSONB ELSE NULLIF(cdc_row.j->E'doc', 'null'::JSONB) END
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = -4859689416026251384 AND NOT r.reborn) AS cdc_row;
