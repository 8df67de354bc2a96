WITH fence AS (UPDATE "_cdc_sink"."frontiers" f
    SET applied_nanos = $5, applied_logical = $6, applied_at = clock_timestamp()
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.applied_nanos = $3 AND f.applied_logical = $4 AND f.epoch = $7 RETURNING f.epoch),
p0 AS MATERIALIZED (SELECT s.key, s.long_key, s.mut, s.shape, s.nanos, s.logical, (CASE s.shape WHEN 2895125744262344761 THEN cdc_row."major" WHEN -6570284321988973233 THEN cdc_row."MAJOR" END) AS c0, NULLIF((CASE s.shape WHEN 2895125744262344761 THEN cdc_row."minor" WHEN -6570284321988973233 THEN cdc_row."MINOR" END), 'NaN') AS c1, true AS fresh
    FROM fence, "_cdc_sink"."shop_golden_versioned_0e9d43bf465c" s, json_to_record((CASE WHEN s.shape = 0 THEN NULL ELSE s.mut END)::json) AS cdc_row("major" bigint, "MAJOR" bigint, "minor" numeric(10,2), "MINOR" numeric(10,2))
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6) AND NOT EXISTS (SELECT 1
    FROM "_cdc_sink"."guard_shop_golden_versioned_0e9d43bf465c" g
    WHERE g.key = s.key AND (g.nanos, g.logical) >= (s.nanos, s.logical))),
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
    SELECT cdc_row."id", cdc_row."major", cdc_row."minor", (CASE WHEN left(cdc_row."at", 1) = '-' OR left(cdc_row."at", 5) IN ('0000-', '29427') THEN CASE WHEN cdc_row."at" IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN cdc_row."at" IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left(cdc_row."at", 5) = '29427' THEN cdc_row."at" ELSE lpad((1 + substring(cdc_row."at" from '^-?(\d+)')::int)::text, 4, '0') || substring(cdc_row."at" from '^-?\d+(.*)$') || ' BC' END ELSE cdc_row."at" END)::timestamp with time zone AS "at", (upper((cdc_row."title")) || '$0')::text AS "name", '{}'::jsonb AS "overflow"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "major" bigint, "minor" numeric(10,2), "at" text, "title" text)
    WHERE r.shape = 2895125744262344761 AND NOT r.reborn
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow"
    WHERE ((excluded."major" IS NOT NULL AND (t."major" IS NULL OR excluded."major" > t."major")) OR (excluded."major" IS NOT DISTINCT
    FROM t."major" AND (NULLIF(excluded."minor", 'NaN') IS NOT NULL AND (NULLIF(t."minor", 'NaN') IS NULL OR NULLIF(excluded."minor", 'NaN') > NULLIF(t."minor", 'NaN'))))) RETURNING 1),
b0_0 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "name", "overflow")
    SELECT cdc_row."id", cdc_row."major", cdc_row."minor", (CASE WHEN left(cdc_row."at", 1) = '-' OR left(cdc_row."at", 5) IN ('0000-', '29427') THEN CASE WHEN cdc_row."at" IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN cdc_row."at" IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left(cdc_row."at", 5) = '29427' THEN cdc_row."at" ELSE lpad((1 + substring(cdc_row."at" from '^-?(\d+)')::int)::text, 4, '0') || substring(cdc_row."at" from '^-?\d+(.*)$') || ' BC' END ELSE cdc_row."at" END)::timestamp with time zone AS "at", (upper((cdc_row."title")) || '$0')::text AS "name", '{}'::jsonb AS "overflow"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "major" bigint, "minor" numeric(10,2), "at" text, "title" text)
    WHERE r.shape = 2895125744262344761 AND r.reborn
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow" RETURNING 1),
u0_1 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "overflow")
    SELECT cdc_row."ID" AS "id", cdc_row."MAJOR" AS "major", cdc_row."MINOR" AS "minor", (CASE WHEN left(cdc_row."AT", 1) = '-' OR left(cdc_row."AT", 5) IN ('0000-', '29427') THEN CASE WHEN cdc_row."AT" IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN cdc_row."AT" IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left(cdc_row."AT", 5) = '29427' THEN cdc_row."AT" ELSE lpad((1 + substring(cdc_row."AT" from '^-?(\d+)')::int)::text, 4, '0') || substring(cdc_row."AT" from '^-?\d+(.*)$') || ' BC' END ELSE cdc_row."AT" END)::timestamp with time zone AS "at", '{}'::jsonb AS "overflow"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("ID" bigint, "MAJOR" bigint, "MINOR" numeric(10,2), "AT" text)
    WHERE r.shape = -6570284321988973233 AND NOT r.reborn
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "overflow" = excluded."overflow"
    WHERE ((excluded."major" IS NOT NULL AND (t."major" IS NULL OR excluded."major" > t."major")) OR (excluded."major" IS NOT DISTINCT
    FROM t."major" AND (NULLIF(excluded."minor", 'NaN') IS NOT NULL AND (NULLIF(t."minor", 'NaN') IS NULL OR NULLIF(excluded."minor", 'NaN') > NULLIF(t."minor", 'NaN'))))) RETURNING 1),
b0_1 AS (INSERT INTO "golden"."versioned" AS t ("id", "major", "minor", "at", "overflow")
    SELECT cdc_row."ID" AS "id", cdc_row."MAJOR" AS "major", cdc_row."MINOR" AS "minor", (CASE WHEN left(cdc_row."AT", 1) = '-' OR left(cdc_row."AT", 5) IN ('0000-', '29427') THEN CASE WHEN cdc_row."AT" IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN cdc_row."AT" IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left(cdc_row."AT", 5) = '29427' THEN cdc_row."AT" ELSE lpad((1 + substring(cdc_row."AT" from '^-?(\d+)')::int)::text, 4, '0') || substring(cdc_row."AT" from '^-?\d+(.*)$') || ' BC' END ELSE cdc_row."AT" END)::timestamp with time zone AS "at", '{}'::jsonb AS "overflow"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("ID" bigint, "MAJOR" bigint, "MINOR" numeric(10,2), "AT" text)
    WHERE r.shape = -6570284321988973233 AND r.reborn
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "overflow" = excluded."overflow", "name" = DEFAULT RETURNING 1)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[((SELECT count(*)
    FROM u0_0) + (SELECT count(*)
    FROM b0_0) + (SELECT count(*)
    FROM u0_1) + (SELECT count(*)
    FROM b0_1))]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[((SELECT count(*) + COALESCE(sum(later), 0)
    FROM r0
    WHERE shape <> 0) - ((SELECT count(*)
    FROM u0_0) + (SELECT count(*)
    FROM b0_0) + (SELECT count(*)
    FROM u0_1) + (SELECT count(*)
    FROM b0_1)))::int8]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
