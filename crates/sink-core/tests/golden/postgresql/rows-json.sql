WITH fence AS (SELECT f.applied_nanos, f.applied_logical
    FROM "_cdc_sink"."frontiers" f
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.mode = 'immediate' FOR SHARE),
i0 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($3::int8[], $4::int8[], $5::text[], $6::text[], $7::int8[], $8::text[]) AS s(nanos, logical, key, long_key, shape, mut)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
g0 AS (INSERT INTO "_cdc_sink"."guard_shop_golden_wide_c09cb0a2f722" AS g (key, nanos, logical)
    SELECT s.key, s.nanos, s.logical
    FROM i0 s
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key),
r0 AS NOT MATERIALIZED (SELECT s.*
    FROM i0 s
    WHERE (s.key IN (SELECT g.key
    FROM g0 g)) IS TRUE),
u0_0 AS (INSERT INTO "golden"."wide" ("id", "doc", "raw", "at", "tags", "bits", "data")
    SELECT cdc_row."id", CASE WHEN cdc_row."doc" = '{"__crdb_json_null__": true}'::jsonb THEN 'null' ELSE cdc_row."doc" END AS "doc", CASE WHEN cdc_row."raw"::jsonb = '{"__crdb_json_null__": true}'::jsonb THEN 'null' ELSE cdc_row."raw" END AS "raw", (CASE WHEN left(cdc_row."at", 1) = '-' OR left(cdc_row."at", 5) IN ('0000-', '29427') THEN CASE WHEN cdc_row."at" IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN cdc_row."at" IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left(cdc_row."at", 5) = '29427' THEN cdc_row."at" ELSE lpad((1 + substring(cdc_row."at" from '^-?(\d+)')::int)::text, 4, '0') || substring(cdc_row."at" from '^-?\d+(.*)$') || ' BC' END ELSE cdc_row."at" END)::timestamp without time zone AS "at", cdc_row."tags", cdc_row."bits", cdc_row."data"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" uuid, "doc" jsonb, "raw" json, "at" text, "tags" text[], "bits" bit(5), "data" bytea)
    WHERE r.shape = -5159595974983399295
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "doc" = excluded."doc", "raw" = excluded."raw", "at" = excluded."at", "tags" = excluded."tags", "bits" = excluded."bits", "data" = excluded."data")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM g0)]::int8[] AS upserts, ARRAY[0]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
