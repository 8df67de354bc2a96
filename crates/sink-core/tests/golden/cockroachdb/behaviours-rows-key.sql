UPSERT INTO "shop"."golden"."versioned" ("id", "major", "at", "name", "overflow")
    SELECT (2 * ((v.j->>E'id')::bigint))::bigint, (v.j->>E'major')::bigint, (now())::timestamp with time zone, (upper(((v.j->>E'title')::text)) || '$0')::text, (v.j - ARRAY[E'at', E'id', E'major', E'minor', E'title', E'unwanted']::STRING[])
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = 9070792811203791056 AND NOT r.reborn) AS v;

DELETE
    FROM "shop"."golden"."versioned"
    WHERE ("id") IN (SELECT (2 * ((COALESCE(r.long_key, r.key)::JSONB->>0)::bigint))::bigint
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = 0);
