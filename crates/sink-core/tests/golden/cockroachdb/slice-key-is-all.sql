UPDATE "_cdc_sink"."public"."frontiers"
    SET applied_nanos = $1::INT8, applied_logical = $2::INT8, applied_at = now()
    WHERE target_db = $3::STRING AND target_schema = $4::STRING AND applied_nanos = $5::INT8 AND applied_logical = $6::INT8 AND epoch = $7::INT8;

UPSERT INTO "shop"."golden"."tags" ("a", "b")
    SELECT (cdc_row.j->>E'a')::bigint, (cdc_row.j->>E'b')::text
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_tags_ade8defcd989" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 320862978261066923) AS cdc_row;

DELETE
    FROM "shop"."golden"."tags"
    WHERE ("a", "b") IN (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint, (COALESCE(r.long_key, r.key)::JSONB->>1)::text
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_tags_ade8defcd989" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 0);
