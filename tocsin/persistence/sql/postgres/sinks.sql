-- Sinks: the followers of the receipts' log, their leases, and the letters of webhooks.

-- name: sinks_insert(id, url, secrets, events, categories, description, batch_max, created_at,
--     sinks_max)
--     -> id
-- A webhook starts at the head of the log. One more than there may be is not made.
INSERT INTO sinks (id, kind, url, secrets, events, categories, description, batch_max, position,
    state, created_at, seen_at)
SELECT new.id, 'webhook', new.url, new.secrets, new.events, new.categories, new.description,
    new.batch_max, l.head, 'active', new.created_at, new.created_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
    $8::bigint[], $9::bigint[])
    AS new (id, url, secrets, events, categories, description, batch_max, created_at, sinks_max)
JOIN receipt_log AS l ON l.name = 'receipts'
WHERE (SELECT count(*) FROM sinks AS s WHERE s.kind = 'webhook') < new.sinks_max
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING id;

-- name: sinks_declare(id, events, categories, batch_max, now)
-- A sink in a broker, as the settings of a node have it: a new one starts at the head of the log.
INSERT INTO sinks (id, kind, url, secrets, events, categories, description, batch_max, position,
    state, created_at, seen_at)
SELECT new.id, 'broker', '', '[]', new.events, new.categories, '', new.batch_max, l.head,
    'active', new.now, new.now
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
    AS new (id, events, categories, batch_max, now)
JOIN receipt_log AS l ON l.name = 'receipts'
ON CONFLICT (id) DO UPDATE SET events = excluded.events, categories = excluded.categories,
    batch_max = excluded.batch_max, seen_at = excluded.seen_at;

-- name: sinks_change(id, kind, url, secrets, events, categories, description, batch_max, position,
--     state)
--     -> id
-- Change what is not NULL. The node that carries notices by the revision.
UPDATE sinks AS s
SET url = coalesce(new.url, s.url), secrets = coalesce(new.secrets, s.secrets),
    events = coalesce(new.events, s.events), categories = coalesce(new.categories, s.categories),
    description = coalesce(new.description, s.description),
    batch_max = coalesce(new.batch_max, s.batch_max),
    position = coalesce(new.position, s.position), pending = NULL,
    reason = CASE WHEN new.state IS NULL THEN s.reason END,
    failing_since = CASE WHEN new.state IS NULL THEN s.failing_since END,
    state = coalesce(new.state, s.state),
    revision = s.revision + 1, lease_node = '', lease_until = 0
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::bigint[], $9::bigint[], $10::text[])
    AS new (id, kind, url, secrets, events, categories, description, batch_max, position, state)
WHERE s.id = new.id AND s.kind = new.kind
RETURNING s.id;

-- name: sinks_delete(id) -> id
DELETE FROM sinks AS s
USING unnest($1::text[]) AS gone (id)
WHERE s.id = gone.id AND s.kind = 'webhook'
RETURNING s.id;

-- name: sink_letters_delete(sink_id)
DELETE FROM sink_letters AS l
USING unnest($1::text[]) AS gone (sink_id)
WHERE l.sink_id = gone.sink_id;

-- name: sinks_claim(node, now, until, names, seen)
--     -> id, kind, url, secrets, events, categories, description, batch_max, position, pending, state,
--     reason, failing_since, succeeded_at, lost, revision, created_at
-- The active webhooks, and those of the sinks named between commas, whose lease is free, has run
-- out, or is the node's already.
UPDATE sinks AS s
SET lease_node = free.node, lease_until = free.until,
    seen_at = CASE WHEN s.kind = 'broker' THEN greatest(s.seen_at, free.seen) ELSE s.seen_at END
FROM (
    SELECT o.id, claim.node, claim.until, claim.seen
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[])
        AS claim (node, now, until, names, seen)
    CROSS JOIN LATERAL (
        SELECT c.id
        FROM sinks AS c
        WHERE c.kind IN ('webhook', 'broker') AND c.state = 'active'
            AND (c.kind = 'webhook' OR strpos(claim.names, ',' || c.id || ',') > 0)
            AND (c.lease_node = claim.node OR c.lease_until <= claim.now)
        FOR UPDATE SKIP LOCKED
    ) AS o
) AS free
WHERE s.id = free.id
RETURNING s.id, s.kind, s.url, s.secrets, s.events, s.categories, s.description, s.batch_max,
    s.position, s.pending, s.state, s.reason, s.failing_since, s.succeeded_at, s.lost, s.revision,
    s.created_at;

-- name: sinks_progress(id, node, revision, position, pending, state, reason, failing_since,
--     succeeded_at, lost)
--     -> id
UPDATE sinks AS s
SET position = new.position, pending = new.pending, state = new.state, reason = new.reason,
    failing_since = new.failing_since, succeeded_at = new.succeeded_at, lost = new.lost
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
    $8::bigint[], $9::bigint[], $10::bigint[])
    AS new (id, node, revision, position, pending, state, reason, failing_since, succeeded_at, lost)
WHERE s.id = new.id AND s.lease_node = new.node AND s.revision = new.revision
RETURNING s.id;

