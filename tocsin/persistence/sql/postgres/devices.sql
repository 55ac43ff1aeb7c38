-- Devices: their cursors, and the ledger of the entries that were sent to them.

-- name: attach_read(number, user_id, device_id)
--     -> number, head, horizon, unread, unseen, acknowledged, first_undelivered, removed, session,
--     delivered
-- The log and the cursor for `choose_start`, also of a user without a log; whether the device was
-- removed; its open session; and the sequence up to which the log is delivered. The first
-- undelivered entry behind that is searched for unknown devices only: it takes reading the log.
SELECT asked.number, coalesce(u.head, 0) AS head, coalesce(u.horizon, 0) AS horizon,
    coalesce(u.unread, 0) AS unread, coalesce(u.unseen, 0) AS unseen,
    CASE WHEN NOT d.removed THEN d.acknowledged END AS acknowledged,
    undelivered.sequence AS first_undelivered, coalesce(d.removed, false) AS removed,
    CASE WHEN d.session_open THEN d.session END AS session, coalesce(u.delivered, 0) AS delivered
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS asked (number, user_id, device_id)
LEFT JOIN users AS u ON u.user_id = asked.user_id
LEFT JOIN devices AS d ON d.user_id = asked.user_id AND d.device_id = asked.device_id
LEFT JOIN LATERAL (
    SELECT i.sequence
    FROM inbox AS i
    WHERE i.user_id = asked.user_id AND i.sequence > u.delivered
        AND (d.device_id IS NULL OR d.removed)
        AND i.delivered_at IS NULL AND i.expired_at IS NULL AND i.state <> 'withdrawn'
    ORDER BY i.sequence
    LIMIT 1
) AS undelivered ON true;

-- name: users_delivered(user_id, delivered)
-- Note the sequence up to which a log is delivered, so that no later command goes through these
-- entries again. It is only a hint, so a log that is locked is passed over.
UPDATE users AS u
SET delivered = greatest(u.delivered, found.delivered)
FROM (
    SELECT locked.user_id, looked.delivered
    FROM unnest($1::text[], $2::bigint[]) AS looked (user_id, delivered)
    JOIN users AS locked ON locked.user_id = looked.user_id
    FOR UPDATE OF locked SKIP LOCKED
) AS found
WHERE u.user_id = found.user_id;

-- name: deliveries_open(user_id, device_id, stored, cursor, at, lines_max)
--     -> user_id, device_id, notification_id, sequence, attempts
-- What each device has got that comes with a cursor and was last known to be at `stored`, and how
-- often it was sent at the least: what the ledger says was sent to it, and what the ledger does not
-- know of, because a node that dies takes its last lines along; but not what was rightly left out,
-- because it had expired, came and was withdrawn in between, or is dead for the device: `pages`
-- passes over it, and so does a cursor. Of each device the first `lines_max`.
SELECT asked.user_id, asked.device_id, line.notification_id, line.sequence, line.attempts
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS asked (user_id, device_id, stored, cursor, at, lines_max)
CROSS JOIN LATERAL (
    SELECT d.notification_id, d.sequence, 0 AS attempts
    FROM deliveries AS d
    WHERE d.user_id = asked.user_id AND d.device_id = asked.device_id
        AND d.sequence <= asked.cursor AND d.acknowledged_sequence < d.sequence
        AND d.dead_reason IS NULL
    UNION ALL
    SELECT i.notification_id, i.sequence, 1
    FROM inbox AS i
    JOIN notifications AS n ON n.id = i.notification_id
    LEFT JOIN deliveries AS d ON d.notification_id = i.notification_id
        AND d.user_id = i.user_id AND d.device_id = asked.device_id
    WHERE i.user_id = asked.user_id
        AND i.sequence > asked.stored AND i.sequence <= asked.cursor
        AND coalesce(d.sequence, 0) < i.sequence AND i.expired_at IS NULL
        AND (n.expires_at IS NULL OR n.expires_at > asked.at)
        AND NOT (i.state = 'withdrawn' AND i.created_sequence > asked.stored
            AND d.notification_id IS NULL)
    ORDER BY sequence
    LIMIT asked.lines_max
) AS line;

