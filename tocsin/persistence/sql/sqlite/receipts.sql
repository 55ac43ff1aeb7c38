-- The receipts' log: facts about notifications, in the order of commits.

-- name: receipts_append(kind, notification_id, user_id, device_id, channel, at, detail)
-- Append a fact, if the filter of some sink lets it through. The head is brought along behind it:
-- the greatest position that there ever was is that of the head or that of a receipt. Whether there
-- is a sink at all, whatever its state, is looked up once for all facts.
-- when: SELECT 1 FROM sinks LIMIT 1
INSERT INTO receipts (position, kind, notification_id, category, user_id, device_id, channel, at,
    detail)
SELECT max(l.head, (SELECT coalesce(max(r.position), 0) FROM receipts AS r)) + 1, :kind,
    :notification_id, n.category, :user_id, :device_id, :channel, :at, :detail
FROM receipt_log AS l
LEFT JOIN notifications AS n ON n.id = :notification_id
WHERE l.name = 'receipts' AND EXISTS (
    SELECT 1 FROM sinks AS s
    WHERE instr(s.events, ',' || :kind || ',') > 0
        AND (s.categories = '' OR instr(s.categories, ',' || n.category || ',') > 0)
);
-- then
-- when: SELECT 1 FROM sinks LIMIT 1
UPDATE receipt_log
SET head = (SELECT max(position) FROM receipts WHERE position > head)
WHERE name = 'receipts' AND EXISTS (SELECT 1 FROM receipts WHERE position > head);

-- name: receipts_page(number, after, events, categories, receipts_max, scanned_max)
--     -> number, head, horizon, position, kind, notification_id, category, user_id, device_id,
--     channel, at, detail
-- What a filter lets through of the receipts behind a position, at most `receipts_max`, among the
-- next `scanned_max` positions; with the head and the horizon of the log, alone if there is nothing.
SELECT :number, l.head, l.horizon, r.position, r.kind, r.notification_id, r.category, r.user_id,
    r.device_id, r.channel, r.at, r.detail
FROM receipt_log AS l
LEFT JOIN receipts AS r ON r.position > max(:after, l.horizon)
    AND r.position <= max(:after, l.horizon) + :scanned_max
    AND instr(:events, ',' || r.kind || ',') > 0
    AND (:categories = '' OR instr(:categories, ',' || r.category || ',') > 0)
WHERE l.name = 'receipts'
ORDER BY r.position
LIMIT :receipts_max;

-- name: receipts_named(number, position)
--     -> number, position, kind, notification_id, category, user_id, device_id, channel, at, detail
SELECT :number, position, kind, notification_id, category, user_id, device_id, channel, at, detail
FROM receipts
WHERE position = :position;

-- name: receipts_since(number, since) -> number, position
-- The position in front of the first receipt that is not older than a time (the head, if all are).
SELECT :number,
    coalesce((SELECT min(r.position) - 1 FROM receipts AS r WHERE r.at >= :since), l.head)
        AS position
FROM receipt_log AS l
WHERE l.name = 'receipts';

-- name: receipts_purge(before, rows_max) -> position
-- Forget the first receipts of the log, as far as they are older than a time.
DELETE FROM receipts
WHERE position IN (SELECT position FROM receipts
    WHERE at < :before ORDER BY at LIMIT :rows_max)
RETURNING position;

-- name: receipts_horizon(position)
UPDATE receipt_log SET horizon = max(horizon, :position) WHERE name = 'receipts';
