DELETE
    FROM "_cdc_sink"."public"."shop_golden_parents_09d8fb4c8dcc"
    WHERE (nanos, logical) > ($1::INT8, $2::INT8) AND (nanos, logical) <= ($3::INT8, $4::INT8)
    ORDER BY nanos, logical LIMIT $5::INT8;
