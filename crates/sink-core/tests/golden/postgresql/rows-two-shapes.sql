WITH fence AS (SELECT f.applied_nanos, f.applied_logical
    FROM "_cdc_sink"."frontiers" f
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.mode = 'immediate' FOR SHARE),
i0 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($3::int8[], $4::int8[], $5::text[], $6::text[], $7::int8[], $8::text[]) AS s(nanos, logical, key, long_key, shape, mut)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
g0 AS (INSERT INTO "_cdc_sink"."guard_shop_golden_parents_09d8fb4c8dcc" AS g (key, nanos, logical)
    SELECT s.key, s.nanos, s.logical
    FROM i0 s
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key),
r0 AS MATERIALIZED (SELECT s.*
    FROM i0 s
    WHERE (s.key IN (SELECT g.key
    FROM g0 g)) IS TRUE),
u0_0 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT cdc_row."id", cdc_row."name"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "name" text)
    WHERE r.shape = 7842058286331507490
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "name" = excluded."name"),
u0_1 AS (INSERT INTO "golden"."parents" ("id")
    SELECT cdc_row."id"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint)
    WHERE r.shape = -246402421202679939
    ORDER BY 1
    ON CONFLICT ("id") DO NOTHING)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[0]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
