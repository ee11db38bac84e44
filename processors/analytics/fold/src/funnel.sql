-- A message counts once at each stage that it reached, on the day on which it was written. A click is a sight too.
-- Bought: the member ordered a product of the recommendation after seeing it there and within seven days of the
-- recommendation. An order counts for the recommendation in which the member saw the product last.
WITH asked AS (
    SELECT wanted.key, turn.*
    FROM unnest($1::text[]) AS wanted (key)
    JOIN turn ON turn.asked_on = wanted.key::date
),
offered AS (
    SELECT message_id, member_id, product_id, recommendation_id, offered_at, clicked_at,
           least(seen_at, clicked_at) AS first_seen_at
    FROM asked
    JOIN recommended_product USING (recommendation_id, member_id)
    WHERE offered_at IS NOT NULL
),
reached AS (
    SELECT message_id,
           bool_or(first_seen_at IS NOT NULL) AS shown,
           bool_or(clicked_at IS NOT NULL) AS clicked,
           bool_or(EXISTS (
               SELECT FROM member_order
               JOIN order_line USING (event)
               WHERE member_order.member_id = offered.member_id AND order_line.product_id = offered.product_id
                 AND ordered_at >= first_seen_at AND ordered_at < offered_at + interval '7 days'
                 AND NOT EXISTS (
                     SELECT FROM recommended_product AS later
                     WHERE later.member_id = offered.member_id AND later.product_id = offered.product_id
                       AND later.offered_at IS NOT NULL
                       AND least(later.seen_at, later.clicked_at) <= ordered_at
                       AND ordered_at < later.offered_at + interval '7 days'
                       AND (least(later.seen_at, later.clicked_at), later.recommendation_id)
                           > (first_seen_at, offered.recommendation_id)
                 )
           )) AS bought
    FROM offered
    GROUP BY message_id
),
stages AS (
    SELECT key, analyser, weights::jsonb AS weights, count(*) AS messages,
           count(reached.message_id) AS recommended,
           count(*) FILTER (WHERE shown) AS shown,
           count(*) FILTER (WHERE clicked) AS clicked,
           count(*) FILTER (WHERE bought) AS bought
    FROM asked
    LEFT JOIN reached USING (message_id)
    GROUP BY key, analyser, weights::jsonb
)
SELECT key, jsonb_agg(to_jsonb(stages) - 'key' ORDER BY analyser, weights) AS value
FROM stages
GROUP BY key
