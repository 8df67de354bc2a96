WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS (SELECT u.k0::bigint AS k0
    FROM (SELECT unnest($7::int8[]) AS k0
    FROM fence) u),
g1 AS (SELECT u.k0::bigint AS k0, u.c1::bigint AS c1
    FROM (SELECT unnest($8::int8[]) AS k0, unnest($9::int8[]) AS c1
    FROM fence) u),
g2 AS MATERIALIZED (SELECT u.k0::bigint AS k0, u.b0::bigint AS b0, u.c2::integer AS c2
    FROM (SELECT unnest($10::int8[]) AS k0, unnest($11::int8[]) AS b0, unnest($12::int4[]) AS c2
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."numbered" t
    USING g0 v
    WHERE t."id" = v.k0 RETURNING 1),
w1 AS (INSERT INTO "golden"."numbered" ("id", "seq") OVERRIDING SYSTEM VALUE
    SELECT v.k0, v.c1
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "v" = DEFAULT),
w2 AS (INSERT INTO "golden"."numbered" ("id", "seq", "v") OVERRIDING SYSTEM VALUE
    SELECT v.k0, o."seq", v.c2
    FROM g2 v JOIN "golden"."numbered" o ON o."id" = v.b0 CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "v" = excluded."v" RETURNING 1)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0 + (SELECT count(*)
    FROM g2) - (SELECT count(*)
    FROM w2)]::int8[] AS missing;

WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS (SELECT u.k0::bigint AS k0
    FROM (SELECT unnest($7::int8[]) AS k0
    FROM fence) u),
g1 AS (SELECT u.k0::bigint AS k0, u.c1::bigint AS c1
    FROM (SELECT unnest($8::int8[]) AS k0, unnest($9::int8[]) AS c1
    FROM fence) u),
g2 AS MATERIALIZED (SELECT u.k0::bigint AS k0, u.b0::bigint AS b0, u.c2::integer AS c2
    FROM (SELECT unnest($10::int8[]) AS k0, unnest($11::int8[]) AS b0, unnest($12::int4[]) AS c2
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."numbered" t
    USING g0 v
    WHERE t."id" = v.k0 RETURNING 1),
w1 AS (INSERT INTO "golden"."numbered" ("id", "seq") OVERRIDING SYSTEM VALUE
    SELECT v.k0, v.c1
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed),
w2 AS (INSERT INTO "golden"."numbered" ("id", "seq", "v") OVERRIDING SYSTEM VALUE
    SELECT v.k0, o."seq", v.c2
    FROM g2 v JOIN "golden"."numbered" o ON o."id" = v.b0 CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "v" = excluded."v" RETURNING 1)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0 + (SELECT count(*)
    FROM g2) - (SELECT count(*)
    FROM w2)]::int8[] AS missing;
