WITH fence AS (SELECT 1),
g0 AS (SELECT u.k0::bigint AS k0
    FROM (SELECT unnest($1::int8[]) AS k0
    FROM fence) u),
w0 AS (UPDATE "golden"."products" t
    SET "sku" = 'moving-' || gen_random_uuid(), "shelf" = NULL
    FROM g0 v
    WHERE t."id" = v.k0),
g1 AS (SELECT u.k0::bigint AS k0
    FROM (SELECT unnest($2::int8[]) AS k0
    FROM fence) u),
w1 AS (UPDATE "golden"."products" t
    SET "shelf" = NULL
    FROM g1 v
    WHERE t."id" = v.k0),
g2 AS (SELECT u.k0::bigint AS k0
    FROM (SELECT unnest($3::int8[]) AS k0
    FROM fence) u),
w2 AS (UPDATE "golden"."products" t
    SET "shelf" = NULL
    FROM g2 v
    WHERE t."id" = v.k0),
g3 AS (SELECT u.k0::bigint AS k0
    FROM (SELECT unnest($4::int8[]) AS k0
    FROM fence) u),
w3 AS (DELETE
    FROM "golden"."seats" t
    USING g3 v
    WHERE t."id" = v.k0)
SELECT (SELECT count(*)
    FROM fence) AS fence, '{}'::int8[] AS missing;

WITH fence AS (SELECT 1),
g0 AS (SELECT u.k0::bigint AS k0
    FROM (SELECT unnest($1::int8[]) AS k0
    FROM fence) u),
g1 AS (SELECT u.k0::bigint AS k0, u.c1::character varying AS c1, u.c2::integer AS c2
    FROM (SELECT unnest($2::int8[]) AS k0, unnest($3::text[]) AS c1, unnest($4::int4[]) AS c2
    FROM fence) u),
g2 AS MATERIALIZED (SELECT u.k0::bigint AS k0, u.c2::integer AS c2
    FROM (SELECT unnest($5::int8[]) AS k0, unnest($6::int4[]) AS c2
    FROM fence) u),
g3 AS MATERIALIZED (SELECT u.k0::bigint AS k0, u.b0::bigint AS b0, u.c2::integer AS c2
    FROM (SELECT unnest($7::int8[]) AS k0, unnest($8::int8[]) AS b0, unnest($9::int4[]) AS c2
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."products" t
    USING g0 v
    WHERE t."id" = v.k0 RETURNING 1),
w1 AS (INSERT INTO "golden"."products" ("id", "sku", "shelf")
    SELECT v.k0, v.c1, v.c2
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed),
w2 AS (UPDATE "golden"."products" t
    SET "shelf" = v.c2
    FROM g2 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    WHERE t."id" = v.k0 RETURNING 1),
w3 AS (INSERT INTO "golden"."products" ("id", "sku", "shelf")
    SELECT v.k0, o."sku", v.c2
    FROM g3 v JOIN "golden"."products" o ON o."id" = v.b0 CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "sku" = excluded."sku", "shelf" = excluded."shelf" RETURNING 1),
g4 AS (SELECT u.k0::bigint AS k0, u.c1::integer AS c1
    FROM (SELECT unnest($10::int8[]) AS k0, unnest($11::int4[]) AS c1
    FROM fence) u),
w4 AS (INSERT INTO "golden"."seats" ("id", "number")
    SELECT v.k0, v.c1
    FROM g4 v)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0 + (SELECT count(*)
    FROM g2) - (SELECT count(*)
    FROM w2) + (SELECT count(*)
    FROM g3) - (SELECT count(*)
    FROM w3), 0]::int8[] AS missing;
