WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS (SELECT u.k0::uuid AS k0
    FROM (SELECT unnest($7::text[]) AS k0
    FROM fence) u),
g1 AS (SELECT u.k0::uuid AS k0, u.c1::jsonb AS c1, u.c2::json AS c2, u.c3::timestamp without time zone AS c3, u.c4::text[] AS c4, u.c5::bit varying AS c5, u.c6::bytea AS c6
    FROM (SELECT unnest($8::text[]) AS k0, unnest($9::text[]) AS c1, unnest($10::text[]) AS c2, unnest($11::text[]) AS c3, unnest($12::text[]) AS c4, unnest($13::text[]) AS c5, unnest($14::text[]) AS c6
    FROM fence) u),
g2 AS (SELECT u.k0::uuid AS k0, u.c3::timestamp without time zone AS c3
    FROM (SELECT unnest($15::text[]) AS k0, unnest($16::text[]) AS c3
    FROM fence) u),
g3 AS MATERIALIZED (SELECT u.k0::uuid AS k0, u.c1::jsonb AS c1, u.c3::timestamp without time zone AS c3, u.c4::text[] AS c4, u.c5::bit varying AS c5
    FROM (SELECT unnest($17::text[]) AS k0, unnest($18::text[]) AS c1, unnest($19::text[]) AS c3, unnest($20::text[]) AS c4, unnest($21::text[]) AS c5
    FROM fence) u),
g4 AS MATERIALIZED (SELECT u.k0::uuid AS k0, u.b0::uuid AS b0, u.c1::jsonb AS c1, u.c3::timestamp without time zone AS c3, u.c4::text[] AS c4, u.c5::bit varying AS c5
    FROM (SELECT unnest($22::text[]) AS k0, unnest($23::text[]) AS b0, unnest($24::text[]) AS c1, unnest($25::text[]) AS c3, unnest($26::text[]) AS c4, unnest($27::text[]) AS c5
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."wide" t
    USING g0 v
    WHERE t."id" = v.k0 RETURNING 1),
w1 AS (INSERT INTO "golden"."wide" ("id", "doc", "raw", "at", "tags", "bits", "data")
    SELECT v.k0, v.c1, v.c2, v.c3, v.c4, v.c5, v.c6
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "doc" = excluded."doc", "raw" = excluded."raw", "at" = excluded."at", "tags" = excluded."tags", "bits" = excluded."bits", "data" = excluded."data"),
w2 AS (INSERT INTO "golden"."wide" ("id", "at")
    SELECT v.k0, v.c3
    FROM g2 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "at" = excluded."at", "doc" = DEFAULT, "raw" = DEFAULT, "tags" = DEFAULT, "bits" = DEFAULT, "data" = DEFAULT),
w3 AS (UPDATE "golden"."wide" t
    SET "doc" = v.c1, "at" = v.c3, "tags" = v.c4, "bits" = v.c5
    FROM g3 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    WHERE t."id" = v.k0 RETURNING 1),
w4 AS (INSERT INTO "golden"."wide" ("id", "doc", "raw", "at", "tags", "bits", "data")
    SELECT v.k0, v.c1, o."raw", v.c3, v.c4, v.c5, o."data"
    FROM g4 v JOIN "golden"."wide" o ON o."id" = v.b0 CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "doc" = excluded."doc", "raw" = excluded."raw", "at" = excluded."at", "tags" = excluded."tags", "bits" = excluded."bits", "data" = excluded."data" RETURNING 1)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0 + (SELECT count(*)
    FROM g3) - (SELECT count(*)
    FROM w3) + (SELECT count(*)
    FROM g4) - (SELECT count(*)
    FROM w4)]::int8[] AS missing;

WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS (SELECT u.k0::uuid AS k0
    FROM (SELECT unnest($7::text[]) AS k0
    FROM fence) u),
g1 AS (SELECT u.k0::uuid AS k0, u.c1::jsonb AS c1, u.c2::json AS c2, u.c3::timestamp without time zone AS c3, u.c4::text[] AS c4, u.c5::bit varying AS c5, u.c6::bytea AS c6
    FROM (SELECT unnest($8::text[]) AS k0, unnest($9::text[]) AS c1, unnest($10::text[]) AS c2, unnest($11::text[]) AS c3, unnest($12::text[]) AS c4, unnest($13::text[]) AS c5, unnest($14::text[]) AS c6
    FROM fence) u),
g2 AS (SELECT u.k0::uuid AS k0, u.c3::timestamp without time zone AS c3
    FROM (SELECT unnest($15::text[]) AS k0, unnest($16::text[]) AS c3
    FROM fence) u),
g3 AS MATERIALIZED (SELECT u.k0::uuid AS k0, u.c1::jsonb AS c1, u.c3::timestamp without time zone AS c3, u.c4::text[] AS c4, u.c5::bit varying AS c5
    FROM (SELECT unnest($17::text[]) AS k0, unnest($18::text[]) AS c1, unnest($19::text[]) AS c3, unnest($20::text[]) AS c4, unnest($21::text[]) AS c5
    FROM fence) u),
g4 AS MATERIALIZED (SELECT u.k0::uuid AS k0, u.b0::uuid AS b0, u.c1::jsonb AS c1, u.c3::timestamp without time zone AS c3, u.c4::text[] AS c4, u.c5::bit varying AS c5
    FROM (SELECT unnest($22::text[]) AS k0, unnest($23::text[]) AS b0, unnest($24::text[]) AS c1, unnest($25::text[]) AS c3, unnest($26::text[]) AS c4, unnest($27::text[]) AS c5
    FROM fence) u),
w0 AS (DELETE
    FROM "golden"."wide" t
    USING g0 v
    WHERE t."id" = v.k0 RETURNING 1),
w1 AS (INSERT INTO "golden"."wide" ("id", "doc", "raw", "at", "tags", "bits", "data")
    SELECT v.k0, v.c1, v.c2, v.c3, v.c4, v.c5, v.c6
    FROM g1 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed),
w2 AS (INSERT INTO "golden"."wide" ("id", "at")
    SELECT v.k0, v.c3
    FROM g2 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed),
w3 AS (UPDATE "golden"."wide" t
    SET "doc" = v.c1, "at" = v.c3, "tags" = v.c4, "bits" = v.c5
    FROM g3 v CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    WHERE t."id" = v.k0 RETURNING 1),
w4 AS (INSERT INTO "golden"."wide" ("id", "doc", "raw", "at", "tags", "bits", "data")
    SELECT v.k0, v.c1, o."raw", v.c3, v.c4, v.c5, o."data"
    FROM g4 v JOIN "golden"."wide" o ON o."id" = v.b0 CROSS JOIN (SELECT count(*)
    FROM w0) AS freed
    ON CONFLICT ("id") DO UPDATE
    SET "doc" = excluded."doc", "raw" = excluded."raw", "at" = excluded."at", "tags" = excluded."tags", "bits" = excluded."bits", "data" = excluded."data" RETURNING 1)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0 + (SELECT count(*)
    FROM g3) - (SELECT count(*)
    FROM w3) + (SELECT count(*)
    FROM g4) - (SELECT count(*)
    FROM w4)]::int8[] AS missing;
