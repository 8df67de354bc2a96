WITH touched AS (
 INSERT INTO "_cdc_sink"."public"."staged_windows" (target_db, target_schema, bucket, staging_table, shape)

    SELECT $1::STRING, $2::STRING, w.bucket, $3::STRING, w.shape
    FROM unnest($11::INT8[], $12::INT8[]) AS w(bucket, shape)

    ON CONFLICT DO NOTHING RETURNING 1),
stored AS (
 INSERT INTO "_cdc_sink"."public"."shop_golden_parents_09d8fb4c8dcc" (nanos, logical, key, long_key, mut, before, shape)

    SELECT *
    FROM unnest($4::INT8[], $5::INT8[], $6::STRING[], $7::STRING[], $8::STRING[], $9::STRING[], $10::INT8[])
 RETURNING 1)
SELECT count(*) AS inserted, 0::INT8 AS replaced
    FROM stored;
