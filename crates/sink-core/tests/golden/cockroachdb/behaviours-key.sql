UPDATE "_cdc_sink"."public"."frontiers"
    SET applied_nanos = $1::INT8, applied_logical = $2::INT8, applied_at = now()
    WHERE target_db = $3::STRING AND target_schema = $4::STRING AND applied_nanos = $5::INT8 AND applied_logical = $6::INT8 AND epoch = $7::INT8;

UPSERT INTO "shop"."golden"."versioned" ("id", "major", "at", "name", "overflow")
    SELECT (2 * ((cdc_row.j->>E'id')::bigint))::bigint, (cdc_row.j->>E'major')::bigint, (now())::timestamp with time zone, (upper(((cdc_row.j->>E'title')::text)) || '$0')::text, (cdc_row.j - ARRAY[E'at', E'id', E'major', E'minor', E'title', E'unwanted']::STRING[])
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON ((SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) AS cdc_key(value))) s.key, s.long_key, s.mut, s.shape, bool_or(s.shape = 0) OVER (PARTITION BY (SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) AS cdc_key(value))) AS reborn
    FROM "_cdc_sink"."public"."shop_golden_versioned_0e9d43bf465c" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY (SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) AS cdc_key(value)), s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 9070792811203791056 AND NOT r.reborn) AS cdc_row;

INSERT INTO "shop"."golden"."versioned" ("id", "major", "at", "name", "overflow")
    SELECT (2 * ((cdc_row.j->>E'id')::bigint))::bigint, (cdc_row.j->>E'major')::bigint, (now())::timestamp with time zone, (upper(((cdc_row.j->>E'title')::text)) || '$0')::text, (cdc_row.j - ARRAY[E'at', E'id', E'major', E'minor', E'title', E'unwanted']::STRING[])
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON ((SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) AS cdc_key(value))) s.key, s.long_key, s.mut, s.shape, bool_or(s.shape = 0) OVER (PARTITION BY (SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) AS cdc_key(value))) AS reborn
    FROM "_cdc_sink"."public"."shop_golden_versioned_0e9d43bf465c" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY (SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) AS cdc_key(value)), s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 9070792811203791056 AND r.reborn) AS cdc_row
    ON CONFLICT ("id") DO UPDATE
    SET "major" = excluded."major", "at" = excluded."at", "name" = excluded."name", "overflow" = excluded."overflow", "minor" = DEFAULT;

DELETE
    FROM "shop"."golden"."versioned"
    WHERE ("id") IN (SELECT (SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint) AS cdc_key(value))
    FROM (SELECT DISTINCT ON ((SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) AS cdc_key(value))) s.key, s.long_key, s.mut, s.shape, bool_or(s.shape = 0) OVER (PARTITION BY (SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) AS cdc_key(value))) AS reborn
    FROM "_cdc_sink"."public"."shop_golden_versioned_0e9d43bf465c" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY (SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) AS cdc_key(value)), s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 0);
