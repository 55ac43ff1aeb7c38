-- Queries of the store. One statement answers many queries, of which two may be the same; so a
-- query has a number, which comes back with its rows. A single statement answers a query, because
-- that sees one moment, and an answer has to be of one moment.

-- name: users_read(user_id) -> user_id, head, unread, unseen, behind, topics
-- Heads and counters of logs, whether the user's topics have entries that are not in the log, and
-- how many topics the user is in or has been in, without the topic of everyone.
SELECT u.user_id, u.head, u.unread, u.unseen, EXISTS (
        SELECT 1
        FROM subscriptions AS s
        JOIN topics AS t ON t.topic = s.topic
        WHERE s.user_id = u.user_id AND s.position < t.head
    ) AS behind, (
        SELECT count(*)
        FROM subscriptions AS s
        WHERE s.user_id = u.user_id AND s.topic <> '*'
    ) AS topics
FROM unnest($1::text[]) AS asked (user_id)
JOIN users AS u ON u.user_id = asked.user_id;

-- name: pages(number, user_id, device_id, start, after, entries_max, bytes_max, began, resumed,
--     counted)
--     -> number, head, horizon, unread, unseen, sequence, notification_id, change, document, state,
--     seen_at, read_at, attempts, expires_at, candidates
-- The next entries of each device.
-- Of each entry behind `after`, the first line that fits:
--
--     expired; given up for this device; or acknowledged by it at its present
--         sequence, and not forgotten since (`devices.forgotten`)             left out
--     withdrawn, and the device may have it, or has counted it                its `withdrawn`
--     withdrawn, otherwise: it came and went                                  left out
--     news to the device                                                      `created`
--     anything else                                                           its own change
--
-- *News* is a notification that was created behind `start` and cannot have been sent to the device:
-- not in this session (it has not changed since `began`, or was created behind `after`), and, if
-- the session goes on from an earlier one (`resumed`), not in that (the ledger has no line). The
-- device *may have* a notification that is no news, or, in a `resumed` session, one that was
-- created up to `devices.doubtful`: a node that died took its last ledger lines along. The device
-- *has counted* a notification that was created up to `counted` and withdrawn behind it: the
-- counters that it was told include it, and only a push corrects them.
--
-- At most `entries_max` entries and `bytes_max` bytes of documents; the first entry always fits.
-- `candidates` counts one entry more, so that the page knows whether it is the last. The columns of
-- the log come with every entry, or, without entries, alone.
WITH asked AS MATERIALIZED (
    SELECT question.*, coalesce(u.head, 0) AS head, coalesce(u.horizon, 0) AS horizon,
        coalesce(u.unread, 0) AS unread, coalesce(u.unseen, 0) AS unseen,
        known.doubtful, known.forgotten
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::bigint[], $9::boolean[], $10::bigint[])
        AS question (number, user_id, device_id, start, after, entries_max, bytes_max, began,
            resumed, counted)
    LEFT JOIN users AS u ON u.user_id = question.user_id
    LEFT JOIN devices AS known
        ON known.user_id = question.user_id AND known.device_id = question.device_id
)
SELECT asked.number, asked.head, asked.horizon, asked.unread, asked.unseen,
    page.sequence, page.notification_id, page.change, page.document, page.state, page.seen_at,
    page.read_at, page.attempts, page.expires_at, page.candidates
FROM asked
LEFT JOIN LATERAL (
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
                    OR i.created_sequence <= asked.doubtful))
                AND NOT (i.created_sequence <= asked.counted AND i.sequence > asked.counted))
            AND (coalesce(d.acknowledged_sequence, 0) < i.sequence
                OR i.sequence <= asked.forgotten)
            AND (d.dead_reason IS NULL OR d.sequence < i.sequence)
        ORDER BY i.sequence
        LIMIT asked.entries_max + 1
    ) AS candidate
) AS page
    ON page.place <= asked.entries_max AND (page.bytes <= asked.bytes_max OR page.place = 1)
ORDER BY asked.number, page.sequence;

