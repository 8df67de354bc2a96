SELECT target_schema, target_table
    FROM "_cdc_sink"."created_tables"
    WHERE target_db = $1 AND NOT finished
    ORDER BY 1, 2;
