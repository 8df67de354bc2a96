WITH i0 AS MATERIALIZED (SELECT s.*
    FROM unnest($1::int8[], $2::int8[], $3::text[], $4::text[], $5::int8[], $6::text[]) AS s(nanos, logical, key, long_key, shape, mut)),
r0 AS MATERIALIZED (SELECT DISTINCT ON (s.k0) s.*
    FROM (SELECT s.*, (SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::json->>0)::bigint) AS cdc_key(value)) AS k0
    FROM i0 s) s
    ORDER BY s.k0, s.nanos DESC, s.logical DESC, (s.shape = 0)),
d0 AS (DELETE
    FROM "golden"."versioned" t
    USING r0 r
    WHERE r.shape = 0 AND t."id" = r.k0),
u0_0 AS (INSERT INTO "golden"."versioned" ("id", "major", "at", "name", "overflow")
    SELECT (2 * (cdc_row."id"))::bigint AS "id", cdc_row."major", (now())::timestamp with time zone AS "at", (upper((cdc_row."title")) || '$0')::text AS "name", (r.mut::jsonb - ARRAY[E'at', E'id', E'major', E'minor', E'title', E'unwanted']::text[]) AS "overflow"
    FROM r0 r, json_to_record(r.mut::json) AS cdc_row("id" bigint, "major" bigint, "title" text)
    WHERE r.shape = 9070792811203791056
    ORDER BY 1
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow")
SELECT 1::int8 AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape = 0)]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
