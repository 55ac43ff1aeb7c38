-- What is forgotten in time.

-- name: idempotency_purge -> rows
DELETE FROM idempotency
WHERE (credential, key) IN (
    SELECT credential, key FROM idempotency WHERE created_at < ?1 ORDER BY created_at LIMIT ?2
)
RETURNING key;

-- name: tickets_purge -> rows
DELETE FROM tickets
WHERE hash IN (SELECT hash FROM tickets WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)
RETURNING user_id;

-- name: purge_archived -> rows
-- Inbox rows that were archived before ?1, the first ones, at most ?2.
SELECT notification_id, user_id
FROM inbox
WHERE archived_at < ?1
ORDER BY archived_at
LIMIT ?2;

-- name: purge_expired -> rows
SELECT notification_id, user_id
FROM inbox
WHERE expired_at < ?1
ORDER BY expired_at
LIMIT ?2;

-- name: purge_aged -> rows
-- Inbox rows of notifications that were made before ?1; a notification without any comes with NULL.
SELECT n.id, i.user_id
FROM notifications AS n
LEFT JOIN inbox AS i ON i.notification_id = n.id
WHERE n.kept_from < ?1 AND n.standing <> 'scheduled'
ORDER BY n.kept_from, n.id
LIMIT ?2;

-- name: purge_hold -> rows
-- In SQLite only for the sake of the same statements in both dialects.
SELECT id FROM notifications WHERE id = ?1;

-- name: purge_inbox -> rows
-- Forget a row, if it is still what it was chosen for. (It is left to the caller to compare expired_at
-- with NULL: here, behind `expired_at < ?4`, SQLite would take it for never NULL.)
DELETE FROM inbox
WHERE notification_id = ?1 AND user_id = ?2
    AND (archived_at < ?3 OR expired_at < ?4
        OR (SELECT kept_from FROM notifications WHERE id = ?1) < ?5)
RETURNING user_id, sequence, state, expired_at;

-- name: purge_users
UPDATE users
SET unread = unread - ?2, unseen = unseen - ?3, horizon = max(horizon, ?4)
WHERE user_id = ?1;

-- name: purge_notifications -> rows
-- Forget a notification that nobody has any more and no topic speaks of.
DELETE FROM notifications
WHERE id = ?1 AND standing <> 'scheduled'
    AND NOT EXISTS (SELECT 1 FROM inbox WHERE notification_id = ?1)
    AND NOT EXISTS (SELECT 1 FROM topic_log WHERE notification_id = ?1)
RETURNING id;

-- name: purge_deliveries
DELETE FROM deliveries WHERE notification_id = ?1;

-- name: purge_topic_log
-- Of a notification made before ?2, topics forget all but the last entry of their log.
DELETE FROM topic_log
WHERE notification_id = ?1
    AND (SELECT kept_from FROM notifications WHERE id = ?1) < ?2
    AND position < (SELECT head FROM topics WHERE topics.topic = topic_log.topic);

-- name: purge_topic_heads
-- The last entry stays, about nothing: whoever is behind finds it, and is up to date with it.
UPDATE topic_log
SET notification_id = ''
WHERE notification_id = ?1 AND (SELECT kept_from FROM notifications WHERE id = ?1) < ?2;

-- name: purge_collapsing
DELETE FROM collapsing WHERE notification_id = ?1;

-- name: purge_letters -> rows
DELETE FROM dead_letters
WHERE id IN (
    SELECT id FROM dead_letters WHERE dead_at < ?1 ORDER BY dead_at LIMIT ?2
)
RETURNING id;

-- name: purge_slice -> rows
-- The next devices behind ?1, ?2, at most ?3, and when each was last seen. There is no index by that time:
-- each acknowledgment would have to write into it.
SELECT user_id, device_id, CASE WHEN NOT removed THEN last_seen END
FROM devices
WHERE (user_id, device_id) > (?1, ?2)
ORDER BY user_id, device_id
LIMIT ?3;

-- name: purge_devices -> rows
-- Remove a device that was last seen before ?3, if that is still so.
UPDATE devices SET removed = 1
WHERE user_id = ?1 AND device_id = ?2 AND last_seen < ?3 AND NOT removed
RETURNING user_id;

-- name: purge_removed -> rows
-- Devices that were removed and last seen before ?1, at most ?2.
SELECT user_id, device_id, cleared
FROM devices
WHERE removed AND last_seen < ?1
ORDER BY user_id, device_id
LIMIT ?2;

-- name: purge_lines -> rows
-- Forget what the ledger says of a device (?2) that was removed, about what is in its user's (?1) log
-- behind ?3, of at most ?4 entries; how far that is, and of how many. The log leads to the lines: an
-- index of them by device would be one more to write with each.
DELETE FROM deliveries
WHERE user_id = ?1 AND device_id = ?2
    AND notification_id IN (
        SELECT notification_id FROM inbox
        WHERE user_id = ?1 AND sequence > ?3
        ORDER BY sequence
        LIMIT ?4
    )
    AND EXISTS (SELECT 1 FROM devices WHERE user_id = ?1 AND device_id = ?2 AND removed);
-- then
SELECT ?1, ?2, coalesce(max(sequence), ?3), count(*)
FROM (
    SELECT sequence FROM inbox WHERE user_id = ?1 AND sequence > ?3 ORDER BY sequence LIMIT ?4
);

-- name: devices_cleared
UPDATE devices SET cleared = ?3 WHERE user_id = ?1 AND device_id = ?2 AND removed;

-- name: devices_drop
DELETE FROM devices WHERE user_id = ?1 AND device_id = ?2 AND removed;
