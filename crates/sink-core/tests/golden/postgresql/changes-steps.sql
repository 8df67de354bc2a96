WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
s0 AS MATERIALIZED (SELECT u.s, u.g, u.k0::bigint AS k0, u.c1::bigint AS c1, u.c2::numeric(10,2) AS c2, u.c3::timestamp with time zone AS c3, CASE WHEN u.g IN ('p0') THEN (upper((u.c4::text)) || '$0')::text END AS c4, u.c5::jsonb AS c5
    FROM fence, unnest($13::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[]) WITH ORDINALITY AS u(g, k0, c1, c2, c3, c4, c5, s)),
y0 AS MATERIALIZED (SELECT v.*, COALESCE(v.c3 > now() - E'00:01:00'::interval, false) AS fresh, count(*) FILTER (WHERE v.g IS NULL) OVER (PARTITION BY v.k0
    ORDER BY v.s DESC ROWS UNBOUNDED PRECEDING) AS deletions, bool_or(v.g IS NULL) OVER (PARTITION BY v.k0) AS reborn
    FROM s0 v),
z0 AS MATERIALIZED (SELECT y.*, (y.g IS NOT NULL AND y.deletions = 0 AND y.fresh) AS candidate, count(*) FILTER (WHERE y.g IS NOT NULL AND y.deletions = 0 AND y.fresh) OVER (PARTITION BY y.k0
    ORDER BY y.s DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
    FROM y0 y),
x0 AS MATERIALIZED (SELECT DISTINCT ON (z.k0) z.*
    FROM z0 z
    WHERE z.candidate OR z.reborn
    ORDER BY z.k0, z.candidate DESC, z.c1 DESC NULLS LAST, NULLIF(z.c2, 'NaN') DESC NULLS LAST, z.s),
d0 AS (DELETE
    FROM "golden"."versioned" t
    USING x0 x
    WHERE NOT x.candidate AND t."id" = x.k0 RETURNING 1),
u0_0 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "name", "overflow")
    SELECT x.k0, x.c1, x.c2, x.c3, x.c4, x.c5
    FROM x0 x CROSS JOIN (SELECT count(*)
    FROM d0) AS freed
    WHERE x.candidate AND NOT x.reborn AND x.g = 'p0'
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow"
    WHERE ((excluded."major" IS NOT NULL AND (t."major" IS NULL OR excluded."major" > t."major")) OR (excluded."major" IS NOT DISTINCT
    FROM t."major" AND (NULLIF(excluded."minor", 'NaN') IS NOT NULL AND (NULLIF(t."minor", 'NaN') IS NULL OR NULLIF(excluded."minor", 'NaN') > NULLIF(t."minor", 'NaN'))))) RETURNING 1),
b0_0 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "name", "overflow")
    SELECT x.k0, x.c1, x.c2, x.c3, x.c4, x.c5
    FROM x0 x CROSS JOIN (SELECT count(*)
    FROM d0) AS freed
    WHERE x.candidate AND x.reborn AND x.g = 'p0'
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow" RETURNING 1),
g1 AS (SELECT u.k0::bigint AS k0, u.c1::text AS c1
    FROM (SELECT unnest($14::int8[]) AS k0, unnest($15::text[]) AS c1
    FROM fence) u),
w1 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT v.k0, v.c1
    FROM g1 v
    ON CONFLICT ("id") DO UPDATE
    SET "name" = excluded."name")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0, 0]::int8[] AS missing, ARRAY[(SELECT count(*) + COALESCE(sum(later), 0)
    FROM x0
    WHERE candidate) - (SELECT count(*)
    FROM u0_0) - (SELECT count(*)
    FROM b0_0), 0]::int8[] AS beaten, ARRAY[(SELECT count(*)
    FROM y0
    WHERE g IS NOT NULL AND deletions = 0 AND NOT fresh) + 0, 0]::int8[] AS late;

WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
s0 AS MATERIALIZED (SELECT u.s, u.g, u.k0::bigint AS k0, u.c1::bigint AS c1, u.c2::numeric(10,2) AS c2, u.c3::timestamp with time zone AS c3, CASE WHEN u.g IN ('p0') THEN (upper((u.c4::text)) || '$0')::text END AS c4, u.c5::jsonb AS c5
    FROM fence, unnest($13::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[]) WITH ORDINALITY AS u(g, k0, c1, c2, c3, c4, c5, s)),
y0 AS MATERIALIZED (SELECT v.*, COALESCE(v.c3 > now() - E'00:01:00'::interval, false) AS fresh, count(*) FILTER (WHERE v.g IS NULL) OVER (PARTITION BY v.k0
    ORDER BY v.s DESC ROWS UNBOUNDED PRECEDING) AS deletions, bool_or(v.g IS NULL) OVER (PARTITION BY v.k0) AS reborn
    FROM s0 v),
z0 AS MATERIALIZED (SELECT y.*, (y.g IS NOT NULL AND y.deletions = 0 AND y.fresh) AS candidate, count(*) FILTER (WHERE y.g IS NOT NULL AND y.deletions = 0 AND y.fresh) OVER (PARTITION BY y.k0
    ORDER BY y.s DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
    FROM y0 y),
x0 AS MATERIALIZED (SELECT DISTINCT ON (z.k0) z.*
    FROM z0 z
    WHERE z.candidate OR z.reborn
    ORDER BY z.k0, z.candidate DESC, z.c1 DESC NULLS LAST, NULLIF(z.c2, 'NaN') DESC NULLS LAST, z.s),
d0 AS (DELETE
    FROM "golden"."versioned" t
    USING x0 x
    WHERE NOT x.candidate AND t."id" = x.k0 RETURNING 1),
u0_0 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "name", "overflow")
    SELECT x.k0, x.c1, x.c2, x.c3, x.c4, x.c5
    FROM x0 x CROSS JOIN (SELECT count(*)
    FROM d0) AS freed
    WHERE x.candidate AND NOT x.reborn AND x.g = 'p0'
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow"
    WHERE ((excluded."major" IS NOT NULL AND (t."major" IS NULL OR excluded."major" > t."major")) OR (excluded."major" IS NOT DISTINCT
    FROM t."major" AND (NULLIF(excluded."minor", 'NaN') IS NOT NULL AND (NULLIF(t."minor", 'NaN') IS NULL OR NULLIF(excluded."minor", 'NaN') > NULLIF(t."minor", 'NaN'))))) RETURNING 1),
b0_0 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "name", "overflow")
    SELECT x.k0, x.c1, x.c2, x.c3, x.c4, x.c5
    FROM x0 x CROSS JOIN (SELECT count(*)
    FROM d0) AS freed
    WHERE x.candidate AND x.reborn AND x.g = 'p0'
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow" RETURNING 1),
g1 AS (SELECT u.k0::bigint AS k0, u.c1::text AS c1
    FROM (SELECT unnest($14::int8[]) AS k0, unnest($15::text[]) AS c1
    FROM fence) u),
w1 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT v.k0, v.c1
    FROM g1 v)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0, 0]::int8[] AS missing, ARRAY[(SELECT count(*) + COALESCE(sum(later), 0)
    FROM x0
    WHERE candidate) - (SELECT count(*)
    FROM u0_0) - (SELECT count(*)
    FROM b0_0), 0]::int8[] AS beaten, ARRAY[(SELECT count(*)
    FROM y0
    WHERE g IS NOT NULL AND deletions = 0 AND NOT fresh) + 0, 0]::int8[] AS late;
