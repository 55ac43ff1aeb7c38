-- The subscriptions and preferences of users.

-- name: subscriptions_known(user_id, topic) -> user_id, topic, active
SELECT user_id, topic, active FROM subscriptions WHERE user_id = :user_id AND topic = :topic;

-- name: subscriptions_count(user_id) -> user_id, topics
-- The number of topics that a user is in, without the topic of everyone.
SELECT :user_id, count(*) AS topics FROM subscriptions WHERE user_id = :user_id AND active
    AND topic <> '*';

-- name: subscriptions_forget(user_id, topic)
DELETE FROM subscriptions WHERE user_id = :user_id AND topic = :topic;

-- name: topics_forget(topic)
-- Forget a topic without entries and subscribers that is not closed.
DELETE FROM topics WHERE topic = :topic AND head = 0 AND subscribers = 0 AND NOT closed;

-- name: topics_closed(topic) -> topic, closed
-- Whether a topic is closed: only producers may subscribe users to it then.
SELECT topic, closed FROM topics WHERE topic = :topic;

-- name: topics_close(topic, closed) -> topic, subscribers
INSERT INTO topics (topic, closed) VALUES (:topic, :closed)
ON CONFLICT (topic) DO UPDATE SET closed = excluded.closed
RETURNING topic, subscribers;

-- name: topics_read(topic) -> topic, closed, subscribers
SELECT topic, closed, subscribers FROM topics WHERE topic = :topic;

-- name: preferences_delete(user_id)
DELETE FROM preferences WHERE user_id = :user_id;

-- name: preferences_insert(user_id, kind, name, enabled)
INSERT INTO preferences (user_id, kind, name, enabled) VALUES (:user_id, :kind, :name, :enabled);
