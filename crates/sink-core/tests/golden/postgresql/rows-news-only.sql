SELECT applied_nanos, applied_logical
    FROM "_cdc_sink"."frontiers"
    WHERE target_db = $1::text AND target_schema = $2::text AND mode = 'immediate' FOR SHARE;

INSERT INTO "_cdc_sink"."guard_shop_golden_parents_09d8fb4c8dcc" AS g (nanos, logical, key)
    SELECT u.nanos, u.logical, u.key
    FROM unnest($1::int8[], $2::int8[], $3::text[]) AS u(nanos, logical, key)
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key;

INSERT INTO "_cdc_sink"."guard_shop_golden_children_f8f8ec2b16f0" AS g (nanos, logical, key)
    SELECT u.nanos, u.logical, u.key
    FROM unnest($1::int8[], $2::int8[], $3::text[]) AS u(nanos, logical, key)
    ON CONFLICT (key) DO UPDATE
    SET nanos = excluded.nanos, logical = excluded.logical, written_at = now()
    WHERE (g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0) RETURNING g.key;
