WITH fence AS (SELECT f.applied_nanos, f.applied_logical
    FROM "_cdc_sink"."frontiers" f
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.mode = 'immediate' FOR SHARE),
i0 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($3::int8[], $4::int8[], $5::text[], $6::text[], $7::int8[], $8::text[]) AS s(nanos, logical, key, long_key, shape, mut)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
g0 AS (INSERT INTO "_cdc_sink"."guard_shop_golden_versioned_0e9d43bf465c" AS g (key, nanos, logical)
    SELECT s.key, s.nanos, s.logical
    FROM i0 s
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key),
p0 AS MATERIALIZED (SELECT s.key, s.long_key, s.mut, s.shape, s.nanos, s.logical, cdc_row."major" AS c0, NULLIF(cdc_row."minor", 'NaN') AS c1, COALESCE((CASE WHEN left(cdc_row."at", 1) = '-' OR left(cdc_row."at", 5) IN ('0000-', '29427') THEN CASE WHEN cdc_row."at" IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN cdc_row."at" IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left(cdc_row."at", 5) = '29427' THEN cdc_row."at" ELSE lpad((1 + substring(cdc_row."at" from '^-?(\d+)')::int)::text, 4, '0') || substring(cdc_row."at" from '^-?\d+(.*)$') || ' BC' END ELSE cdc_row."at" END)::timestamp with time zone > now() - E'00:01:00'::interval, false) AS fresh
    FROM i0 s, json_to_record((CASE WHEN s.shape = 0 THEN NULL ELSE s.mut END)::json) AS cdc_row("major" bigint, "minor" numeric(10,2), "at" text)
    WHERE (s.key IN (SELECT g.key
    FROM g0 g)) IS TRUE),
m0 AS MATERIALIZED (SELECT p.key
    FROM p0 p GROUP BY p.key HAVING count(*) > 1),
y0 AS MATERIALIZED (SELECT w.*, count(*) FILTER (WHERE w.shape = 0) OVER (PARTITION BY w.key
    ORDER BY w.nanos DESC, w.logical DESC, (w.shape = 0) ROWS UNBOUNDED PRECEDING) AS deletions, bool_or(w.shape = 0) OVER (PARTITION BY w.key) AS reborn
    FROM p0 w
    WHERE (w.key IN (SELECT m.key
    FROM m0 m)) IS TRUE),
r0 AS MATERIALIZED (SELECT p.key, p.long_key, p.mut, p.shape, p.c0, p.c1, p.shape = 0 AS reborn, 0::int8 AS later
    FROM p0 p
    WHERE NOT ((p.key IN (SELECT m.key
    FROM m0 m)) IS TRUE) AND (p.shape = 0 OR p.fresh) UNION ALL (SELECT DISTINCT ON (x.key) x.key, x.long_key, CASE WHEN x.candidate THEN x.mut ELSE 'null' END AS mut, CASE WHEN x.candidate THEN x.shape ELSE 0 END AS shape, x.c0, x.c1, x.reborn, x.later
    FROM (SELECT y.*, (y.shape <> 0 AND y.fresh AND y.deletions = 0) AS candidate, count(*) FILTER (WHERE y.shape <> 0 AND y.fresh AND y.deletions = 0) OVER (PARTITION BY y.key
    ORDER BY y.nanos DESC, y.logical DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
    FROM y0 y) x
    WHERE x.candidate OR x.reborn
    ORDER BY x.key, x.candidate DESC, x.c0 DESC NULLS LAST, x.c1 DESC NULLS LAST, x.nanos, x.logical)),
d0 AS (DELETE
    FROM "golden"."versioned" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
u0_0 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "name", "overflow")
    SELECT cdc_row."id", cdc_row."major", cdc_row."minor", (CASE WHEN left(cdc_row."at", 1) = '-' OR left(cdc_row."at", 5) IN ('0000-', '29427') THEN CASE WHEN cdc_row."at" IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN cdc_row."at" IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left(cdc_row."at", 5) = '29427' THEN cdc_row."at" ELSE lpad((1 + substring(cdc_row."at" from '^-?(\d+)')::int)::text, 4, '0') || substring(cdc_row."at" from '^-?\d+(.*)$') || ' BC' END ELSE cdc_row."at" END)::timestamp with time zone AS "at", (upper((cdc_row."title")) || '$0')::text AS "name", (r.mut::jsonb - ARRAY[E'at', E'id', E'major', E'minor', E'title', E'unwanted']::text[]) AS "overflow"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "major" bigint, "minor" numeric(10,2), "at" text, "title" text)
    WHERE r.shape = 9070792811203791056 AND NOT r.reborn
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow"
    WHERE ((excluded."major" IS NOT NULL AND (t."major" IS NULL OR excluded."major" > t."major")) OR (excluded."major" IS NOT DISTINCT
    FROM t."major" AND (NULLIF(excluded."minor", 'NaN') IS NOT NULL AND (NULLIF(t."minor", 'NaN') IS NULL OR NULLIF(excluded."minor", 'NaN') > NULLIF(t."minor", 'NaN'))))) RETURNING 1)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[((SELECT count(*)
    FROM u0_0))]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[((SELECT count(*) + COALESCE(sum(later), 0)
    FROM r0
    WHERE shape <> 0) - ((SELECT count(*)
    FROM u0_0)))::int8]::int8[] AS beaten, ARRAY[((SELECT count(*)
    FROM y0
    WHERE shape <> 0 AND deletions = 0 AND NOT fresh) + (SELECT count(*)
    FROM p0 p
    WHERE p.shape <> 0 AND NOT p.fresh AND NOT ((p.key IN (SELECT m.key
    FROM m0 m)) IS TRUE)))]::int8[] AS late;
