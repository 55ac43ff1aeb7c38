-- Who is in which topic, and what users want.

-- name: subscriptions_known -> rows
SELECT user_id, topic, active FROM subscriptions WHERE user_id = ?1 AND topic = ?2;

-- name: subscriptions_count -> rows
-- In how many topics a user is, that of everyone left out.
SELECT ?1, count(*) FROM subscriptions WHERE user_id = ?1 AND active AND topic <> '*';

-- name: subscriptions_forget
DELETE FROM subscriptions WHERE user_id = ?1 AND topic = ?2;

-- name: topics_forget
-- A topic that has no log and nobody in it.
DELETE FROM topics WHERE topic = ?1 AND head = 0 AND subscribers = 0;

-- name: preferences_delete
DELETE FROM preferences WHERE user_id = ?1;

-- name: preferences_insert
INSERT INTO preferences (user_id, kind, name, enabled) VALUES (?1, ?2, ?3, ?4);
