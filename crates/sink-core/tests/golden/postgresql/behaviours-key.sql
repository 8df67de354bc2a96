WITH fence AS (UPDATE "_cdc_sink"."frontiers" f
    SET applied_nanos = $5, applied_logical = $6, applied_at = clock_timestamp()
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.applied_nanos = $3 AND f.applied_logical = $4 AND f.epoch = $7 RETURNING f.epoch),
r0 AS MATERIALIZED (SELECT DISTINCT ON (s.k0) s.key, s.long_key, s.mut, s.shape, s.k0, bool_or(s.shape = 0) OVER (PARTITION BY s.k0) AS reborn
    FROM (SELECT s.*, (SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::json->>0)::bigint) AS cdc_key(value)) AS k0
    FROM fence, "_cdc_sink"."shop_golden_versioned_0e9d43bf465c" s
    WHERE (s.nanos, s.logical) > ($3, $4) AND (s.nanos, s.logical) <= ($5, $6)) s
    ORDER BY s.k0, s.nanos DESC, s.logical DESC, (s.shape = 0)),
d0 AS (DELETE
    FROM "golden"."versioned" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = r.k0),
u0_0 AS (INSERT INTO "golden"."versioned" ("id", "major", "at", "name", "overflow")
    SELECT (2 * (cdc_row."id"))::bigint AS "id", cdc_row."major", (now())::timestamp with time zone AS "at", (upper((cdc_row."title")) || '$0')::text AS "name", (r.mut::jsonb - ARRAY[E'at', E'id', E'major', E'minor', E'title', E'unwanted']::text[]) AS "overflow"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "major" bigint, "title" text)
    WHERE r.shape = 9070792811203791056 AND NOT r.reborn
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow"),
b0_0 AS (INSERT INTO "golden"."versioned" ("id", "major", "at", "name", "overflow")
    SELECT (2 * (cdc_row."id"))::bigint AS "id", cdc_row."major", (now())::timestamp with time zone AS "at", (upper((cdc_row."title")) || '$0')::text AS "name", (r.mut::jsonb - ARRAY[E'at', E'id', E'major', E'minor', E'title', E'unwanted']::text[]) AS "overflow"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "major" bigint, "title" text)
    WHERE r.shape = 9070792811203791056 AND r.reborn
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow", "minor" = DEFAULT)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
