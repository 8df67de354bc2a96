WITH fence AS (UPDATE "_cdc_sink"."frontiers" f
    SET applied_nanos = $5, applied_logical = $6, applied_at = clock_timestamp()
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.applied_nanos = $3 AND f.applied_logical = $4 AND f.epoch = $7 RETURNING f.epoch),
r0 AS MATERIALIZED (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape
    FROM fence, "_cdc_sink"."shop_golden_tags_ade8defcd989" s
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6)
    ORDER BY s.key, s.nanos DESC, s.logical DESC),
d0 AS (DELETE
    FROM "golden"."tags" t
    USING r0 r
    WHERE r.shape = 0 AND t."a" = (COALESCE(r.long_key, r.key)::json->>0)::bigint AND t."b" = (COALESCE(r.long_key, r.key)::json->>1)::text),
u0_0 AS (INSERT INTO "golden"."tags" ("a", "b")
    SELECT cdc_row."a", cdc_row."b"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("a" bigint, "b" text)
    WHERE r.shape = 320862978261066923
    ORDER BY 1, 2
    ON CONFLICT ("a", "b") DO NOTHING)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
