WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
s0 AS MATERIALIZED (SELECT u.s, u.g, u.k0::bigint AS k0, u.b0::bigint AS b0, u.c1::bigint AS c1, u.c2::numeric(10,2) AS c2, u.c3::timestamp with time zone AS c3, CASE WHEN u.g IN ('m1') THEN (upper((u.c4::text)) || '$0')::text END AS c4, u.c5::jsonb AS c5, u.x::jsonb AS x
    FROM fence, unnest($15::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[]) WITH ORDINALITY AS u(g, k0, b0, c1, c2, c3, c4, c5, x, s)),
f0 AS MATERIALIZED (SELECT s.s, CASE WHEN s.g IN ('m1') AND o."id" IS NOT NULL THEN 'all' ELSE s.g END AS g, COALESCE(NOT (s.g IN ('f0', 'm1')) OR o."id" IS NOT NULL, true) AS there, s.k0, s.c1 AS c1, CASE WHEN s.g IN ('m1') THEN o."minor" ELSE s.c2 END AS c2, CASE WHEN s.g IN ('m1') THEN o."at" ELSE s.c3 END AS c3, CASE WHEN s.g IN ('f0') THEN o."name" ELSE s.c4 END AS c4, s.c5 || COALESCE((SELECT jsonb_object_agg(e.key, e.value)
    FROM jsonb_each(CASE jsonb_typeof(o."overflow") WHEN 'object' THEN o."overflow" END) e
    WHERE s.x ? e.key), '{}') AS c5
    FROM s0 s LEFT JOIN "golden"."versioned" o ON o."id" = s.b0),
y0 AS MATERIALIZED (SELECT v.*, COALESCE(v.c3 > now() - E'00:01:00'::interval, false) AS fresh, count(*) FILTER (WHERE v.g IS NULL) OVER (PARTITION BY v.k0
    ORDER BY v.s DESC ROWS UNBOUNDED PRECEDING) AS deletions, bool_or(v.g IS NULL) OVER (PARTITION BY v.k0) AS reborn
    FROM f0 v),
z0 AS MATERIALIZED (SELECT y.*, (y.g IS NOT NULL AND y.deletions = 0 AND y.fresh AND y.there) AS candidate, count(*) FILTER (WHERE y.g IS NOT NULL AND y.deletions = 0 AND y.fresh AND y.there) OVER (PARTITION BY y.k0
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
    WHERE x.candidate AND NOT x.reborn AND x.g = 'f0'
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "overflow" = excluded."overflow"
    WHERE ((excluded."major" IS NOT NULL AND (t."major" IS NULL OR excluded."major" > t."major")) OR (excluded."major" IS NOT DISTINCT
    FROM t."major" AND (NULLIF(excluded."minor", 'NaN') IS NOT NULL AND (NULLIF(t."minor", 'NaN') IS NULL OR NULLIF(excluded."minor", 'NaN') > NULLIF(t."minor", 'NaN'))))) RETURNING 1),
b0_0 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "name", "overflow")
    SELECT x.k0, x.c1, x.c2, x.c3, x.c4, x.c5
    FROM x0 x CROSS JOIN (SELECT count(*)
    FROM d0) AS freed
    WHERE x.candidate AND x.reborn AND x.g = 'f0'
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow" RETURNING 1),
u0_1 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "name", "overflow")
    SELECT x.k0, x.c1, x.c2, x.c3, x.c4, x.c5
    FROM x0 x CROSS JOIN (SELECT count(*)
    FROM d0) AS freed
    WHERE x.candidate AND NOT x.reborn AND x.g = 'all'
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow"
    WHERE ((excluded."major" IS NOT NULL AND (t."major" IS NULL OR excluded."major" > t."major")) OR (excluded."major" IS NOT DISTINCT
    FROM t."major" AND (NULLIF(excluded."minor", 'NaN') IS NOT NULL AND (NULLIF(t."minor", 'NaN') IS NULL OR NULLIF(excluded."minor", 'NaN') > NULLIF(t."minor", 'NaN'))))) RETURNING 1),
b0_1 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "name", "overflow")
    SELECT x.k0, x.c1, x.c2, x.c3, x.c4, x.c5
    FROM x0 x CROSS JOIN (SELECT count(*)
    FROM d0) AS freed
    WHERE x.candidate AND x.reborn AND x.g = 'all'
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow" RETURNING 1)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0]::int8[] AS missing, ARRAY[(SELECT count(*) + COALESCE(sum(later), 0)
    FROM x0
    WHERE candidate) - (SELECT count(*)
    FROM u0_0) - (SELECT count(*)
    FROM b0_0) - (SELECT count(*)
    FROM u0_1) - (SELECT count(*)
    FROM b0_1)]::int8[] AS beaten, ARRAY[(SELECT count(*)
    FROM y0
    WHERE g IS NOT NULL AND deletions = 0 AND NOT fresh AND there) + (SELECT count(*)
    FROM f0
    WHERE NOT there)]::int8[] AS late;
