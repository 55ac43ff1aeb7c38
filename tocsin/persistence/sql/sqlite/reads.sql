-- What is asked of the store. The number that some questions carry (?1) comes back with their
-- rows: one statement answers many questions, and two of them may be the same.

-- name: users_read -> rows
-- Where a log is; and, if ?2 asks for it, whether the user's topics have gone on without it. What is
-- due at ?3 and has not expired yet is not counted, as in `attach_read`.
SELECT user_id, head,
    unread - (
        SELECT count(one) FROM (
            SELECT (
                SELECT 1 FROM inbox AS i
                WHERE i.notification_id = n.id AND i.user_id = ?1
                    AND i.state IN ('unseen', 'seen') AND i.expired_at IS NULL
            ) AS one
            FROM notifications AS n
            WHERE n.standing = 'active' AND n.expires_at IS NOT NULL AND n.expires_at <= ?3
            ORDER BY n.expires_at
            LIMIT 1000
        )
    ),
    unseen - (
        SELECT count(one) FROM (
            SELECT (
                SELECT 1 FROM inbox AS i
                WHERE i.notification_id = n.id AND i.user_id = ?1
                    AND i.state = 'unseen' AND i.expired_at IS NULL
            ) AS one
            FROM notifications AS n
            WHERE n.standing = 'active' AND n.expires_at IS NOT NULL AND n.expires_at <= ?3
            ORDER BY n.expires_at
            LIMIT 1000
        )
    ),
    ?2 AND EXISTS (
        SELECT 1
        FROM subscriptions AS s
        JOIN topics AS t ON t.topic = s.topic
        WHERE s.user_id = ?1 AND s.position < t.head
    )
FROM users
WHERE user_id = ?1;

-- name: users_read_last -> rows
-- Without what is due at ?2, as in `users_read`.
SELECT user_id, horizon,
    unread - (
        SELECT count(one) FROM (
            SELECT (
                SELECT 1 FROM inbox AS i
                WHERE i.notification_id = n.id AND i.user_id = ?1
                    AND i.state IN ('unseen', 'seen') AND i.expired_at IS NULL
            ) AS one
            FROM notifications AS n
            WHERE n.standing = 'active' AND n.expires_at IS NOT NULL AND n.expires_at <= ?2
            ORDER BY n.expires_at
            LIMIT 1000
        )
    ),
    unseen - (
        SELECT count(one) FROM (
            SELECT (
                SELECT 1 FROM inbox AS i
                WHERE i.notification_id = n.id AND i.user_id = ?1
                    AND i.state = 'unseen' AND i.expired_at IS NULL
            ) AS one
            FROM notifications AS n
            WHERE n.standing = 'active' AND n.expires_at IS NOT NULL AND n.expires_at <= ?2
            ORDER BY n.expires_at
            LIMIT 1000
        )
    ),
    head
FROM users
WHERE user_id = ?1;

-- name: pages -> rows
-- A device's next entries: ?2 user, ?3 device, ?4 start, ?5 after, ?6 most entries, ?7 most bytes,
-- ?8 the head when its session began, ?9 whether that goes on from an earlier one, ?10 what the
-- device's counters count (the first entry always fits). What the device has acknowledged is left
-- out, but for what it has forgotten since (`devices.forgotten`). What it may have without the ledger
-- knowing (`devices.doubtful`), it is told of if that is withdrawn. `candidates` counts one entry
-- beyond the limit, so that the page knows whether it is the last.
SELECT ?1, sequence, notification_id, change, document, state, seen_at, read_at, attempts,
    expires_at, candidates
