INSERT INTO "_cdc_sink"."created_tables" (target_db, target_schema, target_table) VALUES ($1, $2, $3)
    ON CONFLICT (target_db, target_schema, target_table) DO UPDATE
    SET finished = false;
