-- "Now" is the member's own newest event: a quiet member's tastes do not fade.
WITH known AS (
    SELECT wanted.key, greatest(member.newest, speaker.heard_at) AS now,
           coalesce(member.events, 0) AS acts, coalesce(speaker.messages, 0) AS messages
    FROM unnest($1::text[]) AS wanted (key)
    LEFT JOIN member ON member.member_id = wanted.key
    LEFT JOIN speaker ON speaker.member_id = wanted.key
    WHERE member.member_id IS NOT NULL OR speaker.member_id IS NOT NULL
),
-- What was said and not taken back.
said AS (
    SELECT known.key, known.now, stated.slot, stated.value, stated.wanted, stated.message_id, stated.event_id,
           stated.said_at, stated.event,
           stated.strength * power(0.5, extract(epoch FROM known.now - stated.said_at)::float8 / (90 * 86400)) AS weight,
           first_value(stated.wanted) OVER (
               PARTITION BY known.key, stated.slot, stated.value ORDER BY stated.said_at DESC, stated.event DESC
           ) AS wanted_now
    FROM known
    JOIN user_preferences AS stated ON stated.member_id = known.key
    LEFT JOIN user_preference_horizon AS horizon USING (member_id, slot, value)
    WHERE (horizon.forgotten_until IS NULL OR stated.said_at > horizon.forgotten_until)
      AND NOT EXISTS (
          SELECT FROM user_preference_retracted AS taken_back
          WHERE (taken_back.member_id, taken_back.message_id, taken_back.slot, taken_back.value)
              = (stated.member_id, stated.message_id, stated.slot, stated.value)
      )
),
statements AS (
    SELECT key, jsonb_agg(
               jsonb_build_object('slot', slot, 'value', value, 'wanted', wanted, 'weight', weight, 'evidence', evidence)
               ORDER BY weight DESC, slot, value
           ) AS list
    FROM (
        SELECT key, slot, value, wanted, sum(weight ORDER BY said_at, event) AS weight,
               to_jsonb((array_agg(
                   jsonb_build_object('message_id', message_id, 'event_id', event_id, 'at', said_at)
                   ORDER BY said_at DESC, event DESC
               ))[1:5]) AS evidence,
               row_number() OVER (
                   PARTITION BY key ORDER BY sum(weight ORDER BY said_at, event) DESC, slot, value
               ) AS place
        FROM said
        WHERE wanted = wanted_now
        GROUP BY key, slot, value, wanted
    ) AS ranked
    WHERE place <= 50
    GROUP BY key
),
-- What was bought and looked at: the products of most weight, and what they have in common.
acts AS (
    SELECT known.key, act.*
    FROM known
    CROSS JOIN LATERAL (
        SELECT product_id, newest, event_id, act,
               (5 * orders + 2 * carts + 2 * wishes + clicks + views)
               * power(0.5, extract(epoch FROM known.now - newest)::float8 / (90 * 86400)) AS weight
        FROM member_product
        WHERE member_product.member_id = known.key
        ORDER BY weight DESC, product_id
        LIMIT 50
    ) AS act
),
implications AS (
    SELECT key, jsonb_agg(
               jsonb_build_object('slot', slot, 'value', value, 'share', share, 'evidence', evidence)
               ORDER BY share DESC, slot, value
           ) AS list
    FROM (
        SELECT acts.key, implied.slot, implied.value,
               sum(acts.weight ORDER BY acts.product_id) / totals.weight AS share,
               to_jsonb((array_agg(
                   jsonb_build_object(
                       'product_id', acts.product_id, 'act', acts.act, 'event_id', acts.event_id, 'at', acts.newest
                   )
                   ORDER BY acts.weight DESC, acts.product_id
               ))[1:3]) AS evidence,
               row_number() OVER (
                   PARTITION BY acts.key
                   ORDER BY sum(acts.weight ORDER BY acts.product_id) DESC, implied.slot, implied.value
               ) AS place
        FROM acts
        JOIN (SELECT key, sum(weight ORDER BY product_id) AS weight FROM acts GROUP BY key) AS totals USING (key)
        JOIN product USING (product_id)
        CROSS JOIN LATERAL (
            SELECT 'category', product.category WHERE product.category IS NOT NULL
            UNION ALL
            SELECT 'brand', product.brand WHERE product.brand IS NOT NULL
            UNION ALL
            SELECT slot, value
            FROM jsonb_each(product.facets::jsonb) AS facet (slot, facet_values)
            CROSS JOIN LATERAL jsonb_array_elements_text(facet_values) AS element (value)
        ) AS implied (slot, value)
        WHERE acts.weight > 0
        GROUP BY acts.key, implied.slot, implied.value, totals.weight
    ) AS ranked
    WHERE place <= 30
    GROUP BY key
),
-- The newest wish for a price in each currency.
prices AS (
    SELECT key, jsonb_agg(
               jsonb_build_object(
                   'currency', currency, 'min_minor', min_minor, 'max_minor', max_minor, 'message_id', message_id,
                   'event_id', event_id, 'at', said_at
               )
               ORDER BY currency
           ) AS list
    FROM (
        SELECT DISTINCT ON (known.key, told.currency)
               known.key, told.currency, told.min_minor, told.max_minor, told.message_id, told.event_id, told.said_at
        FROM known
        JOIN user_message AS told ON told.member_id = known.key AND told.currency IS NOT NULL
        WHERE NOT EXISTS (
                  SELECT FROM user_preference_horizon AS horizon
                  WHERE horizon.member_id = told.member_id AND horizon.slot = 'price'
                    AND horizon.forgotten_until >= told.said_at
              )
          AND NOT EXISTS (
                  SELECT FROM user_preference_retracted AS taken_back
                  WHERE taken_back.member_id = told.member_id AND taken_back.message_id = told.message_id
                    AND taken_back.slot = 'price'
              )
        ORDER BY known.key, told.currency, told.said_at DESC, told.event DESC
    ) AS newest
    GROUP BY key
),
moods AS (
    SELECT known.key, mood.sentiment_permille, mood.language
    FROM known
    CROSS JOIN LATERAL (
        SELECT (sum(sentiment_permille) / count(*))::bigint AS sentiment_permille,
               (array_agg(language ORDER BY said_at DESC, event DESC))[1] AS language
        FROM (
            SELECT sentiment_permille, language, said_at, event FROM user_message
            WHERE user_message.member_id = known.key
            ORDER BY said_at DESC, event DESC LIMIT 10
        ) AS latest
    ) AS mood
)
SELECT known.key,
       jsonb_build_object(
           'newest', known.now,
           'acts', known.acts,
           'messages', known.messages,
           'stated', coalesce(statements.list, '[]'),
           'implied', coalesce(implications.list, '[]'),
           'prices', coalesce(prices.list, '[]'),
           'sentiment_permille', moods.sentiment_permille,
           'language', moods.language
       ) AS value
FROM known
LEFT JOIN statements USING (key)
LEFT JOIN implications USING (key)
LEFT JOIN prices USING (key)
LEFT JOIN moods USING (key)
