-- Escalation: plans that are due, the recipients whom they concern, sends, addresses.
--
-- Plans and sends are claimed by row locks, and locked ones are passed over: another node has them,
-- and nothing waits. Nothing here locks users, inbox rows or notifications.

-- name: escalations_save(notification_id, revision, steps, due_at)
-- Begin plans; one that collapsed into an older notification begins anew.
INSERT INTO escalations AS e (notification_id, revision, steps, due_at)
SELECT notification_id, revision, steps, due_at
FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[])
    AS new (notification_id, revision, steps, due_at)
ORDER BY notification_id COLLATE "C"
ON CONFLICT (notification_id) DO UPDATE SET
    revision = excluded.revision, steps = excluded.steps, step = 0, due_at = excluded.due_at,
    after_user = '';

-- name: sends_end(notification_id)
-- End what waits of plans whose notifications were renewed.
UPDATE sends AS s
SET state = 'moot', reason = 'renewed'
FROM unnest($1::text[]) AS renewed (notification_id)
WHERE s.notification_id = renewed.notification_id AND s.state = 'waiting';

-- name: escalations_move(notification_id, target, revision)
-- A scheduled notification collapsed into an older one as it was released: its plan is that one's.
UPDATE escalations AS e
SET notification_id = moved.target, revision = moved.revision
FROM unnest($1::text[], $2::text[], $3::int[]) AS moved (notification_id, target, revision)
WHERE e.notification_id = moved.notification_id;

-- name: escalations_due(now, count)
--     -> notification_id, revision, steps, step, due_at, after_user, category, priority, topic,
--     standing, expires_at
SELECT due.*, n.category, n.priority, n.topic, n.standing, n.expires_at
FROM unnest($1::bigint[], $2::bigint[]) AS asked (now, count)
CROSS JOIN LATERAL (
    SELECT e.notification_id, e.revision, e.steps, e.step, e.due_at, e.after_user
    FROM escalations AS e
    WHERE e.due_at <= asked.now
    ORDER BY e.due_at, e.notification_id
    LIMIT asked.count
    FOR UPDATE SKIP LOCKED
) AS due
LEFT JOIN notifications AS n ON n.id = due.notification_id;

-- name: escalations_next() -> due_at
SELECT due_at FROM escalations ORDER BY due_at, notification_id LIMIT 1;

-- name: escalations_advance(notification_id, step, due_at, after_user)
UPDATE escalations AS e
SET step = new.step, due_at = new.due_at, after_user = new.after_user
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[])
    AS new (notification_id, step, due_at, after_user)
WHERE e.notification_id = new.notification_id;

-- name: escalations_delete(notification_id)
DELETE FROM escalations AS e
USING unnest($1::text[]) AS done (notification_id)
WHERE e.notification_id = done.notification_id;

-- name: escalation_recipients(notification_id, after_user, users_max)
--     -> notification_id, user_id, state, delivered_at, expired_at
-- The next recipients behind a user, by name.
SELECT asked.notification_id, i.user_id, i.state, i.delivered_at, i.expired_at
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS asked (notification_id, after_user, users_max)
CROSS JOIN LATERAL (
    SELECT r.user_id, r.state, r.delivered_at, r.expired_at
    FROM inbox AS r
    WHERE r.notification_id = asked.notification_id AND r.user_id > asked.after_user
    ORDER BY r.user_id
    LIMIT asked.users_max
) AS i
ORDER BY asked.notification_id, i.user_id;

-- name: escalation_subscribers(notification_id, topic, after_user, users_max)
--     -> notification_id, user_id, state, delivered_at, expired_at, behind
-- The next subscribers of a topic behind a user; `behind` if the notification has not been brought
-- into the user's log yet.
SELECT asked.notification_id, s.user_id, i.state, i.delivered_at, i.expired_at,
    s.position < latest.position AS behind
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    AS asked (notification_id, topic, after_user, users_max)
CROSS JOIN LATERAL (
    SELECT coalesce(max(l.position), 0) AS position
    FROM topic_log AS l
    WHERE l.notification_id = asked.notification_id AND l.topic = asked.topic
) AS latest
CROSS JOIN LATERAL (
    SELECT o.user_id, o.position
    FROM subscriptions AS o
    WHERE o.topic = asked.topic AND o.active AND o.user_id > asked.after_user
    ORDER BY o.user_id
    LIMIT asked.users_max
) AS s
LEFT JOIN inbox AS i ON i.notification_id = asked.notification_id AND i.user_id = s.user_id
ORDER BY asked.notification_id, s.user_id;

-- name: addresses_alive(user_id, channel) -> user_id, channel, name
SELECT a.user_id, a.channel, a.name
FROM unnest($1::text[], $2::text[]) AS asked (user_id, channel)
JOIN addresses AS a ON a.user_id = asked.user_id AND a.channel = asked.channel
WHERE a.dead_at IS NULL
ORDER BY a.user_id, a.channel, a.name;

