-- The receipts' log: facts about notifications, in the order of commits.

-- name: receipts_append(kind, notification_id, user_id, device_id, channel, at, detail)
-- Append facts in their order, those that the filter of some sink lets through. The head's row is
-- the last lock of a transaction; without a fact that is wanted, it is left alone. The offset keeps
-- the planner from joining sinks to facts: they are looked at once for each fact. The first
-- condition is looked at once for all: while there is no sink, nothing else is. (Sinks are all those
-- there are, whatever their state: one that is disabled goes on where it stopped. All kinds are
-- named because an index begins with them: no statement goes through a table.)
WITH wanted AS (
    SELECT f.kind, f.notification_id, n.category, f.user_id, f.device_id, f.channel, f.at, f.detail,
        row_number() OVER (ORDER BY f.number) AS number
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
        $7::text[]) WITH ORDINALITY
        AS f (kind, notification_id, user_id, device_id, channel, at, detail, number)
    LEFT JOIN notifications AS n ON n.id = f.notification_id
    WHERE EXISTS (
        SELECT 1 FROM sinks AS s WHERE s.kind IN ('webhook', 'reader', 'broker')
    ) AND EXISTS (
        SELECT 1 FROM sinks AS s
        WHERE s.kind IN ('webhook', 'reader', 'broker')
            AND strpos(s.events, ',' || f.kind || ',') > 0
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
INSERT INTO receipts (position, kind, notification_id, category, user_id, device_id, channel, at,
    detail)
SELECT a.base + w.number, w.kind, w.notification_id, w.category, w.user_id, w.device_id, w.channel,
    w.at, w.detail
FROM advanced AS a
CROSS JOIN wanted AS w;

-- name: receipts_page(number, after, events, categories, receipts_max, scanned_max)
--     -> number, head, horizon, position, kind, notification_id, category, user_id, device_id,
--     channel, at, detail
-- What a filter lets through of the receipts behind a position, at most `receipts_max`, among the
-- next `scanned_max` positions; with the head and the horizon of the log, alone if there is nothing.
SELECT asked.number, l.head, l.horizon, found.position, found.kind, found.notification_id,
    found.category, found.user_id, found.device_id, found.channel, found.at, found.detail
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
    AS asked (number, after, events, categories, receipts_max, scanned_max)
JOIN receipt_log AS l ON l.name = 'receipts'
LEFT JOIN LATERAL (
    SELECT r.position, r.kind, r.notification_id, r.category, r.user_id, r.device_id, r.channel,
        r.at, r.detail
    FROM receipts AS r
    WHERE r.position > greatest(asked.after, l.horizon)
        AND r.position <= greatest(asked.after, l.horizon) + asked.scanned_max
        AND strpos(asked.events, ',' || r.kind || ',') > 0
        AND (asked.categories = '' OR strpos(asked.categories, ',' || r.category || ',') > 0)
    ORDER BY r.position
    LIMIT asked.receipts_max
) AS found ON true
ORDER BY asked.number, found.position;

-- name: receipts_named(number, position)
--     -> number, position, kind, notification_id, category, user_id, device_id, channel, at, detail
SELECT asked.number, r.position, r.kind, r.notification_id, r.category, r.user_id, r.device_id,
    r.channel, r.at, r.detail
FROM unnest($1::bigint[], $2::bigint[]) AS asked (number, position)
JOIN receipts AS r ON r.position = asked.position
ORDER BY asked.number, r.position;

-- name: receipts_since(number, since) -> number, position
-- The position in front of the first receipt that is not older than a time (the head, if all are).
SELECT asked.number,
    coalesce((SELECT min(r.position) - 1 FROM receipts AS r WHERE r.at >= asked.since), l.head)
        AS position
FROM unnest($1::bigint[], $2::bigint[]) AS asked (number, since)
JOIN receipt_log AS l ON l.name = 'receipts';

-- name: receipts_purge(before, rows_max) -> position
-- Forget the first receipts of the log, as far as they are older than a time.
DELETE FROM receipts AS r
USING (
    SELECT old.position
    FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, rows_max)
    CROSS JOIN LATERAL (
        SELECT o.position FROM receipts AS o WHERE o.at < purge.before
        ORDER BY o.at LIMIT purge.rows_max
    ) AS old
) AS gone
WHERE r.position = gone.position
RETURNING r.position;

-- name: receipts_horizon(position)
UPDATE receipt_log AS l
SET horizon = greatest(l.horizon, reached.position)
FROM unnest($1::bigint[]) AS reached (position)
WHERE l.name = 'receipts';
