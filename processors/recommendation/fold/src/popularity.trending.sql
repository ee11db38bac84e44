-- An order says more than a cart, a cart more than a look.
SELECT 'all' AS key,
       jsonb_agg(jsonb_build_object('product_id', product_id, 'score', score) ORDER BY score DESC, product_id) AS value
FROM (
    SELECT product_id,
           sum(
               (5 * coalesce(orders, 0) + 2 * coalesce(carts, 0) + 2 * coalesce(wishes, 0)
                + coalesce(clicks, 0) + coalesce(views, 0))
               * power(0.5, ($2::date - day) / 3.0::float8)
               ORDER BY day
           ) AS score
    FROM product_day
    WHERE day > $2::date - 30
    GROUP BY product_id
    ORDER BY score DESC, product_id
    LIMIT 100
) AS trending
WHERE 'all' = ANY ($1)
HAVING count(*) > 0
