-- "Now" is the member's own newest event: a quiet member's tastes do not fade.
SELECT member_id AS key,
       jsonb_build_object(
           'events', member.events,
           'newest', member.newest,
           'products', coalesce(
               (
                   SELECT jsonb_agg(
                              jsonb_build_object(
                                  'product_id', product_id, 'weight', weight, 'orders', orders, 'event_id', event_id
                              )
                              ORDER BY weight DESC, product_id
                          )
                   FROM (
                       SELECT product_id, orders, event_id,
                              (5 * orders + 2 * carts + 2 * wishes + clicks + views)
                              * power(0.5, extract(epoch FROM member.newest - acts.newest)::float8 / (90 * 86400)) AS weight
                       FROM member_product AS acts
                       WHERE acts.member_id = member.member_id
                       ORDER BY weight DESC, product_id
                       LIMIT 50
                   ) AS heaviest
               ),
               '[]'
           )
       ) AS value
FROM member
WHERE member_id = ANY ($1)
