-- Devices: where they stand, and the ledger of what was sent to them.

-- name: attach_read -> rows
-- What `choose_start` needs, by number of the question (?1), also for a user without a log; whether
-- the device is one that was removed; and which session of it is open. What is due at ?4 and has not
-- expired yet is not counted: of the first thousand, which is more than ever should wait.
SELECT ?1, coalesce(u.head, 0), coalesce(u.horizon, 0),
    coalesce(u.unread, 0) - (
        SELECT count(one) FROM (
            SELECT (
                SELECT 1 FROM inbox AS i
                WHERE i.notification_id = n.id AND i.user_id = ?2
                    AND i.state IN ('unseen', 'seen') AND i.expired_at IS NULL
            ) AS one
            FROM notifications AS n
            WHERE n.standing = 'active' AND n.expires_at IS NOT NULL AND n.expires_at <= ?4
            ORDER BY n.expires_at
            LIMIT 1000
        )
    ),
    coalesce(u.unseen, 0) - (
        SELECT count(one) FROM (
            SELECT (
                SELECT 1 FROM inbox AS i
                WHERE i.notification_id = n.id AND i.user_id = ?2
                    AND i.state = 'unseen' AND i.expired_at IS NULL
            ) AS one
            FROM notifications AS n
            WHERE n.standing = 'active' AND n.expires_at IS NOT NULL AND n.expires_at <= ?4
            ORDER BY n.expires_at
            LIMIT 1000
        )
    ),
    CASE WHEN NOT d.removed THEN d.acknowledged END,
    (SELECT sequence FROM inbox
        WHERE user_id = ?2 AND delivered_at IS NULL AND expired_at IS NULL
            AND state <> 'withdrawn'
        ORDER BY sequence LIMIT 1),
    coalesce(d.removed, 0), CASE WHEN d.session_open THEN d.session END
FROM (SELECT 1) AS question
LEFT JOIN users AS u ON u.user_id = ?2
LEFT JOIN devices AS d ON d.user_id = ?2 AND d.device_id = ?3;

-- name: deliveries_open -> rows
-- What a device has got that comes with cursor ?4 at ?5 and was last known to be at ?3, and how often it
-- was sent at the least: what the ledger says was sent to it, and what the ledger does not know of,
-- because a node that dies takes its last lines along; but not what was rightly left out, because it
-- had expired, or came and was withdrawn in between. The first ?6 of it.
SELECT user_id, device_id, notification_id, sequence, 0
FROM deliveries
WHERE user_id = ?1 AND device_id = ?2 AND sequence <= ?4 AND acknowledged_sequence < sequence
UNION ALL
SELECT i.user_id, ?2, i.notification_id, i.sequence, 1
FROM inbox AS i
JOIN notifications AS n ON n.id = i.notification_id
LEFT JOIN deliveries AS d
    ON d.notification_id = i.notification_id AND d.user_id = i.user_id AND d.device_id = ?2
WHERE i.user_id = ?1 AND i.sequence > ?3 AND i.sequence <= ?4
    AND coalesce(d.sequence, 0) < i.sequence AND i.expired_at IS NULL
    AND (n.expires_at IS NULL OR n.expires_at > ?5)
    AND NOT (i.state = 'withdrawn' AND i.created_sequence > ?3 AND d.notification_id IS NULL)
ORDER BY sequence
LIMIT ?6;

-- name: inbox_delivered
-- Delivered is when the first of the user's devices acknowledged.
UPDATE inbox
SET delivered_at = ?3
WHERE notification_id = ?1 AND user_id = ?2 AND delivered_at IS NULL;

-- name: deliveries_record
-- Merge a ledger line: a later sequence starts the count anew, an earlier one adds nothing but
-- its times. A line whose notification the user does not have is passed over.
INSERT INTO deliveries AS d (user_id, device_id, notification_id, sequence, attempts,
    first_sent_at, acknowledged_at, acknowledged_sequence, dead_reason, unanswered_sequence)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, CASE WHEN ?7 IS NULL THEN 0 ELSE ?4 END, ?8, ?9