-- name: inbox_delivered(notification_id, user_id, device_id, at)
-- The time of delivery is that of the first acknowledgment by any device of the user. Rows that
-- were not delivered before become receipts, in the order in which they were given, if a sink wants
-- to hear of it: here, because a statement that returned them would cost each transaction a round
-- trip. While no sink does, the log's head is not touched.
WITH delivered AS (
    UPDATE inbox AS i
    SET delivered_at = acknowledged.at
    FROM (
        SELECT line.notification_id, line.user_id, line.at
        FROM unnest($1::text[], $2::text[], $4::bigint[]) AS line (notification_id, user_id, at)
        ORDER BY line.notification_id COLLATE "C", line.user_id COLLATE "C"
    ) AS acknowledged
    WHERE i.notification_id = acknowledged.notification_id AND i.user_id = acknowledged.user_id
        AND i.delivered_at IS NULL
    RETURNING i.notification_id, i.user_id
), wanted AS (
    SELECT d.notification_id, n.category, d.user_id, f.device_id, f.at,
        row_number() OVER (ORDER BY f.number) AS number
    FROM delivered AS d
    CROSS JOIN LATERAL (
        SELECT g.device_id, g.at, g.number
        FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY
            AS g (notification_id, user_id, device_id, at, number)
        WHERE g.notification_id = d.notification_id AND g.user_id = d.user_id
        OFFSET 0
    ) AS f
    LEFT JOIN notifications AS n ON n.id = d.notification_id
    WHERE EXISTS (
        SELECT 1 FROM sinks AS s
        WHERE s.kind IN ('webhook', 'reader', 'broker') AND strpos(s.events, ',delivered,') > 0
    ) AND EXISTS (
        SELECT 1 FROM sinks AS s
        WHERE s.kind IN ('webhook', 'reader', 'broker') AND strpos(s.events, ',delivered,') > 0
            AND (s.categories = '' OR strpos(s.categories, ',' || n.category || ',') > 0)
        OFFSET 0
    )
), advanced AS (
    UPDATE receipt_log AS l
    SET head = l.head + counted.count
    FROM (SELECT count(*) AS count FROM wanted) AS counted
    WHERE l.name = 'receipts' AND counted.count > 0
    RETURNING l.head - counted.count AS base
)
INSERT INTO receipts (position, kind, notification_id, category, user_id, device_id, at)
SELECT a.base + w.number, 'delivered', w.notification_id, w.category, w.user_id, w.device_id, w.at
FROM advanced AS a
CROSS JOIN wanted AS w;

-- name: deliveries_record(user_id, device_id, notification_id, sequence, attempts, first_sent_at,
--     acknowledged_at, dead_reason, unanswered_sequence)
-- Merge ledger lines: a later sequence starts the count of attempts anew, an earlier one adds only
-- its times. A line whose notification the user does not have is passed over.
INSERT INTO deliveries AS d (user_id, device_id, notification_id, sequence, attempts,
    first_sent_at, acknowledged_at, acknowledged_sequence, dead_reason, unanswered_sequence)
SELECT line.user_id, line.device_id, line.notification_id, line.sequence, line.attempts,
    line.first_sent_at, line.acknowledged_at,
    CASE WHEN line.acknowledged_at IS NULL THEN 0 ELSE line.sequence END, line.dead_reason,
    line.unanswered_sequence
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::bigint[],
    $7::bigint[], $8::text[], $9::bigint[])
    AS line (user_id, device_id, notification_id, sequence, attempts, first_sent_at,
        acknowledged_at, dead_reason, unanswered_sequence)
WHERE EXISTS (
    SELECT 1 FROM inbox AS i
    WHERE i.notification_id = line.notification_id AND i.user_id = line.user_id
)
ORDER BY line.notification_id COLLATE "C", line.user_id COLLATE "C", line.device_id COLLATE "C"
ON CONFLICT (notification_id, user_id, device_id) DO UPDATE SET
    sequence = greatest(d.sequence, excluded.sequence),
    attempts = CASE
        WHEN excluded.sequence > d.sequence THEN excluded.attempts
        WHEN excluded.sequence = d.sequence THEN greatest(d.attempts, excluded.attempts)
        ELSE d.attempts END,
    first_sent_at = least(d.first_sent_at, excluded.first_sent_at),
    acknowledged_at = coalesce(d.acknowledged_at, excluded.acknowledged_at),
    acknowledged_sequence = greatest(d.acknowledged_sequence, excluded.acknowledged_sequence),
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
INSERT INTO devices AS d (user_id, device_id, acknowledged, last_seen, session, session_open,
    doubtful)
