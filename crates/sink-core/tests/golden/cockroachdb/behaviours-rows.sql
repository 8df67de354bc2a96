SELECT applied_nanos, applied_logical
    FROM "_cdc_sink"."public"."frontiers"
    WHERE target_db = $1::text AND target_schema = $2::text AND mode = 'immediate';

INSERT INTO "_cdc_sink"."public"."guard_shop_golden_versioned_0e9d43bf465c" AS g (nanos, logical, key)
    SELECT u.nanos, u.logical, u.key
    FROM unnest($1::int8[], $2::int8[], $3::text[]) AS u(nanos, logical, key)
    ORDER BY u.key
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key;

SELECT (SELECT COALESCE(sum(r.later + CASE WHEN NOT r.reborn AND EXISTS (SELECT 1
    FROM "shop"."golden"."versioned" AS t
    WHERE t."id" = (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint AND NOT ((r.c0 IS NOT NULL AND (t."major" IS NULL OR r.c0 > t."major")) OR (r.c0 IS NOT DISTINCT
    FROM t."major" AND (r.c1 IS NOT NULL AND (NULLIF(t."minor", 'NaN') IS NULL OR r.c1 > NULLIF(t."minor", 'NaN')))))) THEN 1 ELSE 0 END), 0)
    FROM (SELECT DISTINCT ON (x.key) x.key, x.long_key, CASE WHEN x.candidate THEN x.mut ELSE 'null' END AS mut, CASE WHEN x.candidate THEN x.shape ELSE 0 END AS shape, x.reborn, x.later, x.c0, x.c1
    FROM (SELECT z.*, sum(CASE WHEN z.candidate THEN 1 ELSE 0 END) OVER (PARTITION BY z.key
    ORDER BY z.nanos DESC, z.logical DESC) - CASE WHEN z.candidate THEN 1 ELSE 0 END AS later
    FROM (SELECT y.*, (y.shape <> 0 AND y.fresh AND y.deletions = 0) AS candidate
    FROM (SELECT w.*, sum(CASE WHEN w.shape = 0 THEN 1 ELSE 0 END) OVER (PARTITION BY w.key
    ORDER BY w.nanos DESC, w.logical DESC, (w.shape = 0)) AS deletions, bool_or(w.shape = 0) OVER (PARTITION BY w.key) AS reborn
    FROM (SELECT cdc_row.*, (CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'major')::bigint END) AS c0, NULLIF((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'minor')::numeric(10,2) END), 'NaN') AS c1, COALESCE((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'at')::timestamp with time zone END) > now() - E'00:01:00'::INTERVAL, false) AS fresh
    FROM (SELECT s.*, s.mut::JSONB AS j
    FROM unnest($1::INT8[], $2::INT8[], $3::STRING[], $4::STRING[], $5::STRING[], $6::INT8[]) AS s(nanos, logical, key, long_key, mut, shape)
    WHERE true) AS cdc_row) AS w) AS y) AS z) AS x
    WHERE x.candidate OR x.reborn
    ORDER BY x.key, x.candidate DESC, x.c0 DESC NULLS LAST, x.c1 DESC NULLS LAST, x.nanos, x.logical) AS r
    WHERE r.shape <> 0)::INT8, (SELECT count(*)
    FROM (SELECT z.*, sum(CASE WHEN z.candidate THEN 1 ELSE 0 END) OVER (PARTITION BY z.key
    ORDER BY z.nanos DESC, z.logical DESC) - CASE WHEN z.candidate THEN 1 ELSE 0 END AS later
    FROM (SELECT y.*, (y.shape <> 0 AND y.fresh AND y.deletions = 0) AS candidate
    FROM (SELECT w.*, sum(CASE WHEN w.shape = 0 THEN 1 ELSE 0 END) OVER (PARTITION BY w.key
    ORDER BY w.nanos DESC, w.logical DESC, (w.shape = 0)) AS deletions, bool_or(w.shape = 0) OVER (PARTITION BY w.key) AS reborn
    FROM (SELECT cdc_row.*, (CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'major')::bigint END) AS c0, NULLIF((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'minor')::numeric(10,2) END), 'NaN') AS c1, COALESCE((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'at')::timestamp with time zone END) > now() - E'00:01:00'::INTERVAL, false) AS fresh
    FROM (SELECT s.*, s.mut::JSONB AS j
    FROM unnest($1::INT8[], $2::INT8[], $3::STRING[], $4::STRING[], $5::STRING[], $6::INT8[]) AS s(nanos, logical, key, long_key, mut, shape)
    WHERE true) AS cdc_row) AS w) AS y) AS z) AS x
    WHERE x.shape <> 0 AND x.deletions = 0 AND NOT x.fresh)::INT8;