-- name: channel_preferences_read(user_id) -> user_id, preferences
SELECT p.user_id, p.preferences
FROM unnest($1::text[]) AS asked (user_id)
JOIN channel_preferences AS p ON p.user_id = asked.user_id;

-- name: channel_preferences_save(user_id, preferences)
INSERT INTO channel_preferences (user_id, preferences)
SELECT user_id, preferences FROM unnest($1::text[], $2::text[]) AS new (user_id, preferences)
ON CONFLICT (user_id) DO UPDATE SET preferences = excluded.preferences;

-- name: channel_preferences_delete(user_id)
DELETE FROM channel_preferences AS p
USING unnest($1::text[]) AS asked (user_id)
WHERE p.user_id = asked.user_id;

-- name: sends_gathering(user_id, channel, address) -> user_id, channel, address, next_at
-- When the digest goes out that gathers for an address, if one does.
SELECT asked.user_id, asked.channel, asked.address, gathering.next_at
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (user_id, channel, address)
CROSS JOIN LATERAL (
    SELECT s.next_at
    FROM sends AS s
    WHERE s.user_id = asked.user_id AND s.channel = asked.channel AND s.address = asked.address
        AND s.state = 'waiting' AND s.digest > 0 AND s.attempts = 0
    ORDER BY s.next_at
    LIMIT 1
) AS gathering;

-- name: sends_insert(id, notification_id, user_id, channel, address, step, until, digest, state,
--     next_at, reason)
--     -> id
INSERT INTO sends (id, notification_id, user_id, channel, address, step, until, digest, state,
    next_at, reason)
SELECT id, notification_id, user_id, channel, address, step, until, digest, state, next_at, reason
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[],
    $8::int[], $9::text[], $10::bigint[], $11::text[])
    AS new (id, notification_id, user_id, channel, address, step, until, digest, state, next_at,
        reason)
ORDER BY id COLLATE "C"
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: sends_claim(channel, now, count)
--     -> id, notification_id, user_id, address, until, digest, attempts, value, fingerprint,
--     category, priority, document, expires_at, standing, state, delivered_at, expired_at
-- Sends that are due, locked together with their addresses: two sends to one address are claimed by
-- one node, so a digest goes out in one piece. What becomes of them is decided in this transaction.
SELECT due.*, n.category, n.priority, n.document, n.expires_at, n.standing, i.state,
    i.delivered_at, i.expired_at
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS asked (channel, now, count)
CROSS JOIN LATERAL (
    SELECT s.id, s.notification_id, s.user_id, s.address, s.until, s.digest, s.attempts, a.value,
        a.fingerprint
    FROM sends AS s
    JOIN addresses AS a
        ON a.user_id = s.user_id AND a.channel = s.channel AND a.name = s.address
    WHERE s.channel = asked.channel AND s.state = 'waiting' AND s.next_at <= asked.now
    ORDER BY s.next_at, s.id
    LIMIT asked.count
    FOR UPDATE OF s, a SKIP LOCKED
) AS due
LEFT JOIN notifications AS n ON n.id = due.notification_id
LEFT JOIN inbox AS i ON i.notification_id = due.notification_id AND i.user_id = due.user_id;

-- name: sends_claim_rest(channel, user_id, address, now, count)
--     -> id, notification_id, user_id, address, until, digest, attempts, value, fingerprint,
--     category, priority, document, expires_at, standing, state, delivered_at, expired_at
-- What else is due for an address whose digest was claimed.
SELECT due.*, n.category, n.priority, n.document, n.expires_at, n.standing, i.state,
    i.delivered_at, i.expired_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
    AS asked (channel, user_id, address, now, count)
CROSS JOIN LATERAL (
    SELECT s.id, s.notification_id, s.user_id, s.address, s.until, s.digest, s.attempts, a.value,
        a.fingerprint
    FROM sends AS s
    JOIN addresses AS a
        ON a.user_id = s.user_id AND a.channel = s.channel AND a.name = s.address
    WHERE s.user_id = asked.user_id AND s.channel = asked.channel AND s.address = asked.address
        AND s.state = 'waiting' AND s.digest > 0 AND s.next_at <= asked.now
    ORDER BY s.id
    LIMIT asked.count
    FOR UPDATE OF s, a SKIP LOCKED
) AS due
LEFT JOIN notifications AS n ON n.id = due.notification_id
LEFT JOIN inbox AS i ON i.notification_id = due.notification_id AND i.user_id = due.user_id;

-- name: sends_judge(id, state, attempts, next_at, node, reason)
UPDATE sends AS s
SET state = new.state, attempts = new.attempts, next_at = new.next_at, node = new.node,
    reason = new.reason
FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[], $6::text[])
    AS new (id, state, attempts, next_at, node, reason)
WHERE s.id = new.id;

-- name: sends_backlog(channel) -> channel, next_at, waiting
SELECT asked.channel, min(s.next_at) AS next_at, count(*) AS waiting
FROM unnest($1::text[]) AS asked (channel)
JOIN sends AS s ON s.channel = asked.channel AND s.state = 'waiting'
GROUP BY asked.channel;

-- name: sends_orphaned(channel, now)
-- Sends that are due and whose address went while they were made.
UPDATE sends AS s
SET state = 'moot', reason = 'address removed'
FROM unnest($1::text[], $2::bigint[]) AS asked (channel, now)
WHERE s.channel = asked.channel AND s.state = 'waiting' AND s.next_at <= asked.now
    AND NOT EXISTS (SELECT 1 FROM addresses AS a
        WHERE a.user_id = s.user_id AND a.channel = s.channel AND a.name = s.address);

-- name: sends_settle(id, node, claimed, state, attempts, next_at, at, reason, event, history_max)
--     -> id, notification_id, user_id, channel, address, state, attempts, reason
-- What became of claimed sends, and of each attempt. One that is given up becomes a dead letter; if
-- it was one before, it is that again.
UPDATE sends AS s
SET state = new.state, attempts = new.attempts, next_at = new.next_at, reason = new.reason,
    node = NULL,
    sent_at = CASE WHEN new.state = 'sent' THEN new.at END,
    history = CASE
        WHEN new.event IS NULL OR length(s.history) > new.history_max THEN s.history
        WHEN s.history = '' THEN new.event
        ELSE s.history || ',' || new.event END,
    letter = CASE WHEN new.state = 'dead' AND s.letter IS NULL
        THEN nextval(pg_get_serial_sequence('dead_letters', 'id')) ELSE s.letter END,
    letter_status = CASE WHEN new.state = 'dead' THEN 'dead' ELSE s.letter_status END,
    dead_at = CASE WHEN new.state = 'dead' THEN new.at ELSE s.dead_at END
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::int[], $6::bigint[], $7::bigint[],
    $8::text[], $9::text[], $10::int[])
    AS new (id, node, claimed, state, attempts, next_at, at, reason, event, history_max)
WHERE s.id = new.id AND s.node = new.node AND s.attempts = new.claimed AND s.state = 'waiting'
RETURNING s.id, s.notification_id, s.user_id, s.channel, s.address, s.state, s.attempts, s.reason;

-- name: send_letters_page(number, status, before, user_id, notification_id, letters_max)
--     -> number, id, notification_id, user_id, channel, address, attempts, reason, history, dead_at,
--     status
-- Sends that were given up, of one status, the newest first, below a number; of one user or
-- notification, if given.
SELECT asked.number, letter.*
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[])
    AS asked (number, status, before, user_id, notification_id, letters_max)
CROSS JOIN LATERAL (
    SELECT s.letter AS id, s.notification_id, s.user_id, s.channel, s.address, s.attempts,
        s.reason, s.history, s.dead_at, s.letter_status AS status
    FROM sends AS s
    WHERE s.letter_status = asked.status AND s.letter < asked.before AND s.letter IS NOT NULL
        AND (asked.user_id IS NULL OR s.user_id = asked.user_id)
        AND (asked.notification_id IS NULL OR s.notification_id = asked.notification_id)
    ORDER BY s.letter DESC
    LIMIT asked.letters_max
) AS letter;

-- name: send_letters_read(id)
--     -> id, notification_id, user_id, channel, address, attempts, reason, history, dead_at, status,
--     document
SELECT s.letter AS id, s.notification_id, s.user_id, s.channel, s.address, s.attempts, s.reason,
    s.history, s.dead_at, s.letter_status AS status, n.document
FROM unnest($1::bigint[]) AS asked (id)
JOIN sends AS s ON s.letter = asked.id AND s.letter IS NOT NULL
LEFT JOIN notifications AS n ON n.id = s.notification_id;

-- name: send_letters_settle(id, status, at, event) -> letter, channel
-- Settle letters; one that is replayed waits again, with its attempts counted anew.
UPDATE sends AS s
SET letter_status = settled.status, history = s.history || ',' || settled.event,
    state = CASE WHEN settled.status = 'replayed' THEN 'waiting' ELSE s.state END,
    attempts = CASE WHEN settled.status = 'replayed' THEN 0 ELSE s.attempts END,
    next_at = CASE WHEN settled.status = 'replayed' THEN settled.at ELSE s.next_at END
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[])
    AS settled (id, status, at, event)
WHERE s.letter = settled.id AND s.letter IS NOT NULL AND s.letter_status = 'dead'
    AND s.state = 'dead'
