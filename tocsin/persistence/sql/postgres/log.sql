-- Changes of the user log: publish, update, withdraw, expire.
--
-- Rows that other transactions may need are locked or written in the order of their keys, so that
-- of two transactions only one can wait for the other: no deadlock.

-- name: idempotency_claim(credential, key, fingerprint, answer, notification_id, created_at)
--     -> credential, key, fingerprint, answer, notification_id
-- Claim keys for notifications, or read which notification has them; waits for a transaction that
-- is claiming the same key. The update changes nothing; without it a taken key would return no row.
INSERT INTO idempotency (credential, key, fingerprint, answer, notification_id, created_at)
SELECT credential, key, fingerprint, answer, notification_id, created_at
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::bigint[])
    AS claim (credential, key, fingerprint, answer, notification_id, created_at)
ORDER BY credential COLLATE "C", key COLLATE "C"
ON CONFLICT (credential, key) DO UPDATE SET key = excluded.key
RETURNING credential, key, fingerprint, answer, notification_id;

-- name: idempotency_answer(credential, key, answer)
-- Write answers that were not known yet when their keys were claimed.
UPDATE idempotency AS i
SET answer = new.answer
FROM unnest($1::text[], $2::text[], $3::text[]) AS new (credential, key, answer)
WHERE i.credential = new.credential AND i.key = new.key;

-- name: idempotency_return(credential, key)
DELETE FROM idempotency AS i
USING unnest($1::text[], $2::text[]) AS claim (credential, key)
WHERE i.credential = claim.credential AND i.key = claim.key;

-- name: notifications_insert(id, revision, category, created_at, updated_at, expires_at, document,
--     standing, priority, topic, collapse_key, recipients, credential, kept_from)
--     -> id
-- Returns the ids that are new. A repeated publish finds its own notification here, and no new id.
INSERT INTO notifications (id, revision, category, created_at, updated_at, expires_at, document,
    document_bytes, standing, priority, topic, collapse_key, recipients, credential, kept_from)
SELECT id, revision, category, created_at, updated_at, expires_at, document,
    octet_length(document), standing, priority, topic, collapse_key, recipients, credential,
    kept_from
FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[],
    $14::bigint[])
    AS new (id, revision, category, created_at, updated_at, expires_at, document, standing,
        priority, topic, collapse_key, recipients, credential, kept_from)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: notifications_addressed(id) -> id, recipients
-- The number of recipients that the answer to a publish named.
SELECT n.id, coalesce(n.recipients, 0) AS recipients
FROM unnest($1::text[]) AS asked (id)
JOIN notifications AS n ON n.id = asked.id;

-- name: notifications_delete(id)
-- Delete notifications that collapsed into others as they were published: no user has them.
DELETE FROM notifications AS n
USING unnest($1::text[]) AS absorbed (id)
WHERE n.id = absorbed.id;

-- name: notifications_lock(id)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key, recipients, deliver_at
-- Lock and read notifications, with the time of delivery if they are scheduled.
SELECT n.id, n.revision, n.category, n.created_at, n.updated_at, n.expires_at, n.document,
    n.standing, n.priority, n.topic, n.collapse_key,
    coalesce(n.recipients, (SELECT count(*) FROM inbox AS i WHERE i.notification_id = n.id))
        AS recipients,
    CASE n.standing WHEN 'scheduled' THEN
        (SELECT s.deliver_at FROM schedule AS s WHERE s.notification_id = n.id) END AS deliver_at
FROM notifications AS n
WHERE n.id = ANY ($1::text[])
ORDER BY n.id
FOR UPDATE;

-- name: notifications_due(now, count)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key, recipients, deliver_at
-- At most $2 notifications that expire at $1 or before, the earliest first. Locked ones are passed
-- over: another transaction is changing them, or another node is expiring them.
SELECT due.*
FROM unnest($1::bigint[], $2::bigint[]) AS asked (now, count)
CROSS JOIN LATERAL (
    SELECT n.id, n.revision, n.category, n.created_at, n.updated_at, n.expires_at, n.document,
        n.standing, n.priority, n.topic, n.collapse_key,
        coalesce(n.recipients, (SELECT count(*) FROM inbox AS i WHERE i.notification_id = n.id))
        AS recipients,
        NULL::bigint AS deliver_at
    FROM notifications AS n
    WHERE n.standing = 'active' AND n.expires_at <= asked.now
    ORDER BY n.expires_at, n.id
    LIMIT asked.count
    FOR UPDATE SKIP LOCKED
) AS due;

