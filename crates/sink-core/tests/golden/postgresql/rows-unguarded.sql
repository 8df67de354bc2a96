WITH fence AS (SELECT f.applied_nanos, f.applied_logical
    FROM "_cdc_sink"."frontiers" f
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.mode = 'immediate' FOR SHARE),
i0 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($3::int8[], $4::int8[], $5::int8[], $6::text[]) AS s(nanos, logical, v0, v1)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
r0 AS NOT MATERIALIZED (SELECT s.*
    FROM i0 s),
u0_0 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT r.v0 AS "id", r.v1 AS "name"
    FROM r0 r
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "name" = excluded."name"),
i1 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::text[]) AS s(nanos, logical, v0, v1, v2)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
r1 AS NOT MATERIALIZED (SELECT s.*
    FROM i1 s),
u1_0 AS (INSERT INTO "golden"."children" ("id", "parent_id", "price")
    SELECT r.v0 AS "id", r.v1 AS "parent_id", r.v2::numeric(10,2) AS "price"
    FROM r1 r
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "parent_id" = excluded."parent_id", "price" = excluded."price")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM i0), (SELECT count(*)
    FROM i1)]::int8[] AS upserts, ARRAY[0, 0]::int8[] AS deletes, ARRAY[0, 0]::int8[] AS beaten, ARRAY[0, 0]::int8[] AS late;
