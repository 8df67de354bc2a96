WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS (SELECT u.k0::bigint AS k0, u.c1::text AS c1
    FROM (SELECT unnest($7::int8[]) AS k0, unnest($8::text[]) AS c1
    FROM fence) u),
w0 AS (INSERT INTO "golden"."od""d; --" ("I d", "v'\")
    SELECT v.k0, v.c1
    FROM g0 v
    ON CONFLICT ("I d") DO UPDATE
    SET "v'\" = excluded."v'\")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0]::int8[] AS missing;