-- name: inbox_page(number, user_id, states, category, items_max, before, now, bytes_max)
--     -> number, head, unread, unseen, behind, created_sequence, document, state, seen_at, read_at
-- Inboxes, newest created first: states between commas, a category or NULL, most items, the created
-- sequence to stay below, the time, and most bytes (the first item always fits). An index has them
-- in this order, so the cost of a page does not depend on how far back it is; and documents are
-- read only of items in the page. One item more, without a document, says that the page is not the
-- last. The log's head and counters of that moment, and whether the user's topics have entries that
-- are not in the log, come with every item, or, without items, alone.
WITH asked AS MATERIALIZED (
    SELECT question.*, coalesce(u.head, 0) AS head, coalesce(u.unread, 0) AS unread,
        coalesce(u.unseen, 0) AS unseen,
        u.user_id IS NULL OR EXISTS (
            SELECT 1
            FROM subscriptions AS s
            JOIN topics AS t ON t.topic = s.topic
            WHERE s.user_id = u.user_id AND s.position < t.head
        ) AS behind
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::bigint[])
        AS question (number, user_id, states, category, items_max, before, now, bytes_max)
    LEFT JOIN users AS u ON u.user_id = question.user_id
)
SELECT asked.number, asked.head, asked.unread, asked.unseen, asked.behind,
    page.created_sequence, d.document, page.state, page.seen_at, page.read_at
FROM asked
LEFT JOIN LATERAL (
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
) AS page ON page.bytes - page.document_bytes <= asked.bytes_max OR page.place = 2
LEFT JOIN notifications AS d ON d.id = page.notification_id
    AND page.place <= asked.items_max AND (page.bytes <= asked.bytes_max OR page.place = 1)
ORDER BY asked.number, page.created_sequence DESC;

-- name: inbox_page_unread(number, user_id, states, category, items_max, before, now, bytes_max)
--     -> number, head, unread, unseen, behind, created_sequence, document, state, seen_at, read_at
-- The same of unread notifications, by an index of their own: they may be few among many others.
-- The statement is written out again because a planner takes a partial index only if the index's
-- condition stands in the text as a constant; for a parameter, the plan has to fit every list.
WITH asked AS MATERIALIZED (
    SELECT question.*, coalesce(u.head, 0) AS head, coalesce(u.unread, 0) AS unread,
        coalesce(u.unseen, 0) AS unseen,
        u.user_id IS NULL OR EXISTS (
            SELECT 1
            FROM subscriptions AS s
            JOIN topics AS t ON t.topic = s.topic
            WHERE s.user_id = u.user_id AND s.position < t.head
        ) AS behind
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::bigint[])
        AS question (number, user_id, states, category, items_max, before, now, bytes_max)
    LEFT JOIN users AS u ON u.user_id = question.user_id
)
SELECT asked.number, asked.head, asked.unread, asked.unseen, asked.behind,
    page.created_sequence, d.document, page.state, page.seen_at, page.read_at
FROM asked
LEFT JOIN LATERAL (
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
) AS page ON page.bytes - page.document_bytes <= asked.bytes_max OR page.place = 2
LEFT JOIN notifications AS d ON d.id = page.notification_id
    AND page.place <= asked.items_max AND (page.bytes <= asked.bytes_max OR page.place = 1)
ORDER BY asked.number, page.created_sequence DESC;

-- name: inbox_page_archived(number, user_id, states, category, items_max, before, now, bytes_max)
--     -> number, head, unread, unseen, behind, created_sequence, document, state, seen_at, read_at
-- The same of archived notifications, written out for the same reason.
WITH asked AS MATERIALIZED (
    SELECT question.*, coalesce(u.head, 0) AS head, coalesce(u.unread, 0) AS unread,
        coalesce(u.unseen, 0) AS unseen,
        u.user_id IS NULL OR EXISTS (
            SELECT 1
            FROM subscriptions AS s
            JOIN topics AS t ON t.topic = s.topic
            WHERE s.user_id = u.user_id AND s.position < t.head
        ) AS behind
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::bigint[])
        AS question (number, user_id, states, category, items_max, before, now, bytes_max)
    LEFT JOIN users AS u ON u.user_id = question.user_id
)
SELECT asked.number, asked.head, asked.unread, asked.unseen, asked.behind,
    page.created_sequence, d.document, page.state, page.seen_at, page.read_at
FROM asked
LEFT JOIN LATERAL (
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
) AS page ON page.bytes - page.document_bytes <= asked.bytes_max OR page.place = 2
LEFT JOIN notifications AS d ON d.id = page.notification_id
    AND page.place <= asked.items_max AND (page.bytes <= asked.bytes_max OR page.place = 1)
ORDER BY asked.number, page.created_sequence DESC;

