-- Statements of the purge, which forgets rows older than their retention.

-- name: idempotency_purge(before, rows_max) -> key
DELETE FROM idempotency
WHERE (credential, key) IN (
    SELECT credential, key FROM idempotency
        WHERE created_at < :before ORDER BY created_at LIMIT :rows_max
)
RETURNING key;

-- name: tickets_purge(before, rows_max) -> user_id
DELETE FROM tickets
WHERE hash IN (SELECT hash FROM tickets
    WHERE expires_at < :before ORDER BY expires_at LIMIT :rows_max)
RETURNING user_id;

-- name: purge_archived(before, rows_max) -> notification_id, user_id
-- Inbox rows that were archived before `before`, the first ones, at most `rows_max`.
SELECT notification_id, user_id
FROM inbox
WHERE archived_at < :before
ORDER BY archived_at
LIMIT :rows_max;

-- name: purge_expired(before, rows_max) -> notification_id, user_id
SELECT notification_id, user_id
FROM inbox
WHERE expired_at < :before
ORDER BY expired_at
LIMIT :rows_max;

-- name: purge_aged(before, rows_max) -> notification_id, user_id
-- Inbox rows of notifications that were made before `before`; a notification without any comes with
-- NULL.
SELECT n.id AS notification_id, i.user_id
FROM notifications AS n
LEFT JOIN inbox AS i ON i.notification_id = n.id
WHERE n.kept_from < :before AND n.standing <> 'scheduled'
ORDER BY n.kept_from, n.id
LIMIT :rows_max;

-- name: purge_hold(id) -> id
-- Both dialects have the same statements; SQLite needs no lock here, because it has one writer.
SELECT id FROM notifications WHERE id = :id;

-- name: purge_inbox(notification_id, user_id, archived_before, expired_before, created_before)
--     -> user_id, sequence, state, expired_at
-- Forget a row, if it is still what it was chosen for. (It is left to the caller to compare
-- expired_at with NULL: here, behind `expired_at < `expired_before``, SQLite would take it for
-- never NULL.)
DELETE FROM inbox
WHERE notification_id = :notification_id AND user_id = :user_id
    AND (archived_at < :archived_before OR expired_at < :expired_before
        OR (SELECT kept_from FROM notifications WHERE id = :notification_id) < :created_before)
RETURNING user_id, sequence, state, expired_at;

-- name: purge_users(user_id, unread, unseen, horizon)
UPDATE users
SET unread = unread - :unread, unseen = unseen - :unseen, horizon = max(horizon, :horizon)
WHERE user_id = :user_id;

-- name: purge_notifications(id) -> id
-- Forget a notification that is in no inbox and in no topic's log.
DELETE FROM notifications
WHERE id = :id AND standing <> 'scheduled'
    AND NOT EXISTS (SELECT 1 FROM inbox WHERE notification_id = :id)
    AND NOT EXISTS (SELECT 1 FROM topic_log WHERE notification_id = :id)
RETURNING id;

-- name: purge_deliveries(notification_id)
DELETE FROM deliveries WHERE notification_id = :notification_id;

-- name: purge_topic_log(id, before)
-- Forget the entries of topics about a notification made before `before`, but not a log's last one.
DELETE FROM topic_log
WHERE notification_id = :id
    AND (SELECT kept_from FROM notifications WHERE id = :id) < :before
    AND position < (SELECT head FROM topics WHERE topics.topic = topic_log.topic);

-- name: purge_topic_heads(id, before)
-- The last entry stays, without a notification: a user who is behind reads it, and is up to date.
UPDATE topic_log
SET notification_id = ''
WHERE notification_id = :id AND (SELECT kept_from FROM notifications WHERE id = :id) < :before;

-- name: purge_collapsing(notification_id)
DELETE FROM collapsing WHERE notification_id = :notification_id;

-- name: purge_letters(before, rows_max) -> id
DELETE FROM dead_letters
WHERE id IN (
    SELECT id FROM dead_letters WHERE dead_at < :before ORDER BY dead_at LIMIT :rows_max
)
RETURNING id;

-- name: purge_slice(user_id, device_id, devices_max) -> user_id, device_id, last_seen
-- The next devices behind `user_id`, `device_id`, at most `devices_max`, and when each was last
-- seen. There is no index by that time: each acknowledgment would have to write into it.
SELECT user_id, device_id, CASE WHEN NOT removed THEN last_seen END AS last_seen
FROM devices
WHERE (user_id, device_id) > (:user_id, :device_id)
ORDER BY user_id, device_id
LIMIT :devices_max;

-- name: purge_devices(user_id, device_id, before) -> user_id
-- Remove a device that was last seen before `before`, if that is still so.
UPDATE devices SET removed = 1
WHERE user_id = :user_id AND device_id = :device_id AND last_seen < :before AND NOT removed
RETURNING user_id;

-- name: purge_removed(before, devices_max) -> user_id, device_id, cleared
-- Devices that were removed and last seen before `before`, at most `devices_max`.
SELECT user_id, device_id, cleared
FROM devices
WHERE removed AND last_seen < :before
ORDER BY user_id, device_id
LIMIT :devices_max;

-- name: purge_lines(user_id, device_id, cleared, entries_max)
--     -> user_id, device_id, cleared, entries
-- Forget the ledger lines of a removed device, for at most `entries_max` entries of its user's log
-- behind `cleared`; returns the last of these entries, and their number. The lines are found
-- through the log, because an index by device would have to be written with every ledger line.
DELETE FROM deliveries
WHERE user_id = :user_id AND device_id = :device_id
    AND notification_id IN (
        SELECT notification_id FROM inbox
        WHERE user_id = :user_id AND sequence > :cleared
        ORDER BY sequence
        LIMIT :entries_max
    )
    AND EXISTS (SELECT 1 FROM devices WHERE user_id = :user_id AND device_id = :device_id
        AND removed);
-- then
SELECT :user_id, :device_id, coalesce(max(sequence), :cleared) AS cleared, count(*) AS entries
FROM (
    SELECT sequence FROM inbox WHERE user_id = :user_id
        AND sequence > :cleared ORDER BY sequence LIMIT :entries_max
);

-- name: devices_cleared(user_id, device_id, cleared)
UPDATE devices SET cleared = :cleared WHERE user_id = :user_id AND device_id = :device_id
    AND removed;

-- name: devices_drop(user_id, device_id)
DELETE FROM devices WHERE user_id = :user_id AND device_id = :device_id AND removed;

-- name: purge_sends(notification_id)
DELETE FROM sends WHERE notification_id = :notification_id;
