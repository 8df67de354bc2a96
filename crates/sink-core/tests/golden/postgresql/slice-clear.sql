WITH fence AS (UPDATE "_cdc_sink"."frontiers" f
    SET applied_nanos = $5, applied_logical = $6, applied_at = clock_timestamp()
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.applied_nanos = $3 AND f.applied_logical = $4 AND f.epoch = $7 RETURNING f.epoch),
r0 AS MATERIALIZED (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape
    FROM fence, "_cdc_sink"."shop_golden_products_7eed4a3ef56a" s
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6)
    ORDER BY s.key, s.nanos DESC, s.logical DESC),
d0 AS (UPDATE "golden"."products" t
    SET "shelf" = NULL, "sku" = 'moving-' || gen_random_uuid()
    FROM r0 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
c0_0 AS (UPDATE "golden"."products" t
    SET "sku" = CASE WHEN t."sku" IS DISTINCT
    FROM v."sku" THEN 'moving-' || gen_random_uuid() ELSE t."sku" END, "shelf" = CASE WHEN t."shelf" IS DISTINCT
    FROM v."shelf" THEN NULL ELSE t."shelf" END
    FROM (SELECT cdc_row."id", cdc_row."sku", cdc_row."shelf"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "sku" character varying(128), "shelf" integer)
    WHERE r.shape = 632354672352216545) v
    WHERE t."id" = v."id" AND (t."sku" IS DISTINCT
    FROM v."sku" OR t."shelf" IS DISTINCT
    FROM v."shelf")),
r1 AS MATERIALIZED (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape
    FROM fence, "_cdc_sink"."shop_golden_seats_ecc65e9ef574" s
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6)
    ORDER BY s.key, s.nanos DESC, s.logical DESC),
d1 AS (DELETE
    FROM "golden"."seats" t
    USING r1 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
c1_0 AS (DELETE
    FROM "golden"."seats" t
    USING (SELECT cdc_row."id", cdc_row."number"
    FROM r1 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "number" integer)
    WHERE r.shape = -5660985795130420957) v
    WHERE t."id" = v."id" AND (t."number" IS DISTINCT
    FROM v."number"))
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0), (SELECT count(*)
    FROM r1
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0), (SELECT count(*)
    FROM r1
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0, 0]::int8[] AS beaten, ARRAY[0, 0]::int8[] AS late;
