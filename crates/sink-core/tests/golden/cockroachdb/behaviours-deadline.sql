UPDATE "_cdc_sink"."public"."frontiers"
    SET applied_nanos = $1::INT8, applied_logical = $2::INT8, applied_at = now()
    WHERE target_db = $3::STRING AND target_schema = $4::STRING AND applied_nanos = $5::INT8 AND applied_logical = $6::INT8 AND epoch = $7::INT8;

SELECT 0::INT8, (SELECT count(*)
    FROM (SELECT z.*, sum(CASE WHEN z.candidate THEN 1 ELSE 0 END) OVER (PARTITION BY z.key
    ORDER BY z.nanos DESC, z.logical DESC) - CASE WHEN z.candidate THEN 1 ELSE 0 END AS later
    FROM (SELECT y.*, (y.shape <> 0 AND y.fresh AND y.deletions = 0) AS candidate
    FROM (SELECT w.*, sum(CASE WHEN w.shape = 0 THEN 1 ELSE 0 END) OVER (PARTITION BY w.key
    ORDER BY w.nanos DESC, w.logical DESC, (w.shape = 0)) AS deletions, bool_or(w.shape = 0) OVER (PARTITION BY w.key) AS reborn
    FROM (SELECT cdc_row.*, COALESCE((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'at')::timestamp with time zone END) > now() - E'00:01:00'::INTERVAL, false) AS fresh
    FROM (SELECT s.*, s.mut::JSONB AS j
    FROM "_cdc_sink"."public"."shop_golden_versioned_0e9d43bf465c" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)) AS cdc_row) AS w) AS y) AS z) AS x
    WHERE x.shape <> 0 AND x.deletions = 0 AND NOT x.fresh)::INT8;

UPSERT INTO "shop"."golden"."versioned" ("id", "major", "minor", "at", "name", "overflow")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'major')::bigint, (cdc_row.j->>E'minor')::numeric(10,2), (cdc_row.j->>E'at')::timestamp with time zone, (upper(((cdc_row.j->>E'title')::text)) || '$0')::text, (cdc_row.j - ARRAY[E'at', E'id', E'major', E'minor', E'title', E'unwanted']::STRING[])
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON (x.key) x.key, x.long_key, CASE WHEN x.candidate THEN x.mut ELSE 'null' END AS mut, CASE WHEN x.candidate THEN x.shape ELSE 0 END AS shape, x.reborn, x.later
    FROM (SELECT z.*, sum(CASE WHEN z.candidate THEN 1 ELSE 0 END) OVER (PARTITION BY z.key
    ORDER BY z.nanos DESC, z.logical DESC) - CASE WHEN z.candidate THEN 1 ELSE 0 END AS later
    FROM (SELECT y.*, (y.shape <> 0 AND y.fresh AND y.deletions = 0) AS candidate
    FROM (SELECT w.*, sum(CASE WHEN w.shape = 0 THEN 1 ELSE 0 END) OVER (PARTITION BY w.key
    ORDER BY w.nanos DESC, w.logical DESC, (w.shape = 0)) AS deletions, bool_or(w.shape = 0) OVER (PARTITION BY w.key) AS reborn
    FROM (SELECT cdc_row.*, COALESCE((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'at')::timestamp with time zone END) > now() - E'00:01:00'::INTERVAL, false) AS fresh
    FROM (SELECT s.*, s.mut::JSONB AS j
    FROM "_cdc_sink"."public"."shop_golden_versioned_0e9d43bf465c" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)) AS cdc_row) AS w) AS y) AS z) AS x
    WHERE x.candidate OR x.reborn
    ORDER BY x.key, x.candidate DESC, x.nanos DESC, x.logical DESC) AS r
    WHERE r.shape = 9070792811203791056) AS cdc_row;

DELETE
    FROM "shop"."golden"."versioned"
    WHERE ("id") IN (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint
    FROM (SELECT DISTINCT ON (x.key) x.key, x.long_key, CASE WHEN x.candidate THEN x.mut ELSE 'null' END AS mut, CASE WHEN x.candidate THEN x.shape ELSE 0 END AS shape, x.reborn, x.later
    FROM (SELECT z.*, sum(CASE WHEN z.candidate THEN 1 ELSE 0 END) OVER (PARTITION BY z.key
    ORDER BY z.nanos DESC, z.logical DESC) - CASE WHEN z.candidate THEN 1 ELSE 0 END AS later
    FROM (SELECT y.*, (y.shape <> 0 AND y.fresh AND y.deletions = 0) AS candidate
    FROM (SELECT w.*, sum(CASE WHEN w.shape = 0 THEN 1 ELSE 0 END) OVER (PARTITION BY w.key
    ORDER BY w.nanos DESC, w.logical DESC, (w.shape = 0)) AS deletions, bool_or(w.shape = 0) OVER (PARTITION BY w.key) AS reborn
    FROM (SELECT cdc_row.*, COALESCE((CASE cdc_row.shape WHEN 9070792811203791056 THEN (cdc_row.j->>E'at')::timestamp with time zone END) > now() - E'00:01:00'::INTERVAL, false) AS fresh
    FROM (SELECT s.*, s.mut::JSONB AS j
    FROM "_cdc_sink"."public"."shop_golden_versioned_0e9d43bf465c" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)) AS cdc_row) AS w) AS y) AS z) AS x
    WHERE x.candidate OR x.reborn
    ORDER BY x.key, x.candidate DESC, x.nanos DESC, x.logical DESC) AS r
    WHERE r.shape = 0);
