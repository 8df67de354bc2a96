WITH fence AS (UPDATE "_cdc_sink"."frontiers" f
    SET applied_nanos = $5, applied_logical = $6, applied_at = clock_timestamp()
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.applied_nanos = $3 AND f.applied_logical = $4 AND f.epoch = $7 RETURNING f.epoch),
r0 AS MATERIALIZED (SELECT DISTINCT ON (s.k0) s.key, s.long_key, s.mut, s.shape, s.k0
    FROM (SELECT s.*, (COALESCE(s.long_key, s.key)::json->>0)::bigint AS k0
    FROM fence, "_cdc_sink"."shop_golden_parents_09d8fb4c8dcc" s
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6)) s
    ORDER BY s.k0, s.nanos DESC, s.logical DESC, (s.shape = 0)),
d0 AS (DELETE
    FROM "golden"."parents" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = r.k0),
u0_0 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT cdc_row."id", cdc_row."name"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "name" text)
    WHERE r.shape = 7842058286331507490
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "name" = excluded."name")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
