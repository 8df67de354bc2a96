CREATE TABLE IF NOT EXISTS "_cdc_sink"."public"."shop_golden_parents_09d8fb4c8dcc" (nanos INT8 NOT NULL, logical INT8 NOT NULL, key STRING NOT NULL, mut STRING NOT NULL, before STRING, long_key STRING, shape INT8 NOT NULL, PRIMARY KEY (nanos, logical, key)
    USING HASH WITH (bucket_count=8));

CREATE TABLE IF NOT EXISTS "_cdc_sink"."public"."guard_shop_golden_parents_09d8fb4c8dcc" (key STRING PRIMARY KEY, nanos INT8 NOT NULL, logical INT8 NOT NULL, written_at TIMESTAMPTZ NOT NULL DEFAULT now());
