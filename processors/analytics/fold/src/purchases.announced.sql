SELECT DISTINCT ON (member_id) member_id AS key,
       jsonb_build_object('event_id', event_id, 'announced_at', announcement_at, 'pattern', pattern::jsonb) AS value
FROM announced_pattern
WHERE member_id = ANY ($1::text[])
ORDER BY member_id, orders DESC
