-- What is asked of the store. The number that some questions carry comes back with their rows:
-- one statement answers many questions, and two of them may be the same.

-- name: users_read -> rows
-- Where logs are; and, where that is asked for, whether the user's topics have gone on without them.
-- What is due and has not expired yet is not counted, as in `attach_read`.
SELECT u.user_id, u.head, u.unread - due.unread, u.unseen - due.unseen,
    CASE WHEN asked.topics THEN EXISTS (
        SELECT 1
        FROM subscriptions AS s
        JOIN topics AS t ON t.topic = s.topic
        WHERE s.user_id = u.user_id AND s.position < t.head
    ) ELSE false END
FROM unnest($1::text[], $2::boolean[], $3::bigint[]) AS asked (user_id, topics, now_ms)
JOIN users AS u ON u.user_id = asked.user_id
CROSS JOIN LATERAL (
    SELECT count(*) AS unread, count(*) FILTER (WHERE mine.state = 'unseen') AS unseen
    FROM (
        SELECT n.id FROM notifications AS n
        WHERE n.standing = 'active' AND n.expires_at IS NOT NULL AND n.expires_at <= asked.now_ms
        ORDER BY n.expires_at
        LIMIT 1000
    ) AS late
    CROSS JOIN LATERAL (
        -- The limit is a fence: the other way round would go through all that the user has not read.
        SELECT i.state FROM inbox AS i
        WHERE i.notification_id = late.id AND i.user_id = asked.user_id
            AND i.state IN ('unseen', 'seen') AND i.expired_at IS NULL
        LIMIT 1
    ) AS mine
) AS due;

-- name: users_read_last -> rows
-- Without what is due, as in `users_read`.
SELECT u.user_id, u.horizon, u.unread - due.unread, u.unseen - due.unseen, u.head
FROM unnest($1::text[], $2::bigint[]) AS asked (user_id, now_ms)
JOIN users AS u ON u.user_id = asked.user_id
CROSS JOIN LATERAL (
    SELECT count(*) AS unread, count(*) FILTER (WHERE mine.state = 'unseen') AS unseen
    FROM (
        SELECT n.id FROM notifications AS n
        WHERE n.standing = 'active' AND n.expires_at IS NOT NULL AND n.expires_at <= asked.now_ms
        ORDER BY n.expires_at
        LIMIT 1000
    ) AS late
    CROSS JOIN LATERAL (
        -- The limit is a fence: the other way round would go through all that the user has not read.
        SELECT i.state FROM inbox AS i
        WHERE i.notification_id = late.id AND i.user_id = asked.user_id
            AND i.state IN ('unseen', 'seen') AND i.expired_at IS NULL
        LIMIT 1
    ) AS mine
) AS due;

-- name: pages -> rows
-- Each device's next entries, at most `entries_max` and `bytes_max` bytes of documents (the first
-- entry always fits). What a device has acknowledged is left out, but for what it has forgotten
-- since (`devices.forgotten`). What it may have without the ledger knowing (`devices.doubtful`), it is
-- told of if that is withdrawn. `candidates` counts one entry beyond the limit, so that the page knows
-- whether it is the last.
SELECT asked.number, page.sequence, page.notification_id, page.change, page.document, page.state,
    page.seen_at, page.read_at, page.attempts, page.expires_at, page.candidates
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::boolean[], $10::bigint[])
    AS asked (number, user_id, device_id, start, after, entries_max, bytes_max, began, resumed,
        counted)
LEFT JOIN devices AS known
    ON known.user_id = asked.user_id AND known.device_id = asked.device_id
CROSS JOIN LATERAL (
    SELECT candidate.*,
        count(*) OVER () AS candidates,
        sum(candidate.document_bytes) OVER (ORDER BY candidate.sequence) AS bytes,
        row_number() OVER (ORDER BY candidate.sequence) AS place
    FROM (
        SELECT i.sequence, i.notification_id, i.state, i.seen_at, i.read_at, n.document,
            n.document_bytes, n.expires_at,
            CASE WHEN i.created_sequence > asked.start AND i.state <> 'withdrawn'
                AND (i.sequence <= asked.began OR i.created_sequence > asked.after)
                AND NOT (asked.resumed AND d.notification_id IS NOT NULL)
                THEN 'created' ELSE i.change END AS change,
            CASE WHEN d.sequence = i.sequence AND d.acknowledged_sequence < i.sequence
                THEN d.attempts ELSE 0 END AS attempts
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        LEFT JOIN deliveries AS d
            ON d.notification_id = i.notification_id AND d.user_id = asked.user_id
            AND d.device_id = asked.device_id
        WHERE i.user_id = asked.user_id AND i.sequence > asked.after
            AND i.expired_at IS NULL
            AND NOT (i.state = 'withdrawn' AND i.created_sequence > asked.start
                AND (i.sequence <= asked.began OR i.created_sequence > asked.after)
                AND NOT (asked.resumed AND (d.notification_id IS NOT NULL
                    OR i.created_sequence <= known.doubtful))
                AND NOT (i.created_sequence <= asked.counted AND i.sequence > asked.counted))
            AND (coalesce(d.acknowledged_sequence, 0) < i.sequence
                OR i.sequence <= known.forgotten)
            AND (d.dead_reason IS NULL OR d.sequence < i.sequence)
        ORDER BY i.sequence
        LIMIT asked.entries_max + 1
    ) AS candidate
) AS page
WHERE page.place <= asked.entries_max AND (page.bytes <= asked.bytes_max OR page.place = 1)
ORDER BY asked.number, page.sequence;

