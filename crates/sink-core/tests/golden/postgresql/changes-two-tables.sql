WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS MATERIALIZED (SELECT u.k0::bigint AS k0
    FROM fence, unnest($7::text[]) AS u(k0)),
g1 AS MATERIALIZED (SELECT u.k0::bigint AS k0, u.c1::text AS c1
    FROM fence, unnest($8::text[], $9::text[]) AS u(k0, c1)),
w0 AS (DELETE
    FROM "golden"."parents" t
    USING g0 v
    WHERE t."id" = v.k0 RETURNING 1),
w1 AS (INSERT INTO "golden"."parents" ("id", "name")
    SELECT v.k0, v.c1
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "name" = excluded."name"),
g2 AS MATERIALIZED (SELECT u.k0::bigint AS k0, u.c1::bigint AS c1, u.c2::numeric(10,2) AS c2
    FROM fence, unnest($10::text[], $11::text[], $12::text[]) AS u(k0, c1, c2)),
w2 AS (INSERT INTO "golden"."children" ("id", "parent_id", "price")
    SELECT v.k0, v.c1, v.c2
    FROM g2 v
    ON CONFLICT ("id") DO UPDATE
    SET "parent_id" = excluded."parent_id", "price" = excluded."price")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0, 0]::int8[] AS missing;
