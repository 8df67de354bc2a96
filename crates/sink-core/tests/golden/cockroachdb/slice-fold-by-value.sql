UPDATE "_cdc_sink"."public"."frontiers"
    SET applied_nanos = $1::INT8, applied_logical = $2::INT8, applied_at = now()
    WHERE target_db = $3::STRING AND target_schema = $4::STRING AND applied_nanos = $5::INT8 AND applied_logical = $6::INT8 AND epoch = $7::INT8;

UPSERT INTO "shop"."golden"."prices" ("at", "amount", "note")
    SELECT (cdc_row.j->>E'at')::timestamp with time zone, (cdc_row.j->>E'amount')::numeric(10,2), (cdc_row.j->>E'note')::text
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON ((COALESCE(s.long_key, s.key)::JSONB->>0)::timestamp with time zone, (COALESCE(s.long_key, s.key)::JSONB->>1)::numeric(10,2)) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_prices_842583efa739" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY (COALESCE(s.long_key, s.key)::JSONB->>0)::timestamp with time zone, (COALESCE(s.long_key, s.key)::JSONB->>1)::numeric(10,2), s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 8951263911151530224) AS cdc_row;

DELETE
    FROM "shop"."golden"."prices"
    WHERE ("at", "amount") IN (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::timestamp with time zone, (COALESCE(r.long_key, r.key)::JSONB->>1)::numeric(10,2)
    FROM (SELECT DISTINCT ON ((COALESCE(s.long_key, s.key)::JSONB->>0)::timestamp with time zone, (COALESCE(s.long_key, s.key)::JSONB->>1)::numeric(10,2)) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_prices_842583efa739" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY (COALESCE(s.long_key, s.key)::JSONB->>0)::timestamp with time zone, (COALESCE(s.long_key, s.key)::JSONB->>1)::numeric(10,2), s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 0);
