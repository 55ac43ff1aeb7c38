-- Who is in which topic, and what users want.

-- name: subscriptions_known -> rows
SELECT user_id, topic, active FROM subscriptions WHERE user_id = ?1 AND topic = ?2;

-- name: subscriptions_count -> rows
-- In how many topics a user is, that of everyone left out.
SELECT ?1, count(*) FROM subscriptions WHERE user_id = ?1 AND active AND topic <> '*';

-- name: subscriptions_forget
DELETE FROM subscriptions WHERE user_id = ?1 AND topic = ?2;

-- name: topics_forget
-- A topic that has no log and nobody in it, and of which nothing was said.
DELETE FROM topics WHERE topic = ?1 AND head = 0 AND subscribers = 0 AND NOT closed;

-- name: topics_closed -> rows
-- Whether users cannot enter a topic by themselves. (SQLite has one writer: nothing to lock.)
SELECT topic, closed FROM topics WHERE topic = ?1;

-- name: topics_close -> rows
INSERT INTO topics (topic, closed) VALUES (?1, ?2)
ON CONFLICT (topic) DO UPDATE SET closed = excluded.closed
RETURNING topic, subscribers;

-- name: topics_read -> rows
SELECT topic, closed, subscribers FROM topics WHERE topic = ?1;

-- name: preferences_delete
DELETE FROM preferences WHERE user_id = ?1;

-- name: preferences_insert
INSERT INTO preferences (user_id, kind, name, enabled) VALUES (?1, ?2, ?3, ?4);
