-- More statements of publishing: collapse keys, muted categories, schedules.

-- name: collapsing_claim(collapse_key, topic, user_id, notification_id)
--     -> collapse_key, topic, user_id, notification_id
-- Read which notification has a collapse key; one that is free is taken. The update changes
-- nothing; without it a taken key would return no row.
INSERT INTO collapsing (collapse_key, topic, user_id, notification_id)
VALUES (:collapse_key, :topic, :user_id, :notification_id)
ON CONFLICT (collapse_key, topic, user_id) DO UPDATE SET topic = excluded.topic
RETURNING collapse_key, topic, user_id, notification_id;

-- name: collapsing_save(collapse_key, topic, user_id, notification_id)
UPDATE collapsing
SET notification_id = :notification_id
WHERE collapse_key = :collapse_key AND topic = :topic AND user_id = :user_id;

-- name: categories_muted(user_id, category) -> user_id, name
SELECT user_id, name
FROM preferences
WHERE user_id = :user_id AND kind = 'category' AND name = :category AND NOT enabled;

-- name: schedule_insert(notification_id, deliver_at, users)
INSERT INTO schedule (notification_id, deliver_at, users) VALUES (:notification_id, :deliver_at,
    :users);

-- name: schedule_due(now, count)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key, recipients, deliver_at, users
-- At most `count` notifications that are to be delivered at `now` or before, the earliest first.
SELECT id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
    topic, collapse_key, coalesce(recipients, 0) AS recipients, deliver_at, users
FROM schedule
JOIN notifications ON id = notification_id
WHERE deliver_at <= :now
ORDER BY deliver_at, notification_id
LIMIT :count;

-- name: schedule_next() -> deliver_at
-- The time at which the next notification is to be delivered; no row if none is.
SELECT deliver_at FROM schedule ORDER BY deliver_at, notification_id LIMIT 1;

-- name: schedule_delete(notification_id)
DELETE FROM schedule WHERE notification_id = :notification_id;
