UPSERT INTO "shop"."golden"."products" ("id", "sku", "shelf")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'sku')::character varying(128), (cdc_row.j->>E'shelf')::integer
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_products_7eed4a3ef56a" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = 632354672352216545) AS cdc_row;

UPSERT INTO "shop"."golden"."seats" ("id", "number")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'number')::integer
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape, false AS reborn
    FROM "_cdc_sink"."public"."shop_golden_seats_ecc65e9ef574" AS s
    WHERE (s.nanos, s.logical) > ($1::INT8, $2::INT8) AND (s.nanos, s.logical) <= ($3::INT8, $4::INT8)
    ORDER BY s.key, s.nanos DESC, s.logical DESC) AS r
    WHERE r.shape = -5660985795130420957) AS cdc_row;
