WITH fence AS (UPDATE "_cdc_sink"."frontiers" f
    SET applied_nanos = $5, applied_logical = $6, applied_at = clock_timestamp()
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.applied_nanos = $3 AND f.applied_logical = $4 AND f.epoch = $7 RETURNING f.epoch),
r0 AS MATERIALIZED (SELECT DISTINCT ON (s.k0, s.k1) s.key, s.long_key, s.mut, s.shape, s.k0, s.k1
    FROM (SELECT s.*, (CASE WHEN left((COALESCE(s.long_key, s.key)::json->>0), 1) = '-' OR left((COALESCE(s.long_key, s.key)::json->>0), 5) IN ('0000-', '29427') THEN CASE WHEN (COALESCE(s.long_key, s.key)::json->>0) IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN (COALESCE(s.long_key, s.key)::json->>0) IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left((COALESCE(s.long_key, s.key)::json->>0), 5) = '29427' THEN (COALESCE(s.long_key, s.key)::json->>0) ELSE lpad((1 + substring((COALESCE(s.long_key, s.key)::json->>0) from '^-?(\d+)')::int)::text, 4, '0') || substring((COALESCE(s.long_key, s.key)::json->>0) from '^-?\d+(.*)$') || ' BC' END ELSE (COALESCE(s.long_key, s.key)::json->>0) END)::timestamp with time zone AS k0, (COALESCE(s.long_key, s.key)::json->>1)::numeric(10,2) AS k1
    FROM fence, "_cdc_sink"."shop_golden_prices_842583efa739" s
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6)) s
    ORDER BY s.k0, s.k1, s.nanos DESC, s.logical DESC, (s.shape = 0)),
d0 AS (DELETE
    FROM "golden"."prices" t
    USING r0 r
    WHERE r.shape = 0 AND t."at" = r.k0 AND t."amount" = r.k1),
u0_0 AS (INSERT INTO "golden"."prices" ("at", "amount", "note")
    SELECT (CASE WHEN left(cdc_row."at", 1) = '-' OR left(cdc_row."at", 5) IN ('0000-', '29427') THEN CASE WHEN cdc_row."at" IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN cdc_row."at" IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left(cdc_row."at", 5) = '29427' THEN cdc_row."at" ELSE lpad((1 + substring(cdc_row."at" from '^-?(\d+)')::int)::text, 4, '0') || substring(cdc_row."at" from '^-?\d+(.*)$') || ' BC' END ELSE cdc_row."at" END)::timestamp with time zone AS "at", cdc_row."amount", cdc_row."note"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("at" text, "amount" numeric(10,2), "note" text)
    WHERE r.shape = 8951263911151530224
    ORDER BY 1, 2
    ON CONFLICT ("at", "amount") DO UPDATE
    SET "note" = excluded."note")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
