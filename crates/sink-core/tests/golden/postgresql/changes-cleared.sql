WITH fence AS (SELECT 1),
g0 AS MATERIALIZED (SELECT u.k0::bigint AS k0
    FROM fence, unnest($1::text[]) AS u(k0)),
w0 AS (UPDATE "golden"."products" t
    SET "sku" = 'moving-' || gen_random_uuid(), "shelf" = NULL
    FROM g0 v
    WHERE t."id" = v.k0),
g1 AS MATERIALIZED (SELECT u.k0::bigint AS k0
    FROM fence, unnest($2::text[]) AS u(k0)),
w1 AS (UPDATE "golden"."products" t
    SET "shelf" = NULL
    FROM g1 v
    WHERE t."id" = v.k0),
g2 AS MATERIALIZED (SELECT u.k0::bigint AS k0
    FROM fence, unnest($3::text[]) AS u(k0)),
w2 AS (UPDATE "golden"."products" t
    SET "shelf" = NULL
    FROM g2 v
    WHERE t."id" = v.k0),
g3 AS MATERIALIZED (SELECT u.k0::bigint AS k0
    FROM fence, unnest($4::text[]) AS u(k0)),
w3 AS (DELETE
    FROM "golden"."seats" t
    USING g3 v
    WHERE t."id" = v.k0)
SELECT (SELECT count(*)
    FROM fence) AS fence, '{}'::int8[] AS missing;

WITH fence AS (SELECT 1),
g0 AS MATERIALIZED (SELECT u.k0::bigint AS k0
    FROM fence, unnest($1::text[]) AS u(k0)),
g1 AS MATERIALIZED (SELECT u.k0::bigint AS k0, u.c1::character varying AS c1, u.c2::integer AS c2
    FROM fence, unnest($2::text[], $3::text[], $4::text[]) AS u(k0, c1, c2)),
g2 AS MATERIALIZED (SELECT u.k0::bigint AS k0, u.c2::integer AS c2
    FROM fence, unnest($5::text[], $6::text[]) AS u(k0, c2)),
g3 AS MATERIALIZED (SELECT u.k0::bigint AS k0, u.b0::bigint AS b0, u.c2::integer AS c2
    FROM fence, unnest($7::text[], $8::text[], $9::text[]) AS u(k0, b0, c2)),
w0 AS (DELETE
    FROM "golden"."products" t
    USING g0 v
    WHERE t."id" = v.k0 RETURNING 1),
w1 AS (INSERT INTO "golden"."products" ("id", "sku", "shelf")
    SELECT v.k0, v.c1, v.c2
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "sku" = excluded."sku", "shelf" = excluded."shelf"),
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
g4 AS MATERIALIZED (SELECT u.k0::bigint AS k0, u.c1::integer AS c1
    FROM fence, unnest($10::text[], $11::text[]) AS u(k0, c1)),
w4 AS (INSERT INTO "golden"."seats" ("id", "number")
    SELECT v.k0, v.c1
    FROM g4 v
    ON CONFLICT ("id") DO UPDATE
    SET "number" = excluded."number")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0 + (SELECT count(*)
    FROM g2) - (SELECT count(*)
    FROM w2) + (SELECT count(*)
    FROM g3) - (SELECT count(*)
    FROM w3), 0]::int8[] AS missing;
