-- Devices: their cursors, and the ledger of the entries that were sent to them.

-- name: attach_read(number, user_id, device_id)
--     -> number, head, horizon, unread, unseen, acknowledged, first_undelivered, removed, session,
--     delivered
-- The log and the cursor for `choose_start`, also of a user without a log; whether the device was
-- removed; its open session; and the sequence up to which the log is delivered. The first
-- undelivered entry behind that is searched for unknown devices only: it takes reading the log.
SELECT :number, coalesce(u.head, 0) AS head, coalesce(u.horizon, 0) AS horizon,
    coalesce(u.unread, 0) AS unread, coalesce(u.unseen, 0) AS unseen,
    CASE WHEN NOT d.removed THEN d.acknowledged END AS acknowledged,
    CASE WHEN d.device_id IS NULL OR d.removed THEN (
        SELECT sequence FROM inbox
        WHERE user_id = :user_id AND sequence > u.delivered
            AND delivered_at IS NULL AND expired_at IS NULL AND state <> 'withdrawn'
        ORDER BY sequence LIMIT 1
    ) END AS first_undelivered,
    coalesce(d.removed, 0) AS removed, CASE WHEN d.session_open THEN d.session END AS session,
    coalesce(u.delivered, 0) AS delivered
FROM (SELECT 1) AS question
LEFT JOIN users AS u ON u.user_id = :user_id
LEFT JOIN devices AS d ON d.user_id = :user_id AND d.device_id = :device_id;

-- name: users_delivered(user_id, delivered)
-- Note the sequence up to which a log is delivered, so that no later command goes through these
-- entries again.
UPDATE users SET delivered = max(delivered, :delivered) WHERE user_id = :user_id;

-- name: deliveries_open(user_id, device_id, stored, cursor, at, lines_max)
--     -> user_id, device_id, notification_id, sequence, attempts
-- What a device has got that comes with cursor `cursor` at `at` and was last known to be at
-- `stored`, and how often it was sent at the least: what the ledger says was sent to it, and what
-- the ledger does not know of, because a node that dies takes its last lines along; but not what
-- was rightly left out, because it had expired, came and was withdrawn in between, or is dead for
-- the device: `pages` passes over it, and so does a cursor. The first `lines_max` of it.
SELECT user_id, device_id, notification_id, sequence, 0
FROM deliveries
WHERE user_id = :user_id AND device_id = :device_id AND sequence <= :cursor
    AND acknowledged_sequence < sequence AND dead_reason IS NULL
UNION ALL
SELECT i.user_id, :device_id, i.notification_id, i.sequence, 1
FROM inbox AS i
JOIN notifications AS n ON n.id = i.notification_id
LEFT JOIN deliveries AS d
    ON d.notification_id = i.notification_id AND d.user_id = i.user_id AND d.device_id = :device_id
WHERE i.user_id = :user_id AND i.sequence > :stored AND i.sequence <= :cursor
    AND coalesce(d.sequence, 0) < i.sequence AND i.expired_at IS NULL
    AND (n.expires_at IS NULL OR n.expires_at > :at)
    AND NOT (i.state = 'withdrawn' AND i.created_sequence > :stored AND d.notification_id IS NULL)
ORDER BY sequence
LIMIT :lines_max;

-- name: inbox_delivered(notification_id, user_id, device_id, at)
-- The time of delivery is that of the first acknowledgment by any device of the user. A row that
-- was not delivered before becomes a receipt, if a sink wants to hear of it: that is looked up once
-- for all rows, so that it costs nothing while none does.
-- when: SELECT 1 FROM sinks WHERE instr(events, ',delivered,') > 0 LIMIT 1
INSERT INTO receipts (position, kind, notification_id, category, user_id, device_id, at)
SELECT max(l.head, (SELECT coalesce(max(r.position), 0) FROM receipts AS r)) + 1, 'delivered',
    i.notification_id, n.category, i.user_id, :device_id, :at
FROM inbox AS i
JOIN receipt_log AS l ON l.name = 'receipts'
LEFT JOIN notifications AS n ON n.id = i.notification_id
WHERE i.notification_id = :notification_id AND i.user_id = :user_id AND i.delivered_at IS NULL
    AND EXISTS (
        SELECT 1 FROM sinks AS s
        WHERE instr(s.events, ',delivered,') > 0
            AND (s.categories = '' OR instr(s.categories, ',' || n.category || ',') > 0)
    );