-- name: inbox_page -> rows
-- Inboxes, newest created first: states between commas, a category or NULL, most items, the created
-- sequence to stay below, the time, and most bytes (the first item always fits). An index has them in
-- this order, so what a page costs does not depend on how far back it is; and documents are read only
-- of what is in it. One item more, without a document, says that the page is not the last.
SELECT asked.number, page.created_sequence, d.document, page.state, page.seen_at, page.read_at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[])
    AS asked (number, user_id, states, category, items_max, before, now, bytes_max)
CROSS JOIN LATERAL (
    SELECT candidate.*,
        sum(candidate.document_bytes) OVER running AS bytes,
        row_number() OVER running AS place
    FROM (
        SELECT i.created_sequence, i.notification_id, i.state, i.seen_at, i.read_at,
            n.document_bytes
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        WHERE i.user_id = asked.user_id AND i.created_sequence < asked.before
            AND i.expired_at IS NULL
            AND strpos(asked.states, ',' || i.state || ',') > 0
            AND (n.expires_at IS NULL OR n.expires_at > asked.now)
            AND (asked.category IS NULL OR n.category = asked.category)
        ORDER BY i.created_sequence DESC
        LIMIT asked.items_max + 1
    ) AS candidate
    WINDOW running AS (ORDER BY candidate.created_sequence DESC ROWS UNBOUNDED PRECEDING)
) AS page
LEFT JOIN notifications AS d ON d.id = page.notification_id
    AND page.place <= asked.items_max AND (page.bytes <= asked.bytes_max OR page.place = 1)
WHERE page.bytes - page.document_bytes <= asked.bytes_max OR page.place = 2
ORDER BY asked.number, page.created_sequence DESC;

-- name: inbox_page_unread -> rows
-- The same of what is unread, by an index of its own: there may be little of it among much else.
SELECT asked.number, page.created_sequence, d.document, page.state, page.seen_at, page.read_at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[])
    AS asked (number, user_id, states, category, items_max, before, now, bytes_max)
CROSS JOIN LATERAL (
    SELECT candidate.*,
        sum(candidate.document_bytes) OVER running AS bytes,
        row_number() OVER running AS place
    FROM (
        SELECT i.created_sequence, i.notification_id, i.state, i.seen_at, i.read_at,
            n.document_bytes
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        WHERE i.user_id = asked.user_id AND i.created_sequence < asked.before
            AND i.expired_at IS NULL
            AND i.state IN ('unseen', 'seen')
            AND strpos(asked.states, ',' || i.state || ',') > 0
            AND (n.expires_at IS NULL OR n.expires_at > asked.now)
            AND (asked.category IS NULL OR n.category = asked.category)
        ORDER BY i.created_sequence DESC
        LIMIT asked.items_max + 1
    ) AS candidate
    WINDOW running AS (ORDER BY candidate.created_sequence DESC ROWS UNBOUNDED PRECEDING)
) AS page
LEFT JOIN notifications AS d ON d.id = page.notification_id
    AND page.place <= asked.items_max AND (page.bytes <= asked.bytes_max OR page.place = 1)
WHERE page.bytes - page.document_bytes <= asked.bytes_max OR page.place = 2
ORDER BY asked.number, page.created_sequence DESC;

-- name: inbox_page_archived -> rows
-- The same of what is archived, by an index of its own: there may be little of it among much else.
SELECT asked.number, page.created_sequence, d.document, page.state, page.seen_at, page.read_at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[])
    AS asked (number, user_id, states, category, items_max, before, now, bytes_max)
