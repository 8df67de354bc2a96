WITH passed AS (SELECT 1
    WHERE $1::text = $2::text) DELETE
    FROM "_cdc_sink"."public"."shop_golden_parents_09d8fb4c8dcc"
    WHERE EXISTS (SELECT 1
    FROM passed) AND (nanos, logical) > ($5::INT8, $6::INT8) AND (nanos, logical) <= ($3::INT8, $4::INT8)
    ORDER BY nanos, logical LIMIT $7::INT8;