-- name: notifications_next_expiry() -> expires_at
-- The time at which the next notification expires; no row if none will.
SELECT expires_at
FROM notifications
WHERE standing = 'active' AND expires_at IS NOT NULL
ORDER BY expires_at
LIMIT 1;

-- name: notifications_save(id, revision, category, updated_at, expires_at, document, standing,
--     priority, recipients)
UPDATE notifications AS n
SET revision = new.revision, category = new.category, updated_at = new.updated_at,
    expires_at = new.expires_at, document = new.document,
    document_bytes = octet_length(new.document), standing = new.standing,
    priority = new.priority, recipients = new.recipients,
    kept_from = greatest(n.kept_from, new.updated_at)
FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::text[],
    $7::text[], $8::text[], $9::bigint[])
    AS new (id, revision, category, updated_at, expires_at, document, standing, priority,
        recipients)
WHERE n.id = new.id;

-- name: recipients(notification_id) -> user_id
SELECT i.user_id
FROM unnest($1::text[]) AS asked (notification_id)
JOIN inbox AS i ON i.notification_id = asked.notification_id
WHERE i.state <> 'withdrawn' AND i.expired_at IS NULL;

-- name: users_lock(user_id) -> user_id, head
-- Lock users: no other transaction changes their logs until this one ends.
SELECT u.user_id, u.head
FROM users AS u
WHERE u.user_id = ANY ($1::text[])
ORDER BY u.user_id
FOR UPDATE;

-- name: inbox_states(notification_id) -> notification_id, user_id, state, seen_at, read_at
-- The state of a notification for each recipient. The users are locked, so that it stays so.
SELECT i.notification_id, i.user_id, i.state, i.seen_at, i.read_at
FROM unnest($1::text[]) AS asked (notification_id)
JOIN inbox AS i ON i.notification_id = asked.notification_id
WHERE i.state <> 'withdrawn' AND i.expired_at IS NULL;

-- name: users_advance(user_id, taken, unread, unseen, changed_at) -> user_id, head, unread, unseen
-- Give out `taken` sequences to each user and correct the counters; returns both afterwards. This
-- is the lock that makes a log visible in order: a second transaction waits here until the first
-- one has committed.
INSERT INTO users AS u (user_id, head, unread, unseen, changed_at)
SELECT user_id, taken, unread, unseen, changed_at
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS advance (user_id, taken, unread, unseen, changed_at)
ORDER BY user_id COLLATE "C"
ON CONFLICT (user_id) DO UPDATE SET
    head = u.head + excluded.head,
    unread = u.unread + excluded.unread,
    unseen = u.unseen + excluded.unseen,
    changed_at = CASE WHEN excluded.head > 0 THEN greatest(u.changed_at, excluded.changed_at)
        ELSE u.changed_at END
RETURNING u.user_id, u.head, u.unread, u.unseen;

-- name: inbox_insert(notification_id, user_id, sequence)
-- A user who had the notification and lost it, by an expiry or to another one with its collapse
-- key, has a row already, and gets it anew.
INSERT INTO inbox (notification_id, user_id, sequence, created_sequence)
SELECT notification_id, user_id, sequence, sequence
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (notification_id, user_id, sequence)
ON CONFLICT (notification_id, user_id) DO UPDATE SET
    sequence = excluded.sequence, created_sequence = excluded.created_sequence,
    change = 'created', state = 'unseen', seen_at = NULL, read_at = NULL, archived_at = NULL,
    delivered_at = NULL, expired_at = NULL;

-- name: inbox_save(notification_id, user_id, sequence, change, state, anew)
-- Move rows to their new places in the log; the state stays unless one is given. A row that is, or
-- was in between, unseen `anew` counts as not delivered: no device has it as it is now.
UPDATE inbox AS i
SET sequence = new.sequence, change = new.change, state = coalesce(new.state, i.state),
    seen_at = CASE WHEN new.anew THEN NULL ELSE i.seen_at END,
    read_at = CASE WHEN new.anew THEN NULL ELSE i.read_at END,
    archived_at = CASE WHEN new.anew THEN NULL ELSE i.archived_at END,
    delivered_at = CASE WHEN new.anew THEN NULL ELSE i.delivered_at END
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::boolean[])
    AS new (notification_id, user_id, sequence, change, state, anew)
WHERE i.notification_id = new.notification_id AND i.user_id = new.user_id;

-- name: inbox_expire(notification_id, at)
UPDATE inbox AS i
SET expired_at = expired.at
FROM unnest($1::text[], $2::bigint[]) AS expired (notification_id, at)
WHERE i.notification_id = expired.notification_id
    AND i.state <> 'withdrawn' AND i.expired_at IS NULL;
