INSERT INTO "_cdc_sink"."public"."positions" AS p (feed, scope, position, source_identity, epoch) VALUES ($1, $2, $3, $4::jsonb, 1)
    ON CONFLICT (feed, scope) DO UPDATE
    SET epoch = p.epoch + 1, updated_at = now()
    WHERE p.source_identity = excluded.source_identity RETURNING p.position, p.epoch, p.source_identity::text, p.torn, (extract(epoch
    FROM p.source_time) * 1000000)::int8;