FROM (
    SELECT candidate.*,
        count(*) OVER () AS candidates,
        sum(document_bytes) OVER (ORDER BY sequence) AS bytes,
        row_number() OVER (ORDER BY sequence) AS place
    FROM (
        SELECT i.sequence, i.notification_id, i.state, i.seen_at, i.read_at, n.document,
            n.document_bytes, n.expires_at,
            CASE WHEN i.created_sequence > ?4 AND i.state <> 'withdrawn'
                AND (i.sequence <= ?8 OR i.created_sequence > ?5)
                AND NOT (?9 AND d.notification_id IS NOT NULL)
                THEN 'created' ELSE i.change END AS change,
            CASE WHEN d.sequence = i.sequence AND d.acknowledged_sequence < i.sequence
                THEN d.attempts ELSE 0 END AS attempts
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        LEFT JOIN deliveries AS d
            ON d.notification_id = i.notification_id AND d.user_id = ?2 AND d.device_id = ?3
        WHERE i.user_id = ?2 AND i.sequence > ?5
            AND i.expired_at IS NULL
            AND NOT (i.state = 'withdrawn' AND i.created_sequence > ?4
                AND (i.sequence <= ?8 OR i.created_sequence > ?5)
                AND NOT (?9 AND (d.notification_id IS NOT NULL
                    OR i.created_sequence <= (SELECT doubtful FROM devices
                        WHERE user_id = ?2 AND device_id = ?3)))
                AND NOT (i.created_sequence <= ?10 AND i.sequence > ?10))
            AND (coalesce(d.acknowledged_sequence, 0) < i.sequence
                OR i.sequence <= (SELECT forgotten FROM devices
                    WHERE user_id = ?2 AND device_id = ?3))
            AND NOT (d.dead_reason IS NOT NULL AND d.sequence >= i.sequence)
        ORDER BY i.sequence
        LIMIT ?6 + 1
    ) AS candidate
) AS page
WHERE place <= ?6 AND (bytes <= ?7 OR place = 1)
ORDER BY sequence;

-- name: inbox_page -> rows
-- A user's (?2) inbox, newest created first: ?3 states between commas, ?4 category or NULL, ?5
-- most items, ?6 the created sequence to stay below, ?7 the time, ?8 most bytes (the first item
-- always fits). An index has them in this order, so what a page costs does not depend on how far back
-- it is; and documents are read only of what is in it. One item more, without a document, says that the
-- page is not the last. (`ROWS`, since the usual frame looks for peers, at twice the price.)
SELECT ?1, page.created_sequence,
    CASE WHEN page.place <= ?5 AND (page.bytes <= ?8 OR page.place = 1)
        THEN (SELECT document FROM notifications WHERE id = page.notification_id) END,
    page.state, page.seen_at, page.read_at
FROM (
    SELECT candidate.*,
        sum(document_bytes) OVER running AS bytes,
        row_number() OVER running AS place
    FROM (
        SELECT i.created_sequence, i.notification_id, i.state, i.seen_at, i.read_at,
            n.document_bytes
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        WHERE i.user_id = ?2 AND i.created_sequence < ?6
            AND i.expired_at IS NULL
            AND instr(?3, ',' || i.state || ',') > 0
            AND (n.expires_at IS NULL OR n.expires_at > ?7)
            AND (?4 IS NULL OR n.category = ?4)
        ORDER BY i.created_sequence DESC
        LIMIT ?5 + 1
    ) AS candidate
    WINDOW running AS (ORDER BY created_sequence DESC ROWS UNBOUNDED PRECEDING)
) AS page
WHERE page.bytes - page.document_bytes <= ?8 OR page.place = 2
ORDER BY page.created_sequence DESC;

-- name: inbox_page_unread -> rows
-- The same of what is unread, by an index of its own: there may be little of it among much else.
SELECT ?1, page.created_sequence,
    CASE WHEN page.place <= ?5 AND (page.bytes <= ?8 OR page.place = 1)
        THEN (SELECT document FROM notifications WHERE id = page.notification_id) END,
    page.state, page.seen_at, page.read_at
FROM (
    SELECT candidate.*,
        sum(document_bytes) OVER running AS bytes,
        row_number() OVER running AS place
    FROM (
        SELECT i.created_sequence, i.notification_id, i.state, i.seen_at, i.read_at,
            n.document_bytes
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        WHERE i.user_id = ?2 AND i.created_sequence < ?6
            AND i.expired_at IS NULL
            AND i.state IN ('unseen', 'seen')
            AND instr(?3, ',' || i.state || ',') > 0
            AND (n.expires_at IS NULL OR n.expires_at > ?7)
            AND (?4 IS NULL OR n.category = ?4)
        ORDER BY i.created_sequence DESC
        LIMIT ?5 + 1
    ) AS candidate
    WINDOW running AS (ORDER BY created_sequence DESC ROWS UNBOUNDED PRECEDING)
) AS page
WHERE page.bytes - page.document_bytes <= ?8 OR page.place = 2
ORDER BY page.created_sequence DESC;

