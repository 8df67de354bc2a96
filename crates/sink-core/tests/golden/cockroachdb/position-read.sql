SELECT p.position, p.epoch, p.source_identity::text, p.torn, (extract(epoch
    FROM p.source_time) * 1000000)::int8
    FROM "_cdc_sink"."public"."positions" p
    WHERE feed = $1 AND scope = $2;
