WITH fence AS (UPDATE "_cdc_sink"."frontiers" f
    SET applied_nanos = $5, applied_logical = $6, applied_at = clock_timestamp()
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.applied_nanos = $3 AND f.applied_logical = $4 AND f.epoch = $7 RETURNING f.epoch),
r0 AS MATERIALIZED (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape
    FROM fence, "_cdc_sink"."shop_golden_wide_c09cb0a2f722" s
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6)
    ORDER BY s.key, s.nanos DESC, s.logical DESC),
d0 AS (DELETE
    FROM "golden"."wide" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::uuid),
u0_0 AS (INSERT INTO "golden"."wide" ("id", "doc", "raw", "at", "tags", "bits", "data")
    SELECT cdc_row."id", CASE WHEN cdc_row."doc" = '{"__crdb_json_null__": true}'::jsonb THEN 'null' ELSE cdc_row."doc" END AS "doc", CASE WHEN cdc_row."raw"::jsonb = '{"__crdb_json_null__": true}'::jsonb THEN 'null' ELSE cdc_row."raw" END AS "raw", (CASE WHEN left(cdc_row."at", 1) = '-' OR left(cdc_row."at", 5) IN ('0000-', '29427') THEN CASE WHEN cdc_row."at" IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN cdc_row."at" IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left(cdc_row."at", 5) = '29427' THEN cdc_row."at" ELSE lpad((1 + substring(cdc_row."at" from '^-?(\d+)')::int)::text, 4, '0') || substring(cdc_row."at" from '^-?\d+(.*)$') || ' BC' END ELSE cdc_row."at" END)::timestamp without time zone AS "at", cdc_row."tags", cdc_row."bits", cdc_row."data"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" uuid, "doc" jsonb, "raw" json, "at" text, "tags" text[], "bits" bit(5), "data" bytea)
    WHERE r.shape = -5159595974983399295
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "doc" = excluded."doc", "raw" = excluded."raw", "at" = excluded."at", "tags" = excluded."tags", "bits" = excluded."bits", "data" = excluded."data")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
