-- Statements of the purge, which forgets rows older than their retention.

-- name: idempotency_purge(before, rows_max) -> key
DELETE FROM idempotency AS i
USING (
    SELECT old.credential, old.key
    FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, rows_max)
    CROSS JOIN LATERAL (
        SELECT o.credential, o.key
        FROM idempotency AS o
        WHERE o.created_at < purge.before
        ORDER BY o.created_at
        LIMIT purge.rows_max
        FOR UPDATE SKIP LOCKED
    ) AS old
) AS gone
WHERE i.credential = gone.credential AND i.key = gone.key
RETURNING i.key;

-- name: tickets_purge(before, rows_max) -> user_id
DELETE FROM tickets AS t
USING (
    SELECT old.hash
    FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, rows_max)
    CROSS JOIN LATERAL (
        SELECT o.hash
        FROM tickets AS o
        WHERE o.expires_at < purge.before
        ORDER BY o.expires_at
        LIMIT purge.rows_max
        FOR UPDATE SKIP LOCKED
    ) AS old
) AS gone
WHERE t.hash = gone.hash
RETURNING t.user_id;

-- name: purge_archived(before, rows_max) -> notification_id, user_id
-- Inbox rows that were archived before a time, the first ones, at most `rows_max`.
SELECT old.*
FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, rows_max)
CROSS JOIN LATERAL (
    SELECT i.notification_id, i.user_id
    FROM inbox AS i
    WHERE i.archived_at < purge.before
    ORDER BY i.archived_at
    LIMIT purge.rows_max
) AS old;

-- name: purge_expired(before, rows_max) -> notification_id, user_id
SELECT old.*
FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, rows_max)
CROSS JOIN LATERAL (
    SELECT i.notification_id, i.user_id
    FROM inbox AS i
    WHERE i.expired_at < purge.before
    ORDER BY i.expired_at
    LIMIT purge.rows_max
) AS old;

-- name: purge_aged(before, rows_max) -> notification_id, user_id
-- Inbox rows of notifications that were made before a time; a notification without any comes with
-- NULL.
SELECT old.*
FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, rows_max)
CROSS JOIN LATERAL (
    SELECT n.id AS notification_id, i.user_id
    FROM notifications AS n
    LEFT JOIN inbox AS i ON i.notification_id = n.id
    WHERE n.kept_from < purge.before AND n.standing <> 'scheduled'
    ORDER BY n.kept_from, n.id
    LIMIT purge.rows_max
) AS old;

-- name: purge_hold(id) -> id
-- Lock notifications, except those that another transaction is changing: a later purge takes them.
SELECT n.id
FROM notifications AS n
WHERE n.id = ANY ($1::text[])
ORDER BY n.id
FOR UPDATE SKIP LOCKED;

-- name: purge_inbox(notification_id, user_id, archived_before, expired_before, created_before)
--     -> user_id, sequence, state, expired_at
-- Forget the chosen rows for which the reason still holds, now that their users are locked.
DELETE FROM inbox AS i
USING unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS old (notification_id, user_id, archived_before, expired_before, created_before),
    notifications AS n
WHERE i.notification_id = old.notification_id AND i.user_id = old.user_id
    AND n.id = old.notification_id
    AND (i.archived_at < old.archived_before OR i.expired_at < old.expired_before
        OR n.kept_from < old.created_before)
RETURNING i.user_id, i.sequence, i.state, i.expired_at;

-- name: purge_users(user_id, unread, unseen, horizon)
UPDATE users AS u
SET unread = u.unread - purged.unread, unseen = u.unseen - purged.unseen,
    horizon = greatest(u.horizon, purged.horizon)
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
    AS purged (user_id, unread, unseen, horizon)
WHERE u.user_id = purged.user_id;

-- name: purge_notifications(id) -> id
-- Forget notifications that are in no inbox and in no topic's log.
DELETE FROM notifications AS n
USING unnest($1::text[]) AS held (id)
WHERE n.id = held.id AND n.standing <> 'scheduled'
    AND NOT EXISTS (SELECT 1 FROM inbox AS i WHERE i.notification_id = n.id)
    AND NOT EXISTS (SELECT 1 FROM topic_log AS l WHERE l.notification_id = n.id)
RETURNING n.id;

-- name: purge_deliveries(notification_id)
DELETE FROM deliveries AS d
USING unnest($1::text[]) AS gone (notification_id)
WHERE d.notification_id = gone.notification_id;

-- name: purge_topic_log(id, before)
-- Forget the entries of topics about notifications made before a time, but not a log's last entry.
DELETE FROM topic_log AS l
USING unnest($1::text[], $2::bigint[]) AS held (id, before), notifications AS n, topics AS t
WHERE l.notification_id = held.id AND n.id = held.id AND n.kept_from < held.before
    AND t.topic = l.topic AND l.position < t.head;

