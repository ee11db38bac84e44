SELECT event::text AS key,
       jsonb_build_object(
           'event', event,
           'member_id', member_id,
           'conversation_id', conversation_id,
           'said_at', happened_at,
           'text', body::jsonb -> 'content'
       ) AS value
FROM conversation_entry
WHERE event = ANY ($1::uuid[])
