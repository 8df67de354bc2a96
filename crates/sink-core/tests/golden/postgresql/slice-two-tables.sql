WITH fence AS (UPDATE "_cdc_sink"."frontiers" f
    SET applied_nanos = $5, applied_logical = $6, applied_at = clock_timestamp()
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.applied_nanos = $3 AND f.applied_logical = $4 AND f.epoch = $7 RETURNING f.epoch),
r0 AS MATERIALIZED (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape
    FROM fence, "_cdc_sink"."shop_golden_parents_09d8fb4c8dcc" s
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6)
    ORDER BY s.key, s.nanos DESC, s.logical DESC),
d0 AS (DELETE
    FROM "golden"."parents" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
u0_0 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT cdc_row."id", cdc_row."name"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "name" text)
    WHERE r.shape = 7842058286331507490
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "name" = excluded."name"),
r1 AS MATERIALIZED (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape
    FROM fence, "_cdc_sink"."shop_golden_children_f8f8ec2b16f0" s
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6)
    ORDER BY s.key, s.nanos DESC, s.logical DESC),
d1 AS (DELETE
    FROM "golden"."children" t
    USING r1 r
    WHERE r.shape = 0 AND t."id" = (COALESCE(r.long_key, r.key)::json->>0)::bigint),
u1_0 AS (INSERT INTO "golden"."children" ("id", "parent_id", "price")
    SELECT cdc_row."id", cdc_row."parent_id", cdc_row."price"
    FROM r1 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "parent_id" bigint, "price" numeric(10,2))
    WHERE r.shape = -776724858981574976
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "parent_id" = excluded."parent_id", "price" = excluded."price")
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