-- name: inbox_item(number, user_id, notification_id, now)
--     -> number, created_sequence, document, state, seen_at, read_at
SELECT asked.number, i.created_sequence, n.document, i.state, i.seen_at, i.read_at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
    AS asked (number, user_id, notification_id, now)
JOIN inbox AS i
    ON i.notification_id = asked.notification_id AND i.user_id = asked.user_id
JOIN notifications AS n ON n.id = i.notification_id
WHERE i.expired_at IS NULL AND (n.expires_at IS NULL OR n.expires_at > asked.now);

-- name: devices_list(number, user_id, after, devices_max, named)
--     -> number, device_id, acknowledged, last_seen
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

-- name: subscriptions_read(user_id, left_too) -> user_id, topic
-- The topics that users are in, or (`left_too`) have been in, without the topic of everyone.
SELECT s.user_id, s.topic
FROM unnest($1::text[], $2::boolean[]) AS asked (user_id, left_too)
JOIN subscriptions AS s ON s.user_id = asked.user_id
WHERE (s.active OR asked.left_too) AND s.topic <> '*'
ORDER BY s.user_id, s.topic;

-- name: subscribers_page(number, topic, after, users_max) -> number, user_id
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

-- name: preferences_read(user_id) -> user_id, kind, name, enabled, channels
-- With the preferences about channels in each row, so that all are of one moment. A user who has set
-- nothing else has one row without a kind.
SELECT asked.user_id, p.kind, p.name, p.enabled, c.preferences AS channels
FROM unnest($1::text[]) AS asked (user_id)
LEFT JOIN preferences AS p ON p.user_id = asked.user_id
LEFT JOIN channel_preferences AS c ON c.user_id = asked.user_id
ORDER BY asked.user_id, p.kind, p.name;

-- name: notifications_read(id)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key, recipients, inboxes, delivered, seen, read, dead, expired, sent
-- Notifications, with the numbers of their recipients in each state. `dead` counts recipients to
-- whom the notification was not delivered and for whom at least one device was given up; `sent`
-- those to whom it was sent on a channel.
SELECT n.id, n.revision, n.category, n.created_at, n.updated_at, n.expires_at, n.document,
    n.standing, n.priority, n.topic, n.collapse_key, n.recipients, counted.*
FROM unnest($1::text[]) AS asked (id)
JOIN notifications AS n ON n.id = asked.id
CROSS JOIN LATERAL (
    SELECT count(*) AS inboxes, count(delivered_at) AS delivered, count(seen_at) AS seen,
        count(read_at) AS read, count(*) FILTER (WHERE delivered_at IS NULL AND dead) AS dead,
        count(*) FILTER (WHERE delivered_at IS NULL AND NOT dead AND expired_at IS NOT NULL)
            AS expired,
        (SELECT count(DISTINCT s.user_id) FROM sends AS s
            WHERE s.notification_id = asked.id AND s.state = 'sent') AS sent
    FROM (
        SELECT i.delivered_at, i.seen_at, i.read_at, i.expired_at,
            EXISTS (
                SELECT 1 FROM deliveries AS d
                WHERE d.notification_id = i.notification_id AND d.user_id = i.user_id
                    AND d.dead_reason IS NOT NULL
            ) AS dead
        FROM inbox AS i
        WHERE i.notification_id = asked.id
    ) AS recipient
) AS counted;

-- name: deliveries_page(number, notification_id, user_id, device_id, lines_max)
--     -> number, standing, user_id, device_id, attempts, first_sent_at, acknowledged_at,
--     dead_reason, acknowledged
-- Ledgers of notifications, each behind a user and device, at most `lines_max` lines. The standing
-- of the notification comes with every line, or, without lines, alone.
SELECT asked.number, n.standing, line.*
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[])
    AS asked (number, notification_id, user_id, device_id, lines_max)
JOIN notifications AS n ON n.id = asked.notification_id
LEFT JOIN LATERAL (
    SELECT d.user_id, d.device_id, d.attempts, d.first_sent_at, d.acknowledged_at, d.dead_reason,
        d.acknowledged_sequence >= d.sequence AS acknowledged
    FROM deliveries AS d
    WHERE d.notification_id = asked.notification_id
        AND (d.user_id, d.device_id) > (asked.user_id, asked.device_id)
    ORDER BY d.user_id, d.device_id
    LIMIT asked.lines_max
) AS line ON true
ORDER BY asked.number, line.user_id, line.device_id;

-- name: clock_read() -> now
-- The time of the store's own clock, in Unix milliseconds.
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now;