INSERT INTO "shop"."golden"."versioned" AS t ("id", "major", "minor", "at", "name", "overflow")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'major')::bigint, (cdc_row.j->>E'minor')::numeric(10,2), (cdc_row.j->>E'at')::timestamp with time zone, (upper(((cdc_row.j->>E'title')::text)) || '$0')::text, (cdc_row.j - ARRAY[E'at', E'id', E'major', E'minor', E'title', E'unwanted']::STRING[])
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON (x.key) x.key, x.long_key, CASE WHEN x.candidate THEN x.mut ELSE 'null' END AS mut, CASE WHEN x.candidate THEN x.shape ELSE 0 END AS shape, x.reborn, x.later, x.c0, x.c1
    FROM (SELECT z.*, sum(CASE WHEN z.candidate THEN 1 ELSE 0 END) OVER (PARTITION BY z.key
    ORDER BY z.nanos DESC, z.logical DESC) - CASE WHEN z.candidate THEN 1 ELSE 0 END AS later
    FROM (SELECT y.*, (y.shape <> 0 AND y.fresh AND y.deletions = 0) AS candidate
    FROM (SELECT w.*, sum(CASE WHEN w.shape = 0 THEN 1 ELSE 0 END) OVER (PARTITION BY w.key
    ORDER BY w.nanos DESC, w.logical DESC, (w.shape = 0)) AS deletions, bool_or(w.shape = 0) OVER (PARTITION BY w.key) AS reborn
    FROM (SELECT cdc_row.*, (CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'major')::bigint END) AS c0, NULLIF((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'minor')::numeric(10,2) END), 'NaN') AS c1, COALESCE((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'at')::timestamp with time zone END) > now() - E'00:01:00'::INTERVAL, false) AS fresh
    FROM (SELECT s.*, s.mut::JSONB AS j
    FROM unnest($1::INT8[], $2::INT8[], $3::STRING[], $4::STRING[], $5::STRING[], $6::INT8[]) AS s(nanos, logical, key, long_key, mut, shape)
    WHERE true) AS cdc_row) AS w) AS y) AS z) AS x
    WHERE x.candidate OR x.reborn
    ORDER BY x.key, x.candidate DESC, x.c0 DESC NULLS LAST, x.c1 DESC NULLS LAST, x.nanos, x.logical) AS r
    WHERE r.shape = 9070792811203791056 AND NOT r.reborn) AS cdc_row
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "minor" = excluded."minor", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow"
    WHERE ((excluded."major" IS NOT NULL AND (t."major" IS NULL OR excluded."major" > t."major")) OR (excluded."major" IS NOT DISTINCT
    FROM t."major" AND (NULLIF(excluded."minor", 'NaN') IS NOT NULL AND (NULLIF(t."minor", 'NaN') IS NULL OR NULLIF(excluded."minor", 'NaN') > NULLIF(t."minor", 'NaN')))));

DELETE
    FROM "shop"."golden"."versioned"
    WHERE ("id") IN (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint
    FROM (SELECT DISTINCT ON (x.key) x.key, x.long_key, CASE WHEN x.candidate THEN x.mut ELSE 'null' END AS mut, CASE WHEN x.candidate THEN x.shape ELSE 0 END AS shape, x.reborn, x.later, x.c0, x.c1
    FROM (SELECT z.*, sum(CASE WHEN z.candidate THEN 1 ELSE 0 END) OVER (PARTITION BY z.key
    ORDER BY z.nanos DESC, z.logical DESC) - CASE WHEN z.candidate THEN 1 ELSE 0 END AS later
    FROM (SELECT y.*, (y.shape <> 0 AND y.fresh AND y.deletions = 0) AS candidate
    FROM (SELECT w.*, sum(CASE WHEN w.shape = 0 THEN 1 ELSE 0 END) OVER (PARTITION BY w.key
    ORDER BY w.nanos DESC, w.logical DESC, (w.shape = 0)) AS deletions, bool_or(w.shape = 0) OVER (PARTITION BY w.key) AS reborn
    FROM (SELECT cdc_row.*, (CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'major')::bigint END) AS c0, NULLIF((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'minor')::numeric(10,2) END), 'NaN') AS c1, COALESCE((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'at')::timestamp with time zone END) > now() - E'00:01:00'::INTERVAL, false) AS fresh
    FROM (SELECT s.*, s.mut::JSONB AS j
    FROM unnest($1::INT8[], $2::INT8[], $3::STRING[], $4::STRING[], $5::STRING[], $6::INT8[]) AS s(nanos, logical, key, long_key, mut, shape)
    WHERE true) AS cdc_row) AS w) AS y) AS z) AS x
    WHERE x.candidate OR x.reborn
    ORDER BY x.key, x.candidate DESC, x.c0 DESC NULLS LAST, x.c1 DESC NULLS LAST, x.nanos, x.logical) AS r
    WHERE r.shape = 0);