FROM inbox
WHERE notification_id = ?3 AND user_id = ?1
ON CONFLICT (notification_id, user_id, device_id) DO UPDATE SET
    sequence = max(d.sequence, excluded.sequence),
    attempts = CASE
        WHEN excluded.sequence > d.sequence THEN excluded.attempts
        WHEN excluded.sequence = d.sequence THEN max(d.attempts, excluded.attempts)
        ELSE d.attempts END,
    first_sent_at = min(d.first_sent_at, excluded.first_sent_at),
    acknowledged_at = coalesce(d.acknowledged_at, excluded.acknowledged_at),
    acknowledged_sequence = max(d.acknowledged_sequence, excluded.acknowledged_sequence),
    dead_reason = CASE
        WHEN excluded.sequence > d.sequence THEN excluded.dead_reason
        WHEN excluded.sequence = d.sequence THEN coalesce(excluded.dead_reason, d.dead_reason)
        ELSE d.dead_reason END,
    unanswered_sequence = CASE
        WHEN excluded.sequence > d.sequence THEN excluded.unanswered_sequence
        WHEN excluded.acknowledged_sequence > 0 OR excluded.dead_reason IS NOT NULL
            THEN CASE WHEN excluded.sequence < d.unanswered_sequence THEN d.unanswered_sequence
                ELSE 0 END
        WHEN excluded.sequence = d.sequence THEN excluded.unanswered_sequence
        ELSE d.unanswered_sequence END;

-- name: devices_save
-- A cursor only moves forward. A session, if one is named, has been opened, or has ended: then it is
-- closed, unless another has been opened since. A device that is not known any more is not made known
-- by the end of its session.
INSERT INTO devices (user_id, device_id, acknowledged, last_seen, session, session_open, doubtful)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
WHERE ?4 > 0 OR EXISTS (SELECT 1 FROM devices WHERE user_id = ?1 AND device_id = ?2)
ON CONFLICT (user_id, device_id) DO UPDATE SET
    acknowledged = max(devices.acknowledged, excluded.acknowledged),
    last_seen = max(devices.last_seen, excluded.last_seen),
    session = CASE WHEN excluded.session_open THEN excluded.session ELSE devices.session END,
    session_open = excluded.session_open
        OR (devices.session_open AND devices.session IS NOT excluded.session),
    doubtful = max(devices.doubtful, excluded.doubtful);

-- name: devices_reset
-- But that of a device which goes back, because it asked to or because its cursor pointed into a log
-- that is gone. What it has acknowledged up to the head of this moment, it may have forgotten.
INSERT INTO devices (user_id, device_id, acknowledged, last_seen, session, session_open, doubtful,
    forgotten)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (user_id, device_id) DO UPDATE SET
    acknowledged = excluded.acknowledged,
    forgotten = excluded.forgotten,
    last_seen = max(devices.last_seen, excluded.last_seen),
    session = CASE WHEN excluded.session_open THEN excluded.session ELSE devices.session END,
    session_open = excluded.session_open
        OR (devices.session_open AND devices.session IS NOT excluded.session),
    doubtful = max(devices.doubtful, excluded.doubtful),
    removed = 0,
    cleared = 0;

-- name: devices_forget
-- Of a user's devices without a name of their own, all but the ?2 that were seen last.
UPDATE devices SET removed = 1
WHERE user_id = ?1 AND device_id IN (
    SELECT device_id
    FROM devices
    WHERE user_id = ?1 AND NOT removed
        AND device_id GLOB 'device-????????-????-????-????-????????????'
    ORDER BY last_seen DESC, device_id DESC
    LIMIT -1 OFFSET ?2
);

-- name: devices_count -> rows
-- How many devices of a user have a name of their own.
SELECT ?1, count(*)
FROM devices
WHERE user_id = ?1 AND NOT removed
    AND device_id NOT GLOB 'device-????????-????-????-????-????????????';

-- name: devices_remove -> rows
UPDATE devices SET removed = 1
WHERE user_id = ?1 AND device_id = ?2 AND NOT removed
RETURNING user_id, device_id;

-- name: deliveries_sent -> rows
-- Of a notification that a device names: the oldest change that it was sent and has not answered.
SELECT user_id, device_id, notification_id,
    CASE WHEN unanswered_sequence > 0 THEN unanswered_sequence ELSE sequence END
FROM deliveries
WHERE notification_id = ?3 AND user_id = ?1 AND device_id = ?2
    AND acknowledged_sequence < sequence;
