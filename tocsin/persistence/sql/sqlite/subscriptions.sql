-- Who is in which topic, and what users want.

-- name: subscriptions_known -> rows
SELECT user_id, topic, active FROM subscriptions WHERE user_id = ?1 AND topic = ?2;

-- name: subscriptions_count -> rows
-- In how many topics a user is, that of everyone left out.
SELECT ?1, count(*) FROM subscriptions WHERE user_id = ?1 AND active AND topic <> '*';

-- name: preferences_delete
DELETE FROM preferences WHERE user_id = ?1;

-- name: preferences_insert
INSERT INTO preferences (user_id, kind, name, enabled) VALUES (?1, ?2, ?3, ?4);
