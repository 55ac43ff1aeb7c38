-- Queries of the store. One statement answers many queries, of which two may be the same; so a
-- query has a number (?1), which comes back with its rows. A single statement answers a query, as
-- in Postgres, where an answer is of one moment by that.

-- name: users_read(user_id) -> user_id, head, unread, unseen, behind, topics
-- The head and counters of a log, whether the user's topics have entries that are not in it, and
-- how many topics the user is in or has been in, without the topic of everyone.
SELECT user_id, head, unread, unseen, EXISTS (
        SELECT 1
        FROM subscriptions AS s
        JOIN topics AS t ON t.topic = s.topic
        WHERE s.user_id = :user_id AND s.position < t.head
    ) AS behind, (
        SELECT count(*)
        FROM subscriptions AS s
        WHERE s.user_id = :user_id AND s.topic <> '*'
    ) AS topics
FROM users
WHERE user_id = :user_id;

-- name: pages(number, user_id, device_id, start, after, entries_max, bytes_max, began, resumed,
--     counted)
--     -> number, head, horizon, unread, unseen, sequence, notification_id, change, document, state,
--     seen_at, read_at, attempts, expires_at, candidates
-- The next entries of a device.
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
SELECT :number, coalesce(u.head, 0), coalesce(u.horizon, 0), coalesce(u.unread, 0),
    coalesce(u.unseen, 0), page.sequence, page.notification_id, page.change, page.document,
    page.state, page.seen_at, page.read_at, page.attempts, page.expires_at, page.candidates
FROM (SELECT 1) AS question
LEFT JOIN users AS u ON u.user_id = :user_id
LEFT JOIN (
    SELECT candidate.*,
        count(*) OVER () AS candidates,
        sum(document_bytes) OVER (ORDER BY sequence) AS bytes,
        row_number() OVER (ORDER BY sequence) AS place
    FROM (
        SELECT i.sequence, i.notification_id, i.state, i.seen_at, i.read_at, n.document,
            n.document_bytes, n.expires_at,
            CASE WHEN i.created_sequence > :start AND i.state <> 'withdrawn'
                AND (i.sequence <= :began OR i.created_sequence > :after)
                AND NOT (:resumed AND d.notification_id IS NOT NULL)
                THEN 'created' ELSE i.change END AS change,
            CASE WHEN d.sequence = i.sequence AND d.acknowledged_sequence < i.sequence
                THEN d.attempts ELSE 0 END AS attempts
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        LEFT JOIN deliveries AS d
            ON d.notification_id = i.notification_id AND d.user_id = :user_id
                AND d.device_id = :device_id
        WHERE i.user_id = :user_id AND i.sequence > :after
            AND i.expired_at IS NULL
            AND NOT (i.state = 'withdrawn' AND i.created_sequence > :start
                AND (i.sequence <= :began OR i.created_sequence > :after)
                AND NOT (:resumed AND (d.notification_id IS NOT NULL
                    OR i.created_sequence <= (SELECT doubtful FROM devices
                        WHERE user_id = :user_id AND device_id = :device_id)))
                AND NOT (i.created_sequence <= :counted AND i.sequence > :counted))
            AND (coalesce(d.acknowledged_sequence, 0) < i.sequence
                OR i.sequence <= (SELECT forgotten FROM devices
                    WHERE user_id = :user_id AND device_id = :device_id))
            AND NOT (d.dead_reason IS NOT NULL AND d.sequence >= i.sequence)
        ORDER BY i.sequence
        LIMIT :entries_max + 1
    ) AS candidate
) AS page ON page.place <= :entries_max AND (page.bytes <= :bytes_max OR page.place = 1)
ORDER BY page.sequence;

-- name: inbox_page(number, user_id, states, category, items_max, before, now, bytes_max)
--     -> number, head, unread, unseen, behind, created_sequence, document, state, seen_at, read_at
-- A user's inbox, newest created first: `states` between commas, a `category` or NULL, at most
-- `items_max` items, created below the sequence `before`, not expired at `now`, at most `bytes_max`
-- bytes (the first item always fits). An index has the items in this order, so the cost of a page
-- does not depend on how far back it is; and documents are read only of items in the page. One item
-- more, without a document, says that the page is not the last. (`ROWS`, because the usual frame
-- looks for peers, at twice the price.) The log's head and counters, and whether the user's topics
-- have entries that are not in the log, come with every item, or, without items, alone.
SELECT :number, coalesce(u.head, 0), coalesce(u.unread, 0), coalesce(u.unseen, 0),
    u.user_id IS NULL OR EXISTS (
        SELECT 1
        FROM subscriptions AS s
        JOIN topics AS t ON t.topic = s.topic
        WHERE s.user_id = :user_id AND s.position < t.head
    ),
    page.created_sequence,
    CASE WHEN page.place <= :items_max AND (page.bytes <= :bytes_max OR page.place = 1)
        THEN (SELECT document FROM notifications WHERE id = page.notification_id) END,
    page.state, page.seen_at, page.read_at
