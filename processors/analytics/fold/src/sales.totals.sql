SELECT 'all' AS key,
       jsonb_agg(
           jsonb_build_object(
               'currency', currency,
               'sold_units', sold_units,
               'sold_minor', sold_minor,
               'cancelled_units', cancelled_units,
               'cancelled_minor', cancelled_minor
           )
           ORDER BY currency
       ) AS value
FROM (
    SELECT currency,
           coalesce(sum(sold_units), 0)::bigint AS sold_units,
           coalesce(sum(sold_minor), 0)::bigint AS sold_minor,
           coalesce(sum(cancelled_units), 0)::bigint AS cancelled_units,
           coalesce(sum(cancelled_minor), 0)::bigint AS cancelled_minor
    FROM product_sales
    GROUP BY currency
) AS by_currency
WHERE 'all' = ANY ($1)
HAVING count(*) > 0
