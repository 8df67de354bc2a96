WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS (SELECT u.k0::bigint AS k0
    FROM (SELECT unnest($7::int8[]) AS k0
    FROM fence) u),
g1 AS (SELECT u.k0::bigint AS k0, u.c1::text AS c1
    FROM (SELECT unnest($8::int8[]) AS k0, unnest($9::text[]) AS c1
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."parents" t
    USING g0 v
    WHERE t."id" = v.k0 RETURNING 1),
w1 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT v.k0, v.c1
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "name" = excluded."name"),
g2 AS (SELECT u.k0::bigint AS k0, u.c1::bigint AS c1, u.c2::numeric(10,2) AS c2
    FROM (SELECT unnest($10::int8[]) AS k0, unnest($11::int8[]) AS c1, unnest($12::text[]) AS c2
    FROM fence) u),
w2 AS (INSERT INTO "golden"."children" ("id", "parent_id", "price")
    SELECT v.k0, v.c1, v.c2
    FROM g2 v
    ON CONFLICT ("id") DO UPDATE
    SET "parent_id" = excluded."parent_id", "price" = excluded."price")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0, 0]::int8[] AS missing;

WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS (SELECT u.k0::bigint AS k0
    FROM (SELECT unnest($7::int8[]) AS k0
    FROM fence) u),
g1 AS (SELECT u.k0::bigint AS k0, u.c1::text AS c1
    FROM (SELECT unnest($8::int8[]) AS k0, unnest($9::text[]) AS c1
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."parents" t
    USING g0 v
    WHERE t."id" = v.k0 RETURNING 1),
w1 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT v.k0, v.c1
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed),
g2 AS (SELECT u.k0::bigint AS k0, u.c1::bigint AS c1, u.c2::numeric(10,2) AS c2
    FROM (SELECT unnest($10::int8[]) AS k0, unnest($11::int8[]) AS c1, unnest($12::text[]) AS c2
    FROM fence) u),
w2 AS (INSERT INTO "golden"."children" ("id", "parent_id", "price")
    SELECT v.k0, v.c1, v.c2
    FROM g2 v)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0, 0]::int8[] AS missing;
