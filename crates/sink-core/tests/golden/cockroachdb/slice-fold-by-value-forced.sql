UPDATE "_cdc_sink"."public"."frontiers"
    SET applied_nanos = $1::INT8, applied_logical = $2::INT8, applied_at = now()
    WHERE target_db = $3::STRING AND target_schema = $4::STRING AND applied_nanos = $5::INT8 AND applied_logical = $6::INT8 AND epoch = $7::INT8;

UPSERT INTO "shop"."golden"."parents" ("id", "name")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'name')::text
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON ((COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_parents_09d8fb4c8dcc" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 7842058286331507490) AS cdc_row;

DELETE
    FROM "shop"."golden"."parents"
    WHERE ("id") IN (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint
    FROM (SELECT DISTINCT ON ((COALESCE(s.long_key, s.key)::JSONB->>0)::bigint) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_parents_09d8fb4c8dcc" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY (COALESCE(s.long_key, s.key)::JSONB->>0)::bigint, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 0);
