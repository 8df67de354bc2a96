UPSERT INTO "shop"."golden"."versioned" ("id", "major", "at", "name", "overflow")
    SELECT (2 * ((cdc_row.j->>E'id')::bigint))::bigint, (cdc_row.j->>E'major')::bigint, (now())::timestamp with time zone, (upper(((cdc_row.j->>E'title')::text)) || '$0')::text, (cdc_row.j - ARRAY[E'at', E'id', E'major', E'minor', E'title', E'unwanted']::STRING[])
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = 9070792811203791056 AND NOT r.reborn) AS cdc_row;

DELETE
    FROM "shop"."golden"."versioned"
    WHERE ("id") IN (SELECT (SELECT (2 * cdc_key.value)::bigint
    FROM (SELECT (COALESCE(r.long_key, r.key)::JSONB->>0)::bigint) AS cdc_key(value))
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = 0);
