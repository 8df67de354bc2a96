WITH fence AS (SELECT f.applied_nanos, f.applied_logical
    FROM "_cdc_sink"."frontiers" f
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.mode = 'immediate' FOR SHARE),
i0 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($3::int8[], $4::int8[], $5::text[], $6::int8[], $7::text[]) AS s(nanos, logical, key, v0, v1)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
g0 AS (INSERT INTO "_cdc_sink"."guard_shop_golden_parents_09d8fb4c8dcc" AS g (key, nanos, logical)
    SELECT s.key, s.nanos, s.logical
    FROM i0 s
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key),
r0 AS NOT MATERIALIZED (SELECT s.*
    FROM i0 s
    WHERE (s.key IN (SELECT g.key
    FROM g0 g)) IS TRUE),
u0_0 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT r.v0 AS "id", r.v1 AS "name"
    FROM r0 r
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "name" = excluded."name"),
i1 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($8::int8[], $9::int8[], $10::text[], $11::int8[], $12::int8[], $13::text[]) AS s(nanos, logical, key, v0, v1, v2)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
g1 AS (INSERT INTO "_cdc_sink"."guard_shop_golden_children_f8f8ec2b16f0" AS g (key, nanos, logical)
    SELECT s.key, s.nanos, s.logical
    FROM i1 s
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key),
r1 AS NOT MATERIALIZED (SELECT s.*
    FROM i1 s
    WHERE (s.key IN (SELECT g.key
    FROM g1 g)) IS TRUE),
u1_0 AS (INSERT INTO "golden"."children" ("id", "parent_id", "price")
    SELECT r.v0 AS "id", r.v1 AS "parent_id", r.v2::numeric(10,2) AS "price"
    FROM r1 r
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "parent_id" = excluded."parent_id", "price" = excluded."price")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM g0), (SELECT count(*)
    FROM g1)]::int8[] AS upserts, ARRAY[0, 0]::int8[] AS deletes, ARRAY[0, 0]::int8[] AS beaten, ARRAY[0, 0]::int8[] AS late;
