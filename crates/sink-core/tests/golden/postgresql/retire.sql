DELETE
    FROM "_cdc_sink"."shop_golden_parents_09d8fb4c8dcc"
    WHERE ctid = ANY (ARRAY(SELECT ctid
    FROM "_cdc_sink"."shop_golden_parents_09d8fb4c8dcc"
    WHERE (nanos, logical) > ($1, $2) AND (nanos, logical) <= ($3, $4)
    ORDER BY nanos, logical LIMIT $5));
