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
           'attribute_text', (SELECT string_agg(value, ' ' ORDER BY name) FROM jsonb_each_text(further::jsonb) AS one (name, value)),
           'colors', coalesce(facets::jsonb -> 'color', '[]')
       )
       -- A vector without a direction is near nothing, and refused by the index with its whole document.
       || CASE
              WHEN vector_norm(vector) > 0
              THEN jsonb_build_object('vector_model', model, 'vector', l2_normalize(vector)::real[])
              ELSE '{}'
          END AS value
FROM product LEFT JOIN product_vector USING (product_id)
WHERE product_id = ANY ($1) AND title IS NOT NULL AND NOT retired
