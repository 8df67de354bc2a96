WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS (SELECT u.k0::bigint AS k0, u.k1::text AS k1
    FROM (SELECT unnest($7::int8[]) AS k0, unnest($8::text[]) AS k1
    FROM fence) u),
g1 AS (SELECT u.k0::bigint AS k0, u.k1::text AS k1
    FROM (SELECT unnest($9::int8[]) AS k0, unnest($10::text[]) AS k1
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."tags" t
    USING g0 v
    WHERE t."a" = v.k0 AND t."b" = v.k1 RETURNING 1),
w1 AS (INSERT INTO "golden"."tags" ("a", "b")
    SELECT v.k0, v.k1
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("a", "b") DO NOTHING)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0]::int8[] AS missing;

WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS (SELECT u.k0::bigint AS k0, u.k1::text AS k1
    FROM (SELECT unnest($7::int8[]) AS k0, unnest($8::text[]) AS k1
    FROM fence) u),
g1 AS (SELECT u.k0::bigint AS k0, u.k1::text AS k1
    FROM (SELECT unnest($9::int8[]) AS k0, unnest($10::text[]) AS k1
    FROM fence) u),
g2 AS (SELECT u.k0::bigint AS k0, u.k1::text AS k1
    FROM (SELECT unnest($11::int8[]) AS k0, unnest($12::text[]) AS k1
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."tags" t
    USING g0 v
    WHERE t."a" = v.k0 AND t."b" = v.k1 RETURNING 1),
w1 AS (INSERT INTO "golden"."tags" ("a", "b")
    SELECT v.k0, v.k1
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed),
w2 AS (INSERT INTO "golden"."tags" ("a", "b")
    SELECT v.k0, v.k1
    FROM g2 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("a", "b") DO NOTHING)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0]::int8[] AS missing;