-- then
-- when: SELECT 1 FROM sinks WHERE instr(events, ',delivered,') > 0 LIMIT 1
UPDATE receipt_log
SET head = (SELECT max(position) FROM receipts WHERE position > head)
WHERE name = 'receipts' AND EXISTS (SELECT 1 FROM receipts WHERE position > head AND at = :at);
-- then
UPDATE inbox
SET delivered_at = :at
WHERE notification_id = :notification_id AND user_id = :user_id AND delivered_at IS NULL;

-- name: deliveries_record(user_id, device_id, notification_id, sequence, attempts, first_sent_at,
--     acknowledged_at, dead_reason, unanswered_sequence)
-- Merge a ledger line: a later sequence starts the count of attempts anew, an earlier one adds only
-- its times. A line whose notification the user does not have is passed over.
INSERT INTO deliveries AS d (user_id, device_id, notification_id, sequence, attempts,
    first_sent_at, acknowledged_at, acknowledged_sequence, dead_reason, unanswered_sequence)
SELECT :user_id, :device_id, :notification_id, :sequence, :attempts, :first_sent_at,
    :acknowledged_at, CASE WHEN :acknowledged_at IS NULL THEN 0
        ELSE :sequence END, :dead_reason, :unanswered_sequence
FROM inbox
WHERE notification_id = :notification_id AND user_id = :user_id
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

-- name: devices_save(user_id, device_id, acknowledged, last_seen, session, opened, doubtful)
-- A cursor only moves forward. A session, if one is named, has been opened (`opened`), or has
-- ended: then it is closed, unless another one has been opened since. The end of a session does not
-- make a forgotten device known again.
INSERT INTO devices (user_id, device_id, acknowledged, last_seen, session, session_open, doubtful)
SELECT :user_id, :device_id, :acknowledged, :last_seen, :session, :opened, :doubtful
WHERE :last_seen > 0 OR EXISTS (SELECT 1 FROM devices WHERE user_id = :user_id
    AND device_id = :device_id)
ON CONFLICT (user_id, device_id) DO UPDATE SET
    acknowledged = max(devices.acknowledged, excluded.acknowledged),
    last_seen = max(devices.last_seen, excluded.last_seen),
    session = CASE WHEN excluded.session_open THEN excluded.session ELSE devices.session END,
    session_open = excluded.session_open
        OR (devices.session_open AND devices.session IS NOT excluded.session),
    doubtful = max(devices.doubtful, excluded.doubtful);

-- name: devices_reset(user_id, device_id, acknowledged, last_seen, session, opened, doubtful,
--     forgotten)
-- Set the cursor of a device that goes back, at its own wish or because its cursor is of a log that
-- is gone. The device may have forgotten entries that it acknowledged, up to the head of this
-- moment (`forgotten`): they are sent again.
INSERT INTO devices (user_id, device_id, acknowledged, last_seen, session, session_open, doubtful,
    forgotten)
VALUES (:user_id, :device_id, :acknowledged, :last_seen, :session, :opened, :doubtful, :forgotten)
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

-- name: devices_forget(user_id, most)
-- Forget a user's unnamed devices but the `most` that were seen last.
UPDATE devices SET removed = 1
WHERE user_id = :user_id AND device_id IN (
    SELECT device_id
    FROM devices
    WHERE user_id = :user_id AND NOT removed
        AND device_id GLOB 'device-????????-????-????-????-????????????'
    ORDER BY last_seen DESC, device_id DESC
    LIMIT -1 OFFSET :most
);

-- name: devices_count(user_id) -> user_id, devices
-- The number of named devices of a user.
SELECT :user_id, count(*) AS devices
FROM devices
WHERE user_id = :user_id AND NOT removed
    AND device_id NOT GLOB 'device-????????-????-????-????-????????????';

-- name: devices_remove(user_id, device_id) -> user_id, device_id
UPDATE devices SET removed = 1
WHERE user_id = :user_id AND device_id = :device_id AND NOT removed
RETURNING user_id, device_id;

-- name: deliveries_sent(user_id, device_id, notification_id)
--     -> user_id, device_id, notification_id, sequence
-- The oldest change of a notification that the device was sent and has not answered.
SELECT user_id, device_id, notification_id,
    CASE WHEN unanswered_sequence > 0 THEN unanswered_sequence ELSE sequence END
FROM deliveries
WHERE notification_id = :notification_id AND user_id = :user_id AND device_id = :device_id
    AND acknowledged_sequence < sequence;
