WITH fence AS (SELECT f.applied_nanos, f.applied_logical
    FROM "_cdc_sink"."frontiers" f
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.mode = 'immediate' FOR SHARE),
i0 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($3::int8[], $4::int8[], $5::text[], $6::text[], $7::text[], $8::int8[]) AS s(nanos, logical, key, long_key, mut, shape)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
g0 AS (INSERT INTO "_cdc_sink"."guard_shop_golden_wide_c09cb0a2f722" AS g (key, nanos, logical)
    SELECT s.key, s.nanos, s.logical
    FROM i0 s
    ORDER BY s.key
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key),
r0 AS MATERIALIZED (SELECT s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM i0 s
    WHERE (s.key IN (SELECT g.key
    FROM g0 g)) IS TRUE),
d0 AS (DELETE
    FROM "golden"."wide" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::uuid),
u0_0 AS (INSERT INTO "golden"."wide" ("id", "doc")
    SELECT cdc_row."id", CASE WHEN cdc_row."doc" = '{"__crdb_json_null__": true}'::jsonb THEN 'null' ELSE cdc_row."doc" END AS "doc"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" uuid, "doc" jsonb)
    WHERE r.shape = -4859689416026251384 AND NOT r.reborn
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "doc" = excluded."doc")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
