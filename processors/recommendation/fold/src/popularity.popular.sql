SELECT category AS key,
       jsonb_agg(
           jsonb_build_object('product_id', product_id, 'score', score, 'orders', orders) ORDER BY place
       ) AS value
FROM (
    SELECT category, product_id, score, orders,
           row_number() OVER (PARTITION BY category ORDER BY score DESC, product_id) AS place
    FROM (
        SELECT product.category, product_id, sum(bought.orders)::bigint AS orders,
               -- Floats are added in the order of days, so that the same rows give the same bytes.
               sum(bought.orders * power(0.5, ($2::date - bought.day) / 30.0::float8) ORDER BY bought.day) AS score
        FROM product
        JOIN product_day AS bought USING (product_id)
        WHERE product.category = ANY ($1) AND bought.day > $2::date - 180 AND bought.orders > 0
        GROUP BY product.category, product_id
    ) AS scored
) AS ranked
WHERE place <= 50
GROUP BY category
