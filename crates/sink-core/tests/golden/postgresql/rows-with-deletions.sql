WITH i0 AS MATERIALIZED (SELECT s.*
    FROM unnest($1::int8[], $2::int8[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::text[]) AS s(nanos, logical, key, long_key, shape, v0, v1)),
r0 AS MATERIALIZED (SELECT s.*
    FROM i0 s),
d0 AS (DELETE
    FROM "golden"."parents" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
u0_0 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT r.v0 AS "id", r.v1 AS "name"
    FROM r0 r
    WHERE r.shape <> 0
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "name" = excluded."name"),
i1 AS MATERIALIZED (SELECT s.*
    FROM unnest($8::int8[], $9::int8[], $10::text[], $11::text[], $12::int8[], $13::int8[], $14::int8[], $15::text[]) AS s(nanos, logical, key, long_key, shape, v0, v1, v2)),
r1 AS MATERIALIZED (SELECT s.*
    FROM i1 s),
d1 AS (DELETE
    FROM "golden"."children" t
    USING r1 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
u1_0 AS (INSERT INTO "golden"."children" ("id", "parent_id", "price")
    SELECT r.v0 AS "id", r.v1 AS "parent_id", r.v2::numeric(10,2) AS "price"
    FROM r1 r
    WHERE r.shape <> 0
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "parent_id" = excluded."parent_id", "price" = excluded."price")
SELECT 1::int8 AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0), (SELECT count(*)
    FROM r1
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0), (SELECT count(*)
    FROM r1
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0, 0]::int8[] AS beaten, ARRAY[0, 0]::int8[] AS late;
