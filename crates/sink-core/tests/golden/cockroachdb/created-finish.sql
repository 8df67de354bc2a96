UPDATE "_cdc_sink"."public"."created_tables"
    SET finished = true
    WHERE target_db = $1 AND target_schema = $2 AND target_table = $3;