-- name: purge_topic_heads(id, before)
-- The last entry stays, without a notification: a user who is behind reads it, and is up to date.
UPDATE topic_log AS l
SET notification_id = ''
FROM unnest($1::text[], $2::bigint[]) AS held (id, before), notifications AS n
WHERE l.notification_id = held.id AND n.id = held.id AND n.kept_from < held.before;

-- name: purge_collapsing(notification_id)
DELETE FROM collapsing AS c
USING unnest($1::text[]) AS gone (notification_id)
WHERE c.notification_id = gone.notification_id;

-- name: purge_letters(before, rows_max) -> id
DELETE FROM dead_letters AS l
USING (
    SELECT old.id
    FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, rows_max)
    CROSS JOIN LATERAL (
        SELECT o.id
        FROM dead_letters AS o
        WHERE o.dead_at < purge.before
        ORDER BY o.dead_at
        LIMIT purge.rows_max
        FOR UPDATE SKIP LOCKED
    ) AS old
) AS gone
WHERE l.id = gone.id
RETURNING l.id;

-- name: purge_slice(user_id, device_id, devices_max) -> user_id, device_id, last_seen
-- The next devices behind one, at most `devices_max`, and when each was last seen. There is no
-- index by that time: each acknowledgment would have to write into it.
SELECT slice.*
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS purge (user_id, device_id, devices_max)
CROSS JOIN LATERAL (
    SELECT d.user_id, d.device_id, CASE WHEN NOT d.removed THEN d.last_seen END AS last_seen
    FROM devices AS d
    WHERE (d.user_id, d.device_id) > (purge.user_id, purge.device_id)
    ORDER BY d.user_id, d.device_id
    LIMIT purge.devices_max
) AS slice;

-- name: purge_devices(user_id, device_id, before) -> user_id
-- Remove devices that were last seen before a time, if that is still so.
UPDATE devices AS d
SET removed = true
FROM (
    SELECT k.user_id, k.device_id
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS old (user_id, device_id, before)
    JOIN devices AS k ON k.user_id = old.user_id AND k.device_id = old.device_id
    WHERE k.last_seen < old.before AND NOT k.removed
    FOR UPDATE OF k SKIP LOCKED
) AS gone
WHERE d.user_id = gone.user_id AND d.device_id = gone.device_id
RETURNING d.user_id;

-- name: purge_removed(before, devices_max) -> user_id, device_id, cleared
-- Devices that were removed and last seen before a time, at most `devices_max`.
SELECT old.*
FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, devices_max)
CROSS JOIN LATERAL (
    SELECT d.user_id, d.device_id, d.cleared
    FROM devices AS d
    WHERE d.removed AND d.last_seen < purge.before
    ORDER BY d.user_id, d.device_id
    LIMIT purge.devices_max
) AS old;

-- name: purge_lines(user_id, device_id, cleared, entries_max)
--     -> user_id, device_id, cleared, entries
-- Forget the ledger lines of removed devices, for at most `entries_max` entries of their users'
-- logs behind `cleared`; returns the last of these entries, and their number. The lines are found
-- through the log, because an index by device would have to be written with every ledger line.
WITH entry AS MATERIALIZED (
    SELECT asked.user_id, asked.device_id, asked.cleared, i.notification_id, i.sequence
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
        AS asked (user_id, device_id, cleared, entries_max)
    LEFT JOIN LATERAL (
        SELECT o.notification_id, o.sequence
        FROM inbox AS o
        WHERE o.user_id = asked.user_id AND o.sequence > asked.cleared
        ORDER BY o.sequence
        LIMIT asked.entries_max
    ) AS i ON true
), forgotten AS (
    DELETE FROM deliveries AS d
    USING entry, devices AS k
    WHERE d.notification_id = entry.notification_id AND d.user_id = entry.user_id
        AND d.device_id = entry.device_id
        AND k.user_id = entry.user_id AND k.device_id = entry.device_id AND k.removed
)
SELECT user_id, device_id, coalesce(max(sequence), max(cleared)) AS cleared,
    count(sequence) AS entries
FROM entry
GROUP BY user_id, device_id;

-- name: devices_cleared(user_id, device_id, cleared)
UPDATE devices AS d
SET cleared = moved.cleared
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS moved (user_id, device_id, cleared)
WHERE d.user_id = moved.user_id AND d.device_id = moved.device_id AND d.removed;

-- name: devices_drop(user_id, device_id)
DELETE FROM devices AS d
USING unnest($1::text[], $2::text[]) AS gone (user_id, device_id)
WHERE d.user_id = gone.user_id AND d.device_id = gone.device_id AND d.removed;

-- name: purge_sends(notification_id)
DELETE FROM sends AS s
USING unnest($1::text[]) AS gone (notification_id)
WHERE s.notification_id = gone.notification_id;
