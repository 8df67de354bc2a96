WITH fence AS (SELECT f.applied_nanos, f.applied_logical
    FROM "_cdc_sink"."frontiers" f
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.mode = 'immediate' FOR SHARE),
i0 AS MATERIALIZED (SELECT s.*
    FROM fence f, unnest($3::int8[], $4::int8[], $5::text[], $6::text[], $7::int8[], $8::text[], $9::text[], $10::text[]) AS s(nanos, logical, key, long_key, shape, v0, v1, v2)
    WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0),
g0 AS (INSERT INTO "_cdc_sink"."guard_shop_golden_prices_842583efa739" AS g (key, nanos, logical)
    SELECT s.key, s.nanos, s.logical
    FROM i0 s
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key),
r0 AS MATERIALIZED (SELECT DISTINCT ON (s.k0, s.k1) s.*
    FROM (SELECT s.*, (CASE WHEN left((COALESCE(s.long_key, s.key)::json->>0), 1) = '-' OR left((COALESCE(s.long_key, s.key)::json->>0), 5) IN ('0000-', '29427') THEN CASE WHEN (COALESCE(s.long_key, s.key)::json->>0) IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN (COALESCE(s.long_key, s.key)::json->>0) IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left((COALESCE(s.long_key, s.key)::json->>0), 5) = '29427' THEN (COALESCE(s.long_key, s.key)::json->>0) ELSE lpad((1 + substring((COALESCE(s.long_key, s.key)::json->>0) from '^-?(\d+)')::int)::text, 4, '0') || substring((COALESCE(s.long_key, s.key)::json->>0) from '^-?\d+(.*)$') || ' BC' END ELSE (COALESCE(s.long_key, s.key)::json->>0) END)::timestamp with time zone AS k0, (COALESCE(s.long_key, s.key)::json->>1)::numeric(10,2) AS k1
    FROM i0 s
    WHERE (s.key IN (SELECT g.key
    FROM g0 g)) IS TRUE) s
    ORDER BY s.k0, s.k1, s.nanos DESC, s.logical DESC, (s.shape = 0)),
u0_0 AS (INSERT INTO "golden"."prices" ("at", "amount", "note")
    SELECT (CASE WHEN left(r.v0, 1) = '-' OR left(r.v0, 5) IN ('0000-', '29427') THEN CASE WHEN r.v0 IN ('294276-12-31T23:59:59.999999', '294276-12-31T23:59:59.999999Z', '294277-01-01T23:59:59.999999', '294277-01-01T23:59:59.999999Z') THEN 'infinity' WHEN r.v0 IN ('-4713-11-24T00:00:00', '-4713-11-24T00:00:00Z', '-4714-11-24T00:00:00', '-4714-11-24T00:00:00Z', '-infinity') THEN '-infinity' WHEN left(r.v0, 5) = '29427' THEN r.v0 ELSE lpad((1 + substring(r.v0 from '^-?(\d+)')::int)::text, 4, '0') || substring(r.v0 from '^-?\d+(.*)$') || ' BC' END ELSE r.v0 END)::timestamp with time zone AS "at", r.v1::numeric(10,2) AS "amount", r.v2 AS "note"
    FROM r0 r
    ORDER BY 1, 2
    ON CONFLICT ("at", "amount") DO UPDATE
    SET "note" = excluded."note")
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[(SELECT count(*)
    FROM r0
    WHERE shape <> 0)]::int8[] AS upserts, ARRAY[0]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
