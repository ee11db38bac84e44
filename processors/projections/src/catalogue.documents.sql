SELECT product_id AS key,
       jsonb_build_object(
           'product_id', product_id,
           'title', title,
           'description', description,
           'category', category,
           'brand', brand,
           'price_minor', price_minor,
           'currency', currency,
           'stock', stock,
           'attributes', further::jsonb,
           'attribute_text', (SELECT string_agg(value, ' ' ORDER BY name) FROM jsonb_each_text(further::jsonb) AS one (name, value))
       ) AS value
FROM product
WHERE product_id = ANY ($1) AND title IS NOT NULL AND NOT retired