FROM (SELECT 1) AS question
LEFT JOIN users AS u ON u.user_id = :user_id
LEFT JOIN (
    SELECT candidate.*,
        sum(document_bytes) OVER running AS bytes,
        row_number() OVER running AS place
    FROM (
        SELECT i.created_sequence, i.notification_id, i.state, i.seen_at, i.read_at,
            n.document_bytes
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        WHERE i.user_id = :user_id AND i.created_sequence < :before
            AND i.expired_at IS NULL
            AND instr(:states, ',' || i.state || ',') > 0
            AND (n.expires_at IS NULL OR n.expires_at > :now)
            AND (:category IS NULL OR n.category = :category)
        ORDER BY i.created_sequence DESC
        LIMIT :items_max + 1
    ) AS candidate
    WINDOW running AS (ORDER BY created_sequence DESC ROWS UNBOUNDED PRECEDING)
) AS page ON page.bytes - page.document_bytes <= :bytes_max OR page.place = 2
ORDER BY page.created_sequence DESC;

-- name: inbox_page_unread(number, user_id, states, category, items_max, before, now, bytes_max)
--     -> number, head, unread, unseen, behind, created_sequence, document, state, seen_at, read_at
-- The same of unread notifications, by an index of their own: they may be few among many others.
-- The statement is written out again because a planner takes a partial index only if the index's
-- condition stands in the text as a constant; for a parameter, the plan has to fit every list.
SELECT :number, coalesce(u.head, 0), coalesce(u.unread, 0), coalesce(u.unseen, 0),
    u.user_id IS NULL OR EXISTS (
        SELECT 1
        FROM subscriptions AS s
        JOIN topics AS t ON t.topic = s.topic
        WHERE s.user_id = :user_id AND s.position < t.head
    ),
    page.created_sequence,
    CASE WHEN page.place <= :items_max AND (page.bytes <= :bytes_max OR page.place = 1)
        THEN (SELECT document FROM notifications WHERE id = page.notification_id) END,
    page.state, page.seen_at, page.read_at
FROM (SELECT 1) AS question
LEFT JOIN users AS u ON u.user_id = :user_id
LEFT JOIN (
    SELECT candidate.*,
        sum(document_bytes) OVER running AS bytes,
        row_number() OVER running AS place
    FROM (
        SELECT i.created_sequence, i.notification_id, i.state, i.seen_at, i.read_at,
            n.document_bytes
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        WHERE i.user_id = :user_id AND i.created_sequence < :before
            AND i.expired_at IS NULL
            AND i.state IN ('unseen', 'seen')
            AND instr(:states, ',' || i.state || ',') > 0
            AND (n.expires_at IS NULL OR n.expires_at > :now)
            AND (:category IS NULL OR n.category = :category)
        ORDER BY i.created_sequence DESC
        LIMIT :items_max + 1
    ) AS candidate
    WINDOW running AS (ORDER BY created_sequence DESC ROWS UNBOUNDED PRECEDING)
) AS page ON page.bytes - page.document_bytes <= :bytes_max OR page.place = 2
ORDER BY page.created_sequence DESC;

-- name: inbox_page_archived(number, user_id, states, category, items_max, before, now, bytes_max)
--     -> number, head, unread, unseen, behind, created_sequence, document, state, seen_at, read_at
-- The same of archived notifications, written out for the same reason.
SELECT :number, coalesce(u.head, 0), coalesce(u.unread, 0), coalesce(u.unseen, 0),
    u.user_id IS NULL OR EXISTS (
        SELECT 1
        FROM subscriptions AS s
        JOIN topics AS t ON t.topic = s.topic
        WHERE s.user_id = :user_id AND s.position < t.head
    ),
    page.created_sequence,
    CASE WHEN page.place <= :items_max AND (page.bytes <= :bytes_max OR page.place = 1)
        THEN (SELECT document FROM notifications WHERE id = page.notification_id) END,
    page.state, page.seen_at, page.read_at
FROM (SELECT 1) AS question
LEFT JOIN users AS u ON u.user_id = :user_id
LEFT JOIN (
    SELECT candidate.*,
        sum(document_bytes) OVER running AS bytes,
        row_number() OVER running AS place
    FROM (
        SELECT i.created_sequence, i.notification_id, i.state, i.seen_at, i.read_at,
            n.document_bytes
        FROM inbox AS i
        JOIN notifications AS n ON n.id = i.notification_id
        WHERE i.user_id = :user_id AND i.created_sequence < :before
            AND i.expired_at IS NULL
            AND i.state = 'archived'
            AND instr(:states, ',' || i.state || ',') > 0
            AND (n.expires_at IS NULL OR n.expires_at > :now)
            AND (:category IS NULL OR n.category = :category)
        ORDER BY i.created_sequence DESC
        LIMIT :items_max + 1
    ) AS candidate
    WINDOW running AS (ORDER BY created_sequence DESC ROWS UNBOUNDED PRECEDING)
) AS page ON page.bytes - page.document_bytes <= :bytes_max OR page.place = 2
ORDER BY page.created_sequence DESC;

