-- Sinks: the followers of the receipts' log, their leases, and the letters of webhooks.

-- name: sinks_insert(id, url, secrets, events, categories, description, batch_max, created_at,
--     sinks_max)
--     -> id
-- A webhook starts at the head of the log. One more than there may be is not made.
INSERT INTO sinks (id, kind, url, secrets, events, categories, description, batch_max, position,
    state, created_at, seen_at)
SELECT :id, 'webhook', :url, :secrets, :events, :categories, :description, :batch_max, l.head,
    'active', :created_at, :created_at
FROM receipt_log AS l
WHERE l.name = 'receipts'
    AND (SELECT count(*) FROM sinks AS s WHERE s.kind = 'webhook') < :sinks_max
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING id;

-- name: sinks_declare(id, events, categories, batch_max, now)
-- A sink in a broker, as the settings of a node have it: a new one starts at the head of the log.
INSERT INTO sinks (id, kind, url, secrets, events, categories, description, batch_max, position,
    state, created_at, seen_at)
SELECT :id, 'broker', '', '[]', :events, :categories, '', :batch_max, l.head, 'active', :now, :now
FROM receipt_log AS l
WHERE l.name = 'receipts'
ON CONFLICT (id) DO UPDATE SET events = excluded.events, categories = excluded.categories,
    batch_max = excluded.batch_max, seen_at = excluded.seen_at;

-- name: sinks_change(id, kind, url, secrets, events, categories, description, batch_max, position,
--     state)
--     -> id
-- Change what is not NULL. The node that carries notices by the revision.
UPDATE sinks
SET url = coalesce(:url, url), secrets = coalesce(:secrets, secrets),
    events = coalesce(:events, events), categories = coalesce(:categories, categories),
    description = coalesce(:description, description), batch_max = coalesce(:batch_max, batch_max),
    position = coalesce(:position, position), pending = NULL,
    reason = CASE WHEN :state IS NULL THEN reason END,
    failing_since = CASE WHEN :state IS NULL THEN failing_since END,
    state = coalesce(:state, state),
    revision = revision + 1, lease_node = '', lease_until = 0
WHERE id = :id AND kind = :kind
RETURNING id;

-- name: sinks_delete(id) -> id
DELETE FROM sinks WHERE id = :id AND kind = 'webhook' RETURNING id;

-- name: sink_letters_delete(sink_id)
DELETE FROM sink_letters WHERE sink_id = :sink_id;

-- name: sinks_claim(node, now, until, names, seen)
--     -> id, kind, url, secrets, events, categories, description, batch_max, position, pending, state,
--     reason, failing_since, succeeded_at, lost, revision, created_at
-- The active webhooks, and those of the sinks named between commas, whose lease is free, has run
-- out, or is the node's already.
UPDATE sinks
SET lease_node = :node, lease_until = :until,
    seen_at = CASE WHEN kind = 'broker' THEN max(seen_at, :seen) ELSE seen_at END
WHERE (kind = 'webhook' OR (kind = 'broker' AND instr(:names, ',' || id || ',') > 0))
    AND state = 'active'
    AND (lease_node = :node OR lease_until <= :now)
RETURNING id, kind, url, secrets, events, categories, description, batch_max, position, pending,
    state, reason, failing_since, succeeded_at, lost, revision, created_at;

-- name: sinks_progress(id, node, revision, position, pending, state, reason, failing_since,
--     succeeded_at, lost)
--     -> id
UPDATE sinks
SET position = :position, pending = :pending, state = :state, reason = :reason,
    failing_since = :failing_since, succeeded_at = :succeeded_at, lost = :lost
WHERE id = :id AND lease_node = :node AND revision = :revision
RETURNING id;

-- name: sinks_list(number, id, kind)
--     -> number, head, id, kind, url, secrets, events, categories, description, batch_max,
--     position, pending, state, reason, failing_since, succeeded_at, lost, revision, created_at
-- All sinks of a kind (of both, if it is NULL), or one, with the head of the log, which comes alone
-- if there are none.
SELECT :number, l.head, s.id, s.kind, s.url, s.secrets, s.events, s.categories, s.description,
    s.batch_max, s.position, s.pending, s.state, s.reason, s.failing_since, s.succeeded_at, s.lost,
    s.revision, s.created_at
FROM receipt_log AS l
LEFT JOIN sinks AS s ON s.kind IN ('webhook', 'broker') AND (:kind IS NULL OR s.kind = :kind)
    AND (:id IS NULL OR s.id = :id)
WHERE l.name = 'receipts'
ORDER BY s.created_at, s.id;

-- name: readers_follow(id, events, now)
-- A reader has no webhook; its row says that receipts are wanted. The longer list has more kinds.
INSERT INTO sinks (id, kind, url, secrets, events, categories, description, batch_max, position,
    state, created_at, seen_at)
VALUES (:id, 'reader', '', '[]', :events, '', '', 0, 0, 'active', :now, :now)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at,
    events = CASE WHEN length(sinks.events) > length(excluded.events) THEN sinks.events
        ELSE excluded.events END;

-- name: readers_trim(readers_max)
DELETE FROM sinks
WHERE id IN (SELECT id FROM sinks WHERE kind = 'reader'
    ORDER BY seen_at DESC, id LIMIT -1 OFFSET :readers_max);

-- name: readers_purge(before, rows_max) -> id
-- Also the sinks in brokers that no node's settings have had since.
DELETE FROM sinks
WHERE id IN (SELECT id FROM sinks
    WHERE kind IN ('reader', 'broker') AND seen_at < :before LIMIT :rows_max)
RETURNING id;

-- name: sink_letters_bury(sink_id, position, user_id, receipt, reason, at)
INSERT INTO sink_letters (sink_id, position, user_id, receipt, reason, at, status, letter)
SELECT :sink_id, :position, :user_id, :receipt, :reason, :at, 'dead',
    (SELECT max(seq) + 1 FROM sqlite_sequence WHERE name = 'dead_letters')
WHERE true
ON CONFLICT (sink_id, position) DO UPDATE SET
    reason = excluded.reason, at = excluded.at, status = 'dead';

-- name: sink_letters_settle(sink_id, position, status) -> position
UPDATE sink_letters SET status = :status
WHERE sink_id = :sink_id AND position = :position
RETURNING position;

-- name: sink_letters_page(number, sink_id, before, letters_max)
--     -> number, position, user_id, receipt, reason, at, status
SELECT :number, position, user_id, receipt, reason, at, status
FROM sink_letters
WHERE sink_id = :sink_id AND position < :before
ORDER BY position DESC
LIMIT :letters_max;

-- name: sink_letters_list(number, status, before, user_id, letters_max)
--     -> number, id, sink_id, position, user_id, receipt, reason, at, status
-- Letters of all sinks, of one status, the newest first, below a number; of one user, if given.
SELECT :number, letter AS id, sink_id, position, user_id, receipt, reason, at, status
FROM sink_letters
WHERE status = :status AND letter < :before AND (:user_id IS NULL OR user_id = :user_id)
ORDER BY letter DESC
LIMIT :letters_max;

-- name: sink_letters_read(id)
--     -> id, sink_id, position, user_id, receipt, reason, at, status
SELECT letter AS id, sink_id, position, user_id, receipt, reason, at, status
FROM sink_letters
WHERE letter = :id;

-- name: sink_letters_purge(before, rows_max) -> position
DELETE FROM sink_letters
WHERE (sink_id, position) IN (SELECT sink_id, position FROM sink_letters
    WHERE at < :before ORDER BY at LIMIT :rows_max)
RETURNING position;