RETURNING s.letter, s.channel;

-- name: sends_of_dead_address(user_id, channel, address, reason)
UPDATE sends AS s
SET state = 'moot', reason = gone.reason, node = NULL
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS gone (user_id, channel, address, reason)
WHERE s.user_id = gone.user_id AND s.channel = gone.channel AND s.address = gone.address
    AND s.state = 'waiting';

-- name: addresses_pass(user_id, channel, name)
UPDATE addresses AS a
SET failures = 0
FROM unnest($1::text[], $2::text[], $3::text[]) AS passed (user_id, channel, name)
WHERE a.user_id = passed.user_id AND a.channel = passed.channel AND a.name = passed.name
    AND a.failures > 0;

-- name: addresses_fail(user_id, channel, name, fingerprint, failures_max, at, reason)
--     -> user_id, channel, name, dead_at
UPDATE addresses AS a
SET failures = a.failures + 1,
    dead_at = CASE WHEN a.failures + 1 >= failed.failures_max THEN failed.at END,
    dead_reason = CASE WHEN a.failures + 1 >= failed.failures_max THEN failed.reason END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::text[])
    AS failed (user_id, channel, name, fingerprint, failures_max, at, reason)
WHERE a.user_id = failed.user_id AND a.channel = failed.channel AND a.name = failed.name
    AND a.fingerprint = failed.fingerprint
RETURNING a.user_id, a.channel, a.name, a.dead_at;

-- name: addresses_delete(user_id, channel, name, fingerprint) -> user_id, channel, name
-- Forget addresses; an empty fingerprint stands for any value.
DELETE FROM addresses AS a
USING unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS gone (user_id, channel, name, fingerprint)
WHERE a.user_id = gone.user_id AND a.channel = gone.channel AND a.name = gone.name
    AND gone.fingerprint IN ('', a.fingerprint)
RETURNING a.user_id, a.channel, a.name;

-- name: addresses_save(user_id, channel, name, value, fingerprint, created_at)
INSERT INTO addresses AS a (user_id, channel, name, value, fingerprint, created_at)
SELECT user_id, channel, name, value, fingerprint, created_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
    AS new (user_id, channel, name, value, fingerprint, created_at)
ON CONFLICT (user_id, channel, name) DO UPDATE SET
    value = excluded.value, fingerprint = excluded.fingerprint,
    created_at = excluded.created_at, failures = 0, dead_at = NULL, dead_reason = NULL;

-- name: addresses_moved(user_id, channel, name, fingerprint) -> user_id, channel, name
-- Forget what has the same value under another name, or of another user.
DELETE FROM addresses AS a
USING unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS new (user_id, channel, name, fingerprint)
WHERE a.channel = new.channel AND a.fingerprint = new.fingerprint
    AND (a.user_id, a.name) <> (new.user_id, new.name)
RETURNING a.user_id, a.channel, a.name;

-- name: addresses_surplus(user_id, channel, count_max) -> user_id, channel, name
-- Forget the oldest of more addresses than a user may have.
DELETE FROM addresses AS a
USING (
    SELECT surplus.*
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS asked (user_id, channel, count_max)
    CROSS JOIN LATERAL (
        SELECT o.user_id, o.channel, o.name
        FROM addresses AS o
        WHERE o.user_id = asked.user_id AND o.channel = asked.channel
        ORDER BY o.created_at DESC, o.name DESC
        OFFSET asked.count_max
    ) AS surplus
) AS s
WHERE a.user_id = s.user_id AND a.channel = s.channel AND a.name = s.name
RETURNING a.user_id, a.channel, a.name;

-- name: addresses_list(user_id) -> user_id, channel, name, value, created_at, dead_reason
SELECT a.user_id, a.channel, a.name, a.value, a.created_at, a.dead_reason
FROM unnest($1::text[]) AS asked (user_id)
JOIN addresses AS a ON a.user_id = asked.user_id
ORDER BY a.user_id, a.channel, a.name;

-- name: sends_page(number, notification_id, after, sends_max)
--     -> number, id, user_id, channel, address, step, state, attempts, next_at, sent_at, reason,
--     history
-- A page of a notification's sends; a row without an id if there are none, and no row if there is
-- no such notification.
SELECT asked.number, s.id, s.user_id, s.channel, s.address, s.step, s.state, s.attempts,
    s.next_at, s.sent_at, s.reason, s.history
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
    AS asked (number, notification_id, after, sends_max)
JOIN notifications AS n ON n.id = asked.notification_id
LEFT JOIN LATERAL (
    SELECT o.*
    FROM sends AS o
    WHERE o.notification_id = asked.notification_id AND o.id > asked.after
    ORDER BY o.id
    LIMIT asked.sends_max
) AS s ON true
ORDER BY asked.number, s.id;