-- name: inbox_item(number, user_id, notification_id, now)
--     -> number, created_sequence, document, state, seen_at, read_at
SELECT :number, i.created_sequence, n.document, i.state, i.seen_at, i.read_at
FROM inbox AS i
JOIN notifications AS n ON n.id = i.notification_id
WHERE i.user_id = :user_id AND i.notification_id = :notification_id AND i.expired_at IS NULL
    AND (n.expires_at IS NULL OR n.expires_at > :now);

-- name: devices_list(number, user_id, after, devices_max, named)
--     -> number, device_id, acknowledged, last_seen
-- The devices of user `user_id` behind device `after`, at most `devices_max`, or only `named`.
SELECT :number, device_id, acknowledged, last_seen
FROM devices
WHERE user_id = :user_id AND device_id > :after AND NOT removed AND (:named IS NULL
    OR device_id = :named)
ORDER BY device_id
LIMIT :devices_max;

-- name: subscriptions_read(user_id, left_too) -> user_id, topic
-- The topics that a user is in, or (`left_too`) has been in, without the topic of everyone.
SELECT user_id, topic
FROM subscriptions
WHERE user_id = :user_id AND (active OR :left_too) AND topic <> '*'
ORDER BY topic;

-- name: subscribers_page(number, topic, after, users_max) -> number, user_id
-- The users in topic `topic` behind user `after`, at most `users_max`.
SELECT :number, user_id
FROM subscriptions
WHERE topic = :topic AND active AND user_id > :after
ORDER BY user_id
LIMIT :users_max;

-- name: preferences_read(user_id) -> user_id, kind, name, enabled, channels
-- With the preferences about channels in each row, so that all are of one moment. A user who has set
-- nothing else has one row without a kind.
SELECT asked.user_id, p.kind, p.name, p.enabled, c.preferences AS channels
FROM (SELECT :user_id AS user_id) AS asked
LEFT JOIN preferences AS p ON p.user_id = asked.user_id
LEFT JOIN channel_preferences AS c ON c.user_id = asked.user_id
ORDER BY p.kind, p.name;

-- name: notifications_read(id)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key, recipients, inboxes, delivered, seen, read, dead, expired, sent
-- A notification, with the numbers of its recipients in each state. `dead` counts recipients to
-- whom the notification was not delivered and for whom at least one device was given up; `sent`
-- those to whom it was sent on a channel.
SELECT n.id, n.revision, n.category, n.created_at, n.updated_at, n.expires_at, n.document,
    n.standing, n.priority, n.topic, n.collapse_key, n.recipients, counted.*
FROM notifications AS n
JOIN (
    SELECT count(*) AS inboxes, count(delivered_at) AS delivered, count(seen_at) AS seen,
        count(read_at) AS read, count(*) FILTER (WHERE delivered_at IS NULL AND dead) AS dead,
        count(*) FILTER (WHERE delivered_at IS NULL AND NOT dead AND expired_at IS NOT NULL)
            AS expired,
        (SELECT count(DISTINCT s.user_id) FROM sends AS s
            WHERE s.notification_id = :id AND s.state = 'sent') AS sent
    FROM (
        SELECT i.delivered_at, i.seen_at, i.read_at, i.expired_at,
            EXISTS (
                SELECT 1 FROM deliveries AS d
                WHERE d.notification_id = i.notification_id AND d.user_id = i.user_id
                    AND d.dead_reason IS NOT NULL
            ) AS dead
        FROM inbox AS i
        WHERE i.notification_id = :id
    ) AS recipient
) AS counted
WHERE n.id = :id;

-- name: deliveries_page(number, notification_id, user_id, device_id, lines_max)
--     -> number, standing, user_id, device_id, attempts, first_sent_at, acknowledged_at,
--     dead_reason, acknowledged
-- The ledger of notification `notification_id` behind user `user_id` and device `device_id`, at
-- most `lines_max` lines. The standing of the notification comes with every line, or, without
-- lines, alone.
SELECT :number, n.standing, d.user_id, d.device_id, d.attempts, d.first_sent_at, d.acknowledged_at,
    d.dead_reason,
    d.acknowledged_sequence >= d.sequence AS acknowledged
FROM notifications AS n
LEFT JOIN deliveries AS d
    ON d.notification_id = n.id AND (d.user_id, d.device_id) > (:user_id, :device_id)
WHERE n.id = :notification_id
ORDER BY d.user_id, d.device_id
LIMIT :lines_max;

-- name: clock_read() -> now
-- The time of the store's own clock, in Unix milliseconds.
SELECT store_now_ms() AS now;
