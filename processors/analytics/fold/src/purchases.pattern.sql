SELECT wanted.key,
       jsonb_build_object(
           'orders', orders.count,
           'median_days_between_orders', rhythm.median_days,
           'mean_units_per_order', orders.mean_units,
           'mean_order_value', values.means,
           'favourite_hours', hours.favourites,
           'favourite_categories', coalesce(categories.favourites, '[]')
       ) AS value
FROM unnest($1::text[]) AS wanted (key)
CROSS JOIN LATERAL (
    SELECT count(*) AS count, (sum(units)::float8 / count(*)) AS mean_units
    FROM member_order WHERE member_id = wanted.key
    HAVING count(*) > 0
) AS orders
CROSS JOIN LATERAL (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY days) AS median_days
    FROM (
        SELECT extract(epoch FROM ordered_at - lag(ordered_at) OVER (ORDER BY ordered_at, event))::float8 / 86400 AS days
        FROM member_order WHERE member_id = wanted.key
    ) AS gaps
) AS rhythm
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('currency', currency, 'amount_minor', mean) ORDER BY currency) AS means
    FROM (
        SELECT currency, (sum(value_minor) / count(*))::bigint AS mean
        FROM member_order WHERE member_id = wanted.key GROUP BY currency
    ) AS by_currency
) AS values
CROSS JOIN LATERAL (
    SELECT jsonb_agg(hour ORDER BY count DESC, hour) AS favourites
    FROM (
        SELECT hour, count(*) AS count FROM member_order WHERE member_id = wanted.key
        GROUP BY hour ORDER BY count DESC, hour LIMIT 3
    ) AS by_hour
) AS hours
CROSS JOIN LATERAL (
    SELECT jsonb_agg(category ORDER BY count DESC, category) AS favourites
    FROM (
        SELECT product.category, count(*) AS count
        FROM order_line JOIN product USING (product_id)
        WHERE member_id = wanted.key AND NOT cancelled AND product.category IS NOT NULL
        GROUP BY product.category ORDER BY count DESC, product.category LIMIT 5
    ) AS by_category
) AS categories
