UPSERT INTO "shop"."golden"."parents" ("id", "name")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'name')::text
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_parents_09d8fb4c8dcc" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8) AND NOT EXISTS (SELECT 1
    FROM "_cdc_sink"."public"."guard_shop_golden_parents_09d8fb4c8dcc" AS g
    WHERE g.key = s.key AND (g.nanos, g.logical) >= (s.nanos, s.logical))
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 7842058286331507490) AS cdc_row;

DELETE
    FROM "shop"."golden"."parents"
    WHERE ("id") IN (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_parents_09d8fb4c8dcc" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8) AND NOT EXISTS (SELECT 1
    FROM "_cdc_sink"."public"."guard_shop_golden_parents_09d8fb4c8dcc" AS g
    WHERE g.key = s.key AND (g.nanos, g.logical) >= (s.nanos, s.logical))
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 0);
