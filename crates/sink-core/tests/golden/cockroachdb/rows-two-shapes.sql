SELECT applied_nanos, applied_logical
    FROM "_cdc_sink"."public"."frontiers"
    WHERE target_db = $1::text AND target_schema = $2::text AND mode = 'immediate';

INSERT INTO "_cdc_sink"."public"."guard_shop_golden_parents_09d8fb4c8dcc" AS g (nanos, logical, key)
    SELECT u.nanos, u.logical, u.key
    FROM unnest($1::int8[], $2::int8[], $3::text[]) AS u(nanos, logical, key)
    ORDER BY u.key
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key;

UPSERT INTO "shop"."golden"."parents" ("id", "name")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'name')::text
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = 7842058286331507490) AS cdc_row;

UPSERT INTO "shop"."golden"."parents" ("id")
    SELECT (cdc_row.j->>E'id')::bigint
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = -246402421202679939 AND NOT r.reborn) AS cdc_row;
