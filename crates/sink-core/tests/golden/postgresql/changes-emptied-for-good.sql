WITH fence AS (UPDATE "_cdc_sink"."positions" p
    SET position = $5, source_time = COALESCE(to_timestamp($6::int8::float8 / 1000000), p.source_time), updated_at = now()
    WHERE p.feed = $1 AND p.scope = $2 AND p.position = $3 AND p.epoch = $4 RETURNING p.epoch),
w0 AS (DELETE
    FROM "golden"."parents" t
    USING fence
    WHERE true RETURNING 1)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0]::int8[] AS missing;
