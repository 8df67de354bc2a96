WITH fence AS (SELECT f.applied_nanos, f.applied_logical
    FROM "_cdc_sink"."frontiers" f
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.mode = 'immediate' FOR SHARE),
i0 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($3::int8[], $4::int8[], $5::text[], $6::text[], $7::text[], $8::int8[]) AS s(nanos, logical, key, long_key, mut, shape)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
r0 AS MATERIALIZED (SELECT s.key, s.long_key, s.mut, s.shape
    FROM i0 s),
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
i1 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($9::int8[], $10::int8[], $11::text[], $12::text[], $13::text[], $14::int8[]) AS s(nanos, logical, key, long_key, mut, shape)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
r1 AS MATERIALIZED (SELECT s.key, s.long_key, s.mut, s.shape
    FROM i1 s),
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
