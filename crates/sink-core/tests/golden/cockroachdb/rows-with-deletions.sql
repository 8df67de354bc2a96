UPSERT INTO "shop"."golden"."parents" ("id", "name")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'name')::text
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = 7842058286331507490) AS cdc_row;

UPSERT INTO "shop"."golden"."children" ("id", "parent_id", "price")
    SELECT (cdc_row.j->>E'id')::bigint, (cdc_row.j->>E'parent_id')::bigint, (cdc_row.j->>E'price')::numeric(10,2)
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = -776724858981574976) AS cdc_row;

DELETE
    FROM "shop"."golden"."children"
    WHERE ("id") IN (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = 0);

DELETE
    FROM "shop"."golden"."parents"
    WHERE ("id") IN (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = 0);