-- name: inbox_page_archived -> rows
-- The same of what is archived, by an index of its own: there may be little of it among much else.
SELECT ?1, page.created_sequence,
    CASE WHEN page.place <= ?5 AND (page.bytes <= ?8 OR page.place = 1)
        THEN (SELECT document FROM notifications WHERE id = page.notification_id) END,
    page.state, page.seen_at, page.read_at
FROM (
    SELECT candidate.*,
        sum(document_bytes) OVER running AS bytes,
        row_number() OVER running AS place
    FROM (
        SELECT i.created_sequence, i.notification_id, i.state, i.seen_at, i.read_at,
            n.document_bytes
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        WHERE i.user_id = ?2 AND i.created_sequence < ?6
            AND i.expired_at IS NULL
            AND i.state = 'archived'
            AND instr(?3, ',' || i.state || ',') > 0
            AND (n.expires_at IS NULL OR n.expires_at > ?7)
            AND (?4 IS NULL OR n.category = ?4)
        ORDER BY i.created_sequence DESC
        LIMIT ?5 + 1
    ) AS candidate
    WINDOW running AS (ORDER BY created_sequence DESC ROWS UNBOUNDED PRECEDING)
) AS page
WHERE page.bytes - page.document_bytes <= ?8 OR page.place = 2
ORDER BY page.created_sequence DESC;

-- name: inbox_item -> rows
SELECT ?1, i.created_sequence, n.document, i.state, i.seen_at, i.read_at
FROM inbox AS i
JOIN notifications AS n ON n.id = i.notification_id
WHERE i.user_id = ?2 AND i.notification_id = ?3 AND i.expired_at IS NULL
    AND (n.expires_at IS NULL OR n.expires_at > ?4);

-- name: devices_list -> rows
-- The devices of user ?2 behind device ?3, at most ?4, or only ?5.
SELECT ?1, device_id, acknowledged, last_seen
FROM devices
WHERE user_id = ?2 AND device_id > ?3 AND NOT removed AND (?5 IS NULL OR device_id = ?5)
ORDER BY device_id
LIMIT ?4;

-- name: subscriptions_read -> rows
-- The topics that a user is in, or (?2) has been in, but for the one of everyone.
SELECT user_id, topic
FROM subscriptions
WHERE user_id = ?1 AND (active OR ?2) AND topic <> '*'
ORDER BY topic;

-- name: subscribers_page -> rows
-- The users in topic ?2 behind user ?3, at most ?4.
SELECT ?1, user_id
FROM subscriptions
WHERE topic = ?2 AND active AND user_id > ?3
ORDER BY user_id
LIMIT ?4;

-- name: preferences_read -> rows
SELECT user_id, kind, name, enabled
FROM preferences
WHERE user_id = ?1
ORDER BY kind, name;

-- name: notifications_read -> rows
SELECT id, revision, category, created_at, updated_at, expires_at, document, standing,
    priority, topic, collapse_key, recipients
FROM notifications
WHERE id = ?1;

-- name: recipients_count -> rows
-- How many recipients a notification has and how far they are. `dead` are those to whom nothing
-- was delivered and at least one device was given up.
SELECT ?1, count(*), count(delivered_at), count(seen_at), count(read_at),
    count(*) FILTER (WHERE delivered_at IS NULL AND dead),
    count(*) FILTER (WHERE delivered_at IS NULL AND NOT dead AND expired_at IS NOT NULL)
FROM (
    SELECT i.delivered_at, i.seen_at, i.read_at, i.expired_at,
        EXISTS (
            SELECT 1 FROM deliveries AS d
            WHERE d.notification_id = i.notification_id AND d.user_id = i.user_id
                AND d.dead_reason IS NOT NULL
        ) AS dead
    FROM inbox AS i
    WHERE i.notification_id = ?1
) AS recipient;

-- name: deliveries_page -> rows
-- The ledger of notification ?2 behind user ?3 and device ?4, at most ?5 lines.
SELECT ?1, user_id, device_id, attempts, first_sent_at, acknowledged_at, dead_reason,
    acknowledged_sequence >= sequence
FROM deliveries
WHERE notification_id = ?2 AND (user_id, device_id) > (?3, ?4)
ORDER BY user_id, device_id
LIMIT ?5;
