WITH fence AS (UPDATE "_cdc_sink"."frontiers" f
    SET applied_nanos = $5, applied_logical = $6, applied_at = clock_timestamp()
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.applied_nanos = $3 AND f.applied_logical = $4 AND f.epoch = $7 RETURNING f.epoch),
r0 AS MATERIALIZED (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, bool_or(s.shape = 0) OVER (PARTITION BY s.key) AS reborn
    FROM fence, "_cdc_sink"."shop_golden_wide_c09cb0a2f722" s
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6)
    ORDER BY s.key, s.nanos DESC, s.logical DESC),
d0 AS (DELETE
    FROM "golden"."wide" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::uuid),
u0_0 AS (INSERT INTO "golden"."wide" ("id", "doc")
    SELECT cdc_row."id", CASE WHEN cdc_row."doc" = '{"__crdb_json_null__": true}'::jsonb THEN 'null' ELSE cdc_row."doc" END AS "doc"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" uuid, "doc" jsonb)
    WHERE r.shape = -4859689416026251384 AND NOT r.reborn
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "doc" = excluded."doc"),
b0_0 AS (INSERT INTO "golden"."wide" ("id", "doc")
    SELECT cdc_row."id", CASE WHEN cdc_row."doc" = '{"__crdb_json_null__": true}'::jsonb THEN 'null' ELSE cdc_row."doc" END AS "doc"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" uuid, "doc" jsonb)
    WHERE r.shape = -4859689416026251384 AND r.reborn
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "doc" = excluded."doc", "raw" = DEFAULT, "at" = DEFAULT, "tags" = DEFAULT, "bits" = DEFAULT, "data" = DEFAULT)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
