SELECT position, epoch, source_identity::text
    FROM "_cdc_sink"."public"."positions"
    WHERE feed = $1 AND scope = $2;
