UPDATE "_cdc_sink"."public"."frontiers"
    SET applied_nanos = $1::INT8, applied_logical = $2::INT8, applied_at = now()
    WHERE target_db = $3::STRING AND target_schema = $4::STRING AND applied_nanos = $5::INT8 AND applied_logical = $6::INT8 AND epoch = $7::INT8;

UPSERT INTO "shop"."golden"."numbered" ("id", "seq", "v")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'seq')::bigint, (cdc_row.j->>E'v')::integer
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_numbered_68ff5f0b8667" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = -2876840206961050007) AS cdc_row;

DELETE
    FROM "shop"."golden"."numbered"
    WHERE ("id") IN (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_numbered_68ff5f0b8667" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 0);