CROSS JOIN LATERAL (
    SELECT candidate.*,
        sum(candidate.document_bytes) OVER running AS bytes,
        row_number() OVER running AS place
    FROM (
        SELECT i.created_sequence, i.notification_id, i.state, i.seen_at, i.read_at,
            n.document_bytes
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        WHERE i.user_id = asked.user_id AND i.created_sequence < asked.before
            AND i.expired_at IS NULL
            AND i.state = 'archived'
            AND strpos(asked.states, ',' || i.state || ',') > 0
            AND (n.expires_at IS NULL OR n.expires_at > asked.now)
            AND (asked.category IS NULL OR n.category = asked.category)
        ORDER BY i.created_sequence DESC
        LIMIT asked.items_max + 1
    ) AS candidate
    WINDOW running AS (ORDER BY candidate.created_sequence DESC ROWS UNBOUNDED PRECEDING)
) AS page
LEFT JOIN notifications AS d ON d.id = page.notification_id
    AND page.place <= asked.items_max AND (page.bytes <= asked.bytes_max OR page.place = 1)
WHERE page.bytes - page.document_bytes <= asked.bytes_max OR page.place = 2
ORDER BY asked.number, page.created_sequence DESC;

-- name: inbox_item -> rows
SELECT asked.number, i.created_sequence, n.document, i.state, i.seen_at, i.read_at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
    AS asked (number, user_id, notification_id, now)
JOIN inbox AS i
    ON i.notification_id = asked.notification_id AND i.user_id = asked.user_id
JOIN notifications AS n ON n.id = i.notification_id
WHERE i.expired_at IS NULL AND (n.expires_at IS NULL OR n.expires_at > asked.now);

-- name: devices_list -> rows
-- The devices of users, each behind a device, at most `devices_max`, or only the one named.
SELECT asked.number, known.device_id, known.acknowledged, known.last_seen
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    AS asked (number, user_id, after, devices_max, named)
CROSS JOIN LATERAL (
    SELECT d.device_id, d.acknowledged, d.last_seen
    FROM devices AS d
    WHERE d.user_id = asked.user_id AND d.device_id > asked.after AND NOT d.removed
        AND (asked.named IS NULL OR d.device_id = asked.named)
    ORDER BY d.device_id
    LIMIT asked.devices_max
) AS known
ORDER BY asked.number, known.device_id;

-- name: subscriptions_read -> rows
-- The topics that users are in, or have been in, but for the one of everyone.
SELECT s.user_id, s.topic
FROM unnest($1::text[], $2::boolean[]) AS asked (user_id, left_too)
JOIN subscriptions AS s ON s.user_id = asked.user_id
WHERE (s.active OR asked.left_too) AND s.topic <> '*'
ORDER BY s.user_id, s.topic;

-- name: subscribers_page -> rows
-- The users in topics, each behind a user, at most `users_max`.
SELECT asked.number, subscriber.user_id
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
    AS asked (number, topic, after, users_max)
CROSS JOIN LATERAL (
    SELECT s.user_id
    FROM subscriptions AS s
    WHERE s.topic = asked.topic AND s.active AND s.user_id > asked.after
    ORDER BY s.user_id
    LIMIT asked.users_max
) AS subscriber
ORDER BY asked.number, subscriber.user_id;

-- name: preferences_read -> rows
SELECT p.user_id, p.kind, p.name, p.enabled
FROM unnest($1::text[]) AS asked (user_id)
JOIN preferences AS p ON p.user_id = asked.user_id
ORDER BY p.user_id, p.kind, p.name;

-- name: notifications_read -> rows
SELECT n.id, n.revision, n.category, n.created_at, n.updated_at, n.expires_at, n.document,
    n.standing, n.priority, n.topic, n.collapse_key, n.recipients
FROM unnest($1::text[]) AS asked (id)
JOIN notifications AS n ON n.id = asked.id;

-- name: recipients_count -> rows
-- How many recipients each notification has and how far they are. `dead` are those to whom nothing
-- was delivered and at least one device was given up.
SELECT asked.notification_id, counted.*
FROM unnest($1::text[]) AS asked (notification_id)
CROSS JOIN LATERAL (
    SELECT count(*), count(delivered_at), count(seen_at), count(read_at),
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
        WHERE i.notification_id = asked.notification_id
    ) AS recipient
) AS counted;

-- name: deliveries_page -> rows
-- Ledgers of notifications, each behind a user and device, at most `lines_max` lines.
SELECT asked.number, line.*
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[])
    AS asked (number, notification_id, user_id, device_id, lines_max)
CROSS JOIN LATERAL (
    SELECT d.user_id, d.device_id, d.attempts, d.first_sent_at, d.acknowledged_at, d.dead_reason,
        d.acknowledged_sequence >= d.sequence
    FROM deliveries AS d
    WHERE d.notification_id = asked.notification_id
        AND (d.user_id, d.device_id) > (asked.user_id, asked.device_id)
    ORDER BY d.user_id, d.device_id
    LIMIT asked.lines_max
) AS line
ORDER BY asked.number, line.user_id, line.device_id;