-- name: sinks_list(number, id, kind)
--     -> number, head, id, kind, url, secrets, events, categories, description, batch_max,
--     position, pending, state, reason, failing_since, succeeded_at, lost, revision, created_at
-- All sinks of a kind (of both, if it is NULL), or one, with the head of the log, which comes alone
-- if there are none.
SELECT asked.number, l.head, s.id, s.kind, s.url, s.secrets, s.events, s.categories,
    s.description, s.batch_max, s.position, s.pending, s.state, s.reason, s.failing_since,
    s.succeeded_at, s.lost, s.revision, s.created_at
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS asked (number, id, kind)
JOIN receipt_log AS l ON l.name = 'receipts'
LEFT JOIN LATERAL (
    SELECT o.* FROM sinks AS o
    WHERE o.kind IN ('webhook', 'broker') AND (asked.kind IS NULL OR o.kind = asked.kind)
        AND (asked.id IS NULL OR o.id = asked.id)
    OFFSET 0
) AS s ON true
ORDER BY asked.number, s.created_at, s.id;

-- name: readers_follow(id, events, now)
-- A reader has no webhook; its row says that receipts are wanted. The longer list has more kinds.
INSERT INTO sinks (id, kind, url, secrets, events, categories, description, batch_max, position,
    state, created_at, seen_at)
SELECT id, 'reader', '', '[]', events, '', '', 0, 0, 'active', now, now
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (id, events, now)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at,
    events = CASE WHEN length(sinks.events) > length(excluded.events) THEN sinks.events
        ELSE excluded.events END;

-- name: readers_trim(readers_max)
DELETE FROM sinks AS s
USING (
    SELECT old.id
    FROM unnest($1::bigint[]) AS asked (readers_max)
    CROSS JOIN LATERAL (
        SELECT o.id FROM sinks AS o WHERE o.kind = 'reader'
        ORDER BY o.seen_at DESC, o.id OFFSET asked.readers_max
    ) AS old
) AS gone
WHERE s.id = gone.id;

-- name: readers_purge(before, rows_max) -> id
-- Also the sinks in brokers that no node's settings have had since.
DELETE FROM sinks AS s
USING (
    SELECT old.id
    FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, rows_max)
    CROSS JOIN LATERAL (
        SELECT o.id FROM sinks AS o
        WHERE o.kind IN ('reader', 'broker') AND o.seen_at < purge.before
        LIMIT purge.rows_max
    ) AS old
) AS gone
WHERE s.id = gone.id
RETURNING s.id;

-- name: sink_letters_bury(sink_id, position, user_id, receipt, reason, at)
INSERT INTO sink_letters (sink_id, position, user_id, receipt, reason, at, status)
SELECT sink_id, position, user_id, receipt, reason, at, 'dead'
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])
    AS new (sink_id, position, user_id, receipt, reason, at)
ON CONFLICT (sink_id, position) DO UPDATE SET
    reason = excluded.reason, at = excluded.at, status = 'dead';

-- name: sink_letters_settle(sink_id, position, status) -> position
UPDATE sink_letters AS l
SET status = new.status
FROM unnest($1::text[], $2::bigint[], $3::text[]) AS new (sink_id, position, status)
WHERE l.sink_id = new.sink_id AND l.position = new.position
RETURNING l.position;

-- name: sink_letters_page(number, sink_id, before, letters_max)
--     -> number, position, user_id, receipt, reason, at, status
SELECT asked.number, letter.*
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[])
    AS asked (number, sink_id, before, letters_max)
CROSS JOIN LATERAL (
    SELECT l.position, l.user_id, l.receipt, l.reason, l.at, l.status
    FROM sink_letters AS l
    WHERE l.sink_id = asked.sink_id AND l.position < asked.before
    ORDER BY l.position DESC
    LIMIT asked.letters_max
) AS letter;

-- name: sink_letters_list(number, status, before, user_id, letters_max)
--     -> number, id, sink_id, position, user_id, receipt, reason, at, status
-- Letters of all sinks, of one status, the newest first, below a number; of one user, if given.
SELECT asked.number, found.*
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[])
    AS asked (number, status, before, user_id, letters_max)
CROSS JOIN LATERAL (
    SELECT l.letter AS id, l.sink_id, l.position, l.user_id, l.receipt, l.reason, l.at, l.status
    FROM sink_letters AS l
    WHERE l.status = asked.status AND l.letter < asked.before
        AND (asked.user_id IS NULL OR l.user_id = asked.user_id)
    ORDER BY l.letter DESC
    LIMIT asked.letters_max
) AS found;

-- name: sink_letters_read(id)
--     -> id, sink_id, position, user_id, receipt, reason, at, status
SELECT l.letter AS id, l.sink_id, l.position, l.user_id, l.receipt, l.reason, l.at, l.status
FROM unnest($1::bigint[]) AS asked (id)
JOIN sink_letters AS l ON l.letter = asked.id;

-- name: sink_letters_purge(before, rows_max) -> position
DELETE FROM sink_letters AS l
USING (
    SELECT old.sink_id, old.position
    FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, rows_max)
    CROSS JOIN LATERAL (
        SELECT o.sink_id, o.position FROM sink_letters AS o WHERE o.at < purge.before
        ORDER BY o.at LIMIT purge.rows_max
    ) AS old
) AS gone
WHERE l.sink_id = gone.sink_id AND l.position = gone.position
RETURNING l.position;
