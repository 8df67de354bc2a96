WITH r0 AS MATERIALIZED (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape
    FROM "_cdc_sink"."shop_golden_parents_09d8fb4c8dcc" s
    WHERE (s.nanos, s.logical) > ($1, $2) AND (s.nanos, s.logical) <= ($3, $4) AND NOT EXISTS (SELECT 1
    FROM "_cdc_sink"."guard_shop_golden_parents_09d8fb4c8dcc" g
    WHERE g.key = s.key AND (g.nanos, g.logical) >= (s.nanos, s.logical))
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
    SET "name" = excluded."name")
SELECT 1::int8 AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
