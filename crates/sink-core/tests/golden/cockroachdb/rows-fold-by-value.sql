SELECT applied_nanos, applied_logical
    FROM "_cdc_sink"."public"."frontiers"
    WHERE target_db = $1::text AND target_schema = $2::text AND mode = 'immediate';

INSERT INTO "_cdc_sink"."public"."guard_shop_golden_prices_842583efa739" AS g (nanos, logical, key)
    SELECT u.nanos, u.logical, u.key
    FROM unnest($1::int8[], $2::int8[], $3::text[]) AS u(nanos, logical, key)
    ORDER BY u.key
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key;

UPSERT INTO "shop"."golden"."prices" ("at", "amount", "note")
    SELECT (cdc_row.j->>E'at')::timestamp with time zone, (cdc_row.j->>E'amount')::numeric(10,2), (cdc_row.j->>E'note')::text
    FROM (SELECT r.mut::JSONB AS j
    FROM (SELECT u.*, false AS reborn
    FROM unnest($1::STRING[], $2::STRING[], $3::STRING[], $4::INT8[]) AS u(key, long_key, mut, shape)) AS r
    WHERE r.shape = 8951263911151530224) AS cdc_row;
