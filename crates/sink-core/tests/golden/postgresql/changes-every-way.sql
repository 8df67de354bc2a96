WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
g0 AS MATERIALIZED (SELECT u.k0::uuid AS k0
    FROM fence, unnest($7::text[]) AS u(k0)),
g1 AS MATERIALIZED (SELECT u.k0::uuid AS k0, u.c1::jsonb AS c1, u.c2::json AS c2, u.c3::timestamp without time zone AS c3, u.c4::text[] AS c4, u.c5::bit varying AS c5, u.c6::bytea AS c6
    FROM fence, unnest($8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[]) AS u(k0, c1, c2, c3, c4, c5, c6)),
g2 AS MATERIALIZED (SELECT u.k0::uuid AS k0, u.c3::timestamp without time zone AS c3
    FROM fence, unnest($15::text[], $16::text[]) AS u(k0, c3)),
g3 AS MATERIALIZED (SELECT u.k0::uuid AS k0, u.c1::jsonb AS c1, u.c3::timestamp without time zone AS c3, u.c4::text[] AS c4, u.c5::bit varying AS c5
    FROM fence, unnest($17::text[], $18::text[], $19::text[], $20::text[], $21::text[]) AS u(k0, c1, c3, c4, c5)),
g4 AS MATERIALIZED (SELECT u.k0::uuid AS k0, u.b0::uuid AS b0, u.c1::jsonb AS c1, u.c3::timestamp without time zone AS c3, u.c4::text[] AS c4, u.c5::bit varying AS c5
    FROM fence, unnest($22::text[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[]) AS u(k0, b0, c1, c3, c4, c5)),
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
