SELECT id, public_key, active
    FROM "_cdc_sink"."jwt_public_keys" LIMIT 0;

SELECT id
    FROM "_cdc_sink"."jwt_revoked_ids" LIMIT 0;

SELECT target_db, target_schema, target_table, target_column, cas_order, deadline, expr, extras, "ignore", src_name
    FROM "_cdc_sink"."apply_config" LIMIT 0;
