WITH touched AS (
 INSERT INTO "_cdc_sink"."staged_windows" (target_db, target_schema, bucket, staging_table, shape)

    SELECT $1, $2, w.bucket, $3, w.shape
    FROM unnest($11::int8[], $12::int8[]) AS w(bucket, shape)

    ON CONFLICT DO NOTHING),
stored AS (
 INSERT INTO "_cdc_sink"."shop_golden_parents_09d8fb4c8dcc" AS s (nanos, logical, key, long_key, mut, before, shape)

    SELECT *
    FROM unnest($4::int8[], $5::int8[], $6::text[], $7::text[], $8::text[], $9::text[], $10::int8[])

    ON CONFLICT (nanos, logical, key) DO UPDATE
    SET mut = excluded.mut, before = excluded.before, long_key = excluded.long_key, shape = excluded.shape
    WHERE s.mut IS DISTINCT
    FROM excluded.mut
 RETURNING (s.xmax = 0) AS fresh)
SELECT count(*) FILTER (WHERE fresh) AS inserted, count(*) FILTER (WHERE NOT fresh) AS replaced
    FROM stored;
