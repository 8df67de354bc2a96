WITH r0 AS MATERIALIZED (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape
    FROM "_cdc_sink"."shop_golden_products_7eed4a3ef56a" s
    WHERE (s.nanos, s.logical) > ($1, $2) AND (s.nanos, s.logical) <= ($3, $4)
    ORDER BY s.key, s.nanos DESC, s.logical DESC),
d0 AS (DELETE
    FROM "golden"."products" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
u0_0 AS (INSERT INTO "golden"."products" ("id", "sku", "shelf")
    SELECT cdc_row."id", cdc_row."sku", cdc_row."shelf"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "sku" character varying(128), "shelf" integer)
    WHERE r.shape = 632354672352216545
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "sku" = excluded."sku", "shelf" = excluded."shelf"),
r1 AS MATERIALIZED (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape
    FROM "_cdc_sink"."shop_golden_seats_ecc65e9ef574" s
    WHERE (s.nanos, s.logical) > ($1, $2) AND (s.nanos, s.logical) <= ($3, $4)
    ORDER BY s.key, s.nanos DESC, s.logical DESC),
d1 AS (DELETE
    FROM "golden"."seats" t
    USING r1 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
u1_0 AS (INSERT INTO "golden"."seats" ("id", "number")
    SELECT cdc_row."id", cdc_row."number"
    FROM r1 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "number" integer)
    WHERE r.shape = -5660985795130420957
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "number" = excluded."number")
SELECT 1::int8 AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0), (SELECT count(*)
    FROM r1
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0), (SELECT count(*)
    FROM r1
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0, 0]::int8[] AS beaten, ARRAY[0, 0]::int8[] AS late;
