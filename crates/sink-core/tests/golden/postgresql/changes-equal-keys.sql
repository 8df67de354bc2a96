WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS MATERIALIZED (SELECT u.k0::timestamp with time zone AS k0, u.k1::numeric(10,2) AS k1
    FROM (SELECT unnest($7::text[]) AS k0, unnest($8::text[]) AS k1
    FROM fence) u),
g1 AS MATERIALIZED (SELECT u.k0::timestamp with time zone AS k0, u.k1::numeric(10,2) AS k1, u.c2::text AS c2
    FROM (SELECT unnest($9::text[]) AS k0, unnest($10::text[]) AS k1, unnest($11::text[]) AS c2
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."prices" t
    USING g0 v
    WHERE t."at" = v.k0 AND t."amount" = v.k1 AND NOT EXISTS (SELECT 1
    FROM g1 l
    WHERE l.k0 = v.k0 AND l.k1 = v.k1) RETURNING 1),
w1 AS (INSERT INTO "golden"."prices" ("at", "amount", "note")
    SELECT v.k0, v.k1, v.c2
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("at", "amount") DO UPDATE
    SET "at" = excluded."at", "amount" = excluded."amount", "note" = excluded."note")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0]::int8[] AS missing;

WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS MATERIALIZED (SELECT u.k0::timestamp with time zone AS k0, u.k1::numeric(10,2) AS k1
    FROM (SELECT unnest($7::text[]) AS k0, unnest($8::text[]) AS k1
    FROM fence) u),
g1 AS MATERIALIZED (SELECT u.k0::timestamp with time zone AS k0, u.k1::numeric(10,2) AS k1, u.c2::text AS c2
    FROM (SELECT unnest($9::text[]) AS k0, unnest($10::text[]) AS k1, unnest($11::text[]) AS c2
    FROM fence) u),
g2 AS MATERIALIZED (SELECT u.k0::timestamp with time zone AS k0, u.k1::numeric(10,2) AS k1, u.c2::text AS c2
    FROM (SELECT unnest($12::text[]) AS k0, unnest($13::text[]) AS k1, unnest($14::text[]) AS c2
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."prices" t
    USING g0 v
    WHERE t."at" = v.k0 AND t."amount" = v.k1 AND NOT EXISTS (SELECT 1
    FROM g1 l
    WHERE l.k0 = v.k0 AND l.k1 = v.k1) AND NOT EXISTS (SELECT 1
    FROM g2 l
    WHERE l.k0 = v.k0 AND l.k1 = v.k1) RETURNING 1),
w1 AS (INSERT INTO "golden"."prices" ("at", "amount", "note")
    SELECT v.k0, v.k1, v.c2
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed),
w2 AS (INSERT INTO "golden"."prices" ("at", "amount", "note")
    SELECT v.k0, v.k1, v.c2
    FROM g2 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("at", "amount") DO UPDATE
    SET "at" = excluded."at", "amount" = excluded."amount", "note" = excluded."note")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0]::int8[] AS missing;
