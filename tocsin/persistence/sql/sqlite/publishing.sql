-- What publishing asks besides: collapse keys, muted categories, schedules.

-- name: collapsing_claim -> rows
-- Read which notification has a collapse key; one that is free is taken. The update changes nothing;
-- without it a taken key would return no row.
INSERT INTO collapsing (collapse_key, topic, user_id, notification_id)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (collapse_key, topic, user_id) DO UPDATE SET topic = excluded.topic
RETURNING collapse_key, topic, user_id, notification_id;

-- name: collapsing_save
UPDATE collapsing
SET notification_id = ?4
WHERE collapse_key = ?1 AND topic = ?2 AND user_id = ?3;

-- name: categories_muted -> rows
SELECT user_id, name
FROM preferences
WHERE user_id = ?1 AND kind = 'category' AND name = ?2 AND NOT enabled;

-- name: schedule_insert
INSERT INTO schedule (notification_id, deliver_at, users) VALUES (?1, ?2, ?3);

-- name: schedule_due -> rows
-- At most ?2 notifications that are to be delivered at ?1 or before, the earliest first.
SELECT id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
    topic, collapse_key, coalesce(recipients, 0), deliver_at, users
FROM schedule
JOIN notifications ON id = notification_id
WHERE deliver_at <= ?1
ORDER BY deliver_at, notification_id
LIMIT ?2;

-- name: schedule_next -> rows
-- When the next notification is to be delivered; no row if none is.
SELECT deliver_at FROM schedule ORDER BY deliver_at, notification_id LIMIT 1;

-- name: schedule_delete
DELETE FROM schedule WHERE notification_id = ?1;
