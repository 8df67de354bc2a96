WITH passed AS (SELECT 1
    WHERE $1::text = $2::text) DELETE
    FROM "_cdc_sink"."shop_golden_parents_09d8fb4c8dcc"
    WHERE EXISTS (SELECT 1
    FROM passed) AND ctid = ANY (ARRAY(SELECT ctid
    FROM "_cdc_sink"."shop_golden_parents_09d8fb4c8dcc"
    WHERE (nanos, logical) > ($5, $6) AND (nanos, logical) <= ($3, $4)
    ORDER BY nanos, logical LIMIT $7));
