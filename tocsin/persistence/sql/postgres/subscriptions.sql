-- The subscriptions and preferences of users.

-- name: subscriptions_known(user_id, topic) -> user_id, topic, active
SELECT s.user_id, s.topic, s.active
FROM unnest($1::text[], $2::text[]) AS asked (user_id, topic)
JOIN subscriptions AS s ON s.user_id = asked.user_id AND s.topic = asked.topic;

-- name: subscriptions_count(user_id) -> user_id, topics
-- The number of topics that each user is in, without the topic of everyone.
SELECT asked.user_id, counted.topics
FROM unnest($1::text[]) AS asked (user_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS topics
    FROM subscriptions AS s
    WHERE s.user_id = asked.user_id AND s.active AND s.topic <> '*'
) AS counted;

-- name: subscriptions_forget(user_id, topic)
DELETE FROM subscriptions AS s
USING unnest($1::text[], $2::text[]) AS gone (user_id, topic)
WHERE s.user_id = gone.user_id AND s.topic = gone.topic;

-- name: topics_forget(topic)
-- Forget topics without entries and subscribers that are not closed; their rows are locked.
DELETE FROM topics AS t
USING unnest($1::text[]) AS gone (topic)
WHERE t.topic = gone.topic AND t.head = 0 AND t.subscribers = 0 AND NOT t.closed;

-- name: topics_closed(topic) -> topic, closed
-- Lock topics, and read whether they are closed: only producers may subscribe users to them then.
SELECT t.topic, t.closed
FROM topics AS t
WHERE t.topic = ANY ($1::text[])
ORDER BY t.topic
FOR UPDATE;

-- name: topics_close(topic, closed) -> topic, subscribers
INSERT INTO topics AS t (topic, closed)
SELECT topic, closed
FROM unnest($1::text[], $2::boolean[]) AS said (topic, closed)
ORDER BY topic COLLATE "C"
ON CONFLICT (topic) DO UPDATE SET closed = excluded.closed
RETURNING t.topic, t.subscribers;

-- name: topics_read(topic) -> topic, closed, subscribers
SELECT t.topic, t.closed, t.subscribers
FROM unnest($1::text[]) AS asked (topic)
JOIN topics AS t ON t.topic = asked.topic;

-- name: preferences_delete(user_id)
DELETE FROM preferences AS p
USING unnest($1::text[]) AS asked (user_id)
WHERE p.user_id = asked.user_id;

-- name: preferences_insert(user_id, kind, name, enabled)
INSERT INTO preferences (user_id, kind, name, enabled)
SELECT user_id, kind, name, enabled
FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[])
    AS new (user_id, kind, name, enabled);
