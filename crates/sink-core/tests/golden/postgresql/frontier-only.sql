WITH fence AS (UPDATE "_cdc_sink"."frontiers" f
    SET applied_nanos = $5, applied_logical = $6, applied_at = clock_timestamp()
    WHERE f.target_db = $1 AND f.target_schema = $2 AND f.applied_nanos = $3 AND f.applied_logical = $4 AND f.epoch = $7 RETURNING f.epoch)
SELECT (SELECT count(*)
    FROM fence) AS fence, ARRAY[0]::int8[] AS upserts, ARRAY[0]::int8[] AS deletes, ARRAY[0]::int8[] AS beaten, ARRAY[0]::int8[] AS late;
