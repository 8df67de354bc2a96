WITH fence AS (SELECT f.applied_nanos, f.applied_logical
    FROM "_cdc_sink"."frontiers" f
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.mode = 'immediate' FOR SHARE),
i0 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($3::int8[], $4::int8[], $5::text[], $6::text[], $7::text[]) AS s(nanos, logical, key, v0, v1)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
g0 AS (INSERT INTO "_cdc_sink"."guard_shop_golden_wide_c09cb0a2f722" AS g (key, nanos, logical)
    SELECT s.key, s.nanos, s.logical
    FROM i0 s
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key),
r0 AS NOT MATERIALIZED (SELECT s.*
    FROM i0 s
    WHERE (s.key IN (SELECT g.key
    FROM g0 g)) IS TRUE),
u0_0 AS (INSERT INTO "golden"."wide" ("id", "doc")
    SELECT r.v0::uuid AS "id", CASE WHEN r.v1::jsonb = '{"__crdb_json_null__": true}'::jsonb THEN 'null' ELSE r.v1::jsonb END AS "doc"
    FROM r0 r
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "doc" = excluded."doc")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM g0)]::int8[] AS upserts, ARRAY[0]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
