WITH i0 AS MATERIALIZED (SELECT s.*
    FROM unnest($1::int8[], $2::int8[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::text[], $8::int4[]) AS s(nanos, logical, key, long_key, shape, v0, v1, v2)),
r0 AS MATERIALIZED (SELECT s.*
    FROM i0 s),
d0 AS (DELETE
    FROM "golden"."products" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
u0_0 AS (INSERT INTO "golden"."products" ("id", "sku", "shelf")
    SELECT r.v0 AS "id", r.v1::character varying AS "sku", r.v2 AS "shelf"
    FROM r0 r
    WHERE r.shape <> 0
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "sku" = excluded."sku", "shelf" = excluded."shelf")
SELECT 1::int8 AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
