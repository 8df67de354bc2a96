UPSERT INTO "shop"."golden"."products" ("id", "sku", "shelf")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'sku')::character varying(128), (cdc_row.j->>E'shelf')::integer
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = 632354672352216545) AS cdc_row;
