UPDATE "_cdc_sink"."public"."frontiers"
    SET applied_nanos = $1::INT8, applied_logical = $2::INT8, applied_at = now()
    WHERE target_db = $3::STRING AND target_schema = $4::STRING AND applied_nanos = $5::INT8 AND applied_logical = $6::INT8 AND epoch = $7::INT8;

UPSERT INTO "shop"."golden"."wide" ("id", "doc")
    SELECT (cdc_row.j->>E'id')::uuid, CASE WHEN cdc_row.j->E'doc' = '{"__crdb_json_null__": true}'::JSONB THEN 'null'::JSONB ELSE NULLIF(cdc_row.j->E'doc', 'null'::JSONB) END
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, bool_or(s.shape = 0) OVER (PARTITION BY s.key) AS reborn
    FROM "_cdc_sink"."public"."shop_golden_wide_c09cb0a2f722" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = -4859689416026251384 AND NOT r.reborn) AS cdc_row;

INSERT INTO "shop"."golden"."wide" ("id", "doc")
    SELECT (cdc_row.j->>E'id')::uuid, CASE WHEN cdc_row.j->E'doc' = '{"__crdb_json_null__": true}'::JSONB THEN 'null'::JSONB ELSE NULLIF(cdc_row.j->E'doc', 'null'::JSONB) END
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, bool_or(s.shape = 0) OVER (PARTITION BY s.key) AS reborn
    FROM "_cdc_sink"."public"."shop_golden_wide_c09cb0a2f722" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = -4859689416026251384 AND r.reborn) AS cdc_row
    ON CONFLICT ("id") DO UPDATE
    SET "doc" = excluded."doc", "raw" = DEFAULT, "at" = DEFAULT, "tags" = DEFAULT, "bits" = DEFAULT, "data" = DEFAULT;

DELETE
    FROM "shop"."golden"."wide"
    WHERE ("id") IN (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::uuid
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, bool_or(s.shape = 0) OVER (PARTITION BY s.key) AS reborn
    FROM "_cdc_sink"."public"."shop_golden_wide_c09cb0a2f722" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 0);
