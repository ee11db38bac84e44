-- The cosine of two products' orders, damped: a pair seen once among rare products proves little.
SELECT wanted.key,
       jsonb_agg(
           jsonb_build_object('product_id', neighbour.id, 'score', neighbour.score, 'orders', neighbour.together)
           ORDER BY neighbour.score DESC, neighbour.id
       ) AS value
FROM unnest($1::text[]) AS wanted (key)
CROSS JOIN LATERAL (
    SELECT pair.id, pair.together,
           pair.together / (sqrt(mine.orders::float8 * theirs.orders::float8) + 5) AS score
    FROM (
        SELECT neighbour_id AS id, orders AS together FROM product_pair WHERE product_id = wanted.key
        UNION ALL
        SELECT product_id, orders FROM product_pair WHERE neighbour_id = wanted.key
    ) AS pair
    JOIN product_orders AS theirs ON theirs.product_id = pair.id
    JOIN product_orders AS mine ON mine.product_id = wanted.key
    ORDER BY score DESC, pair.id
    LIMIT 50
) AS neighbour
GROUP BY wanted.key
