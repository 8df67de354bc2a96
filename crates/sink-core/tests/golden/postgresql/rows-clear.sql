WITH i0 AS MATERIALIZED (SELECT s.*
    FROM unnest($1::int8[], $2::int8[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::text[], $8::int4[]) AS s(nanos, logical, key, long_key, shape, v0, v1, v2)),
r0 AS MATERIALIZED (SELECT s.*
    FROM i0 s),
d0 AS (UPDATE "golden"."products" t
    SET "shelf" = NULL, "sku" = 'moving-' || gen_random_uuid()
    FROM r0 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
c0_0 AS (UPDATE "golden"."products" t
    SET "sku" = CASE WHEN t."sku" IS DISTINCT
    FROM v."sku" THEN 'moving-' || gen_random_uuid() ELSE t."sku" END, "shelf" = CASE WHEN t."shelf" IS DISTINCT
    FROM v."shelf" THEN NULL ELSE t."shelf" END
    FROM (SELECT r.v0 AS "id", r.v1::character varying AS "sku", r.v2 AS "shelf"
    FROM r0 r
    WHERE r.shape <> 0) v
    WHERE t."id" = v."id" AND (t."sku" IS DISTINCT
    FROM v."sku" OR t."shelf" IS DISTINCT
    FROM v."shelf"))
SELECT 1::int8 AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
