WITH wanted AS (
    SELECT key, key::date AS day FROM unnest($1::text[]) AS wanted (key)
),
lines AS (
    SELECT wanted.key, coalesce(product.category, 'unknown') AS category,
           count(DISTINCT event) FILTER (WHERE NOT cancelled) AS orders,
           count(DISTINCT member_id) FILTER (WHERE NOT cancelled) AS buyers,
           count(DISTINCT event) FILTER (WHERE cancelled) AS cancellations
    FROM wanted
    JOIN order_line USING (day)
    LEFT JOIN product USING (product_id)
    GROUP BY wanted.key, coalesce(product.category, 'unknown')
),
money AS (
    SELECT key, category, sum(units)::bigint AS units, sum(cancelled_units)::bigint AS cancelled_units,
           jsonb_agg(
               jsonb_build_object('currency', currency, 'sold_minor', sold_minor, 'cancelled_minor', cancelled_minor)
               ORDER BY currency
           ) AS revenue
    FROM (
        SELECT wanted.key, coalesce(product.category, 'unknown') AS category, order_line.currency,
               coalesce(sum(units) FILTER (WHERE NOT cancelled), 0)::bigint AS units,
               coalesce(sum(units) FILTER (WHERE cancelled), 0)::bigint AS cancelled_units,
               coalesce(sum(total_minor) FILTER (WHERE NOT cancelled), 0)::bigint AS sold_minor,
               coalesce(sum(total_minor) FILTER (WHERE cancelled), 0)::bigint AS cancelled_minor
        FROM wanted
        JOIN order_line USING (day)
        LEFT JOIN product USING (product_id)
        GROUP BY wanted.key, coalesce(product.category, 'unknown'), order_line.currency
    ) AS by_currency
    GROUP BY key, category
),
looks AS (
    SELECT wanted.key, coalesce(product.category, 'unknown') AS category, sum(views)::bigint AS views
    FROM wanted
    JOIN product_views USING (day)
    LEFT JOIN product USING (product_id)
    GROUP BY wanted.key, coalesce(product.category, 'unknown')
)
SELECT key,
       jsonb_agg(
           jsonb_build_object(
               'category', category,
               'orders', coalesce(orders, 0),
               'buyers', coalesce(buyers, 0),
               'units', coalesce(units, 0),
               'cancellations', coalesce(cancellations, 0),
               'cancelled_units', coalesce(cancelled_units, 0),
               'views', coalesce(views, 0),
               'revenue', coalesce(revenue, '[]')
           )
           ORDER BY category
       ) AS value
FROM lines
FULL JOIN money USING (key, category)
FULL JOIN looks USING (key, category)
GROUP BY key