SELECT user_id, device_id, acknowledged, last_seen, session, opened, doubtful
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::boolean[],
    $7::bigint[])
    AS moved (user_id, device_id, acknowledged, last_seen, session, opened, doubtful)
WHERE moved.last_seen > 0 OR EXISTS (
    SELECT 1 FROM devices AS k
    WHERE k.user_id = moved.user_id AND k.device_id = moved.device_id
)
ORDER BY user_id COLLATE "C", device_id COLLATE "C"
ON CONFLICT (user_id, device_id) DO UPDATE SET
    acknowledged = greatest(d.acknowledged, excluded.acknowledged),
    last_seen = greatest(d.last_seen, excluded.last_seen),
    session = CASE WHEN excluded.session_open THEN excluded.session ELSE d.session END,
    session_open = excluded.session_open
        OR (d.session_open AND d.session IS DISTINCT FROM excluded.session),
    doubtful = greatest(d.doubtful, excluded.doubtful);

-- name: devices_reset(user_id, device_id, acknowledged, last_seen, session, opened, doubtful,
--     forgotten)
-- Set the cursor of a device that goes back, at its own wish or because its cursor is of a log that
-- is gone. The device may have forgotten entries that it acknowledged, up to the head of this
-- moment (`forgotten`): they are sent again.
INSERT INTO devices AS d (user_id, device_id, acknowledged, last_seen, session, session_open,
    doubtful, forgotten)
SELECT user_id, device_id, acknowledged, last_seen, session, opened, doubtful, forgotten
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::boolean[],
    $7::bigint[], $8::bigint[])
    AS moved (user_id, device_id, acknowledged, last_seen, session, opened, doubtful, forgotten)
ORDER BY user_id COLLATE "C", device_id COLLATE "C"
ON CONFLICT (user_id, device_id) DO UPDATE SET
    acknowledged = excluded.acknowledged,
    forgotten = excluded.forgotten,
    last_seen = greatest(d.last_seen, excluded.last_seen),
    session = CASE WHEN excluded.session_open THEN excluded.session ELSE d.session END,
    session_open = excluded.session_open
        OR (d.session_open AND d.session IS DISTINCT FROM excluded.session),
    doubtful = greatest(d.doubtful, excluded.doubtful),
    removed = false,
    cleared = 0;

-- name: devices_forget(user_id, most)
-- Forget a user's unnamed devices but the `most` that were seen last.
UPDATE devices AS d
SET removed = true
FROM (
    SELECT asked.user_id, old.device_id
    FROM unnest($1::text[], $2::int[]) AS asked (user_id, most)
    CROSS JOIN LATERAL (
        SELECT o.device_id
        FROM devices AS o
        WHERE o.user_id = asked.user_id AND NOT o.removed
            AND o.device_id LIKE 'device-________-____-____-____-____________'
        ORDER BY o.last_seen DESC, o.device_id DESC
        OFFSET asked.most
    ) AS old
) AS gone
WHERE d.user_id = gone.user_id AND d.device_id = gone.device_id;

-- name: devices_count(user_id) -> user_id, devices
-- The number of named devices of each user.
SELECT asked.user_id, counted.devices
FROM unnest($1::text[]) AS asked (user_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS devices
    FROM devices AS d
    WHERE d.user_id = asked.user_id AND NOT d.removed
        AND d.device_id NOT LIKE 'device-________-____-____-____-____________'
) AS counted;

-- name: devices_remove(user_id, device_id) -> user_id, device_id
UPDATE devices AS d
SET removed = true
FROM (
    SELECT user_id, device_id
    FROM unnest($1::text[], $2::text[]) AS named (user_id, device_id)
    ORDER BY user_id COLLATE "C", device_id COLLATE "C"
) AS gone
WHERE d.user_id = gone.user_id AND d.device_id = gone.device_id AND NOT d.removed
RETURNING d.user_id, d.device_id;

-- name: deliveries_sent(user_id, device_id, notification_id)
--     -> user_id, device_id, notification_id, sequence
-- The oldest change of each notification that the device was sent and has not answered.
SELECT d.user_id, d.device_id, d.notification_id,
    CASE WHEN d.unanswered_sequence > 0 THEN d.unanswered_sequence ELSE d.sequence END
FROM unnest($1::text[], $2::text[], $3::text[]) AS named (user_id, device_id, notification_id)
JOIN deliveries AS d ON d.notification_id = named.notification_id
    AND d.user_id = named.user_id AND d.device_id = named.device_id
WHERE d.acknowledged_sequence < d.sequence;
