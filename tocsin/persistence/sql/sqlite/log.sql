-- Changes of the user log: publish, update, withdraw, expire.

-- name: idempotency_claim(credential, key, fingerprint, answer, notification_id, created_at)
--     -> credential, key, fingerprint, answer, notification_id
-- Claim a key for a notification, or read which notification has it. The update changes nothing;
-- without it a taken key would return no row.
INSERT INTO idempotency (credential, key, fingerprint, answer, notification_id, created_at)
VALUES (:credential, :key, :fingerprint, :answer, :notification_id, :created_at)
ON CONFLICT (credential, key) DO UPDATE SET key = excluded.key
RETURNING credential, key, fingerprint, answer, notification_id;

-- name: idempotency_answer(credential, key, answer)
-- Write answers that were not known yet when their keys were claimed.
UPDATE idempotency SET answer = :answer WHERE credential = :credential AND key = :key;

-- name: idempotency_return(credential, key)
DELETE FROM idempotency WHERE credential = :credential AND key = :key;

-- name: notifications_insert(id, revision, category, created_at, updated_at, expires_at, document,
--     standing, priority, topic, collapse_key, recipients, credential, kept_from)
--     -> id
-- Returns the ids that are new. A repeated publish finds its own notification here, and no new id.
INSERT INTO notifications (id, revision, category, created_at, updated_at, expires_at, document,
    document_bytes, standing, priority, topic, collapse_key, recipients, credential, kept_from)
VALUES (:id, :revision, :category, :created_at, :updated_at, :expires_at, :document,
    length(CAST(:document AS BLOB)), :standing, :priority, :topic, :collapse_key, :recipients,
        :credential, :kept_from)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: notifications_addressed(id) -> id, recipients
-- The number of recipients that the answer to a publish named.
SELECT id, coalesce(recipients, 0) AS recipients FROM notifications WHERE id = :id;

-- name: notifications_delete(id)
-- Delete notifications that collapsed into others as they were published: no user has them.
DELETE FROM notifications WHERE id = :id;

-- name: notifications_lock(id)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key, recipients, deliver_at
-- Read a notification, with the time of delivery if it is scheduled. (SQLite has one writer: there
-- is nothing to lock.)
SELECT id, revision, category, created_at, updated_at, expires_at, document, standing,
    priority, topic, collapse_key,
    coalesce(recipients, (SELECT count(*) FROM inbox AS i WHERE i.notification_id = id))
        AS recipients,
    CASE standing WHEN 'scheduled' THEN
        (SELECT deliver_at FROM schedule WHERE notification_id = id) END AS deliver_at
FROM notifications
WHERE id = :id;

-- name: notifications_due(now, count)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key, recipients, deliver_at
-- At most `count` notifications that expire at `now` or before, the earliest first.
SELECT id, revision, category, created_at, updated_at, expires_at, document, standing,
    priority, topic, collapse_key,
    coalesce(recipients, (SELECT count(*) FROM inbox AS i WHERE i.notification_id = id))
        AS recipients,
    NULL AS deliver_at
FROM notifications
WHERE standing = 'active' AND expires_at <= :now
ORDER BY expires_at, id
LIMIT :count;

-- name: notifications_next_expiry() -> expires_at
-- The time at which the next notification expires; no row if none will.
SELECT expires_at
FROM notifications
WHERE standing = 'active' AND expires_at IS NOT NULL
ORDER BY expires_at
LIMIT 1;

-- name: notifications_save(id, revision, category, updated_at, expires_at, document, standing,
--     priority, recipients)
UPDATE notifications
SET revision = :revision, category = :category, updated_at = :updated_at, expires_at = :expires_at,
    document = :document,
    document_bytes = length(CAST(:document AS BLOB)), standing = :standing, priority = :priority,
        recipients = :recipients,
    kept_from = max(kept_from, :updated_at)
WHERE id = :id;

-- name: recipients(notification_id) -> user_id
SELECT user_id
FROM inbox
WHERE notification_id = :notification_id AND state <> 'withdrawn' AND expired_at IS NULL;

-- name: users_lock(user_id) -> user_id, head
-- Both dialects have the same statements; SQLite needs no lock here, because it has one writer.
SELECT user_id, head FROM users WHERE user_id = :user_id;

-- name: inbox_states(notification_id) -> notification_id, user_id, state, seen_at, read_at
-- The state of a notification for each recipient. The users are locked, so that it stays so.
SELECT notification_id, user_id, state, seen_at, read_at
FROM inbox
WHERE notification_id = :notification_id AND state <> 'withdrawn' AND expired_at IS NULL;

-- name: users_advance(user_id, taken, unread, unseen, changed_at) -> user_id, head, unread, unseen
-- Give out `taken` sequences to a user and correct the counters; returns both afterwards.
INSERT INTO users (user_id, head, unread, unseen, changed_at)
VALUES (:user_id, :taken, :unread, :unseen, :changed_at)
ON CONFLICT (user_id) DO UPDATE SET
    head = users.head + excluded.head,
    unread = users.unread + excluded.unread,
    unseen = users.unseen + excluded.unseen,
    changed_at = CASE WHEN excluded.head > 0 THEN max(users.changed_at, excluded.changed_at)
        ELSE users.changed_at END
RETURNING user_id, head, unread, unseen;

-- name: inbox_insert(notification_id, user_id, sequence)
-- A user who had the notification and lost it, by an expiry or to another one with its collapse
-- key, has a row already, and gets it anew.
INSERT INTO inbox (notification_id, user_id, sequence, created_sequence)
VALUES (:notification_id, :user_id, :sequence, :sequence)
ON CONFLICT (notification_id, user_id) DO UPDATE SET
    sequence = excluded.sequence, created_sequence = excluded.created_sequence,
    change = 'created', state = 'unseen', seen_at = NULL, read_at = NULL, archived_at = NULL,
    delivered_at = NULL, expired_at = NULL;

-- name: inbox_save(notification_id, user_id, sequence, change, state, anew)
-- Move a row to its new place in the log; the state stays unless one is given. A row that is, or
-- was in between, unseen `anew` counts as not delivered: no device has it as it is now.
UPDATE inbox
SET sequence = :sequence, change = :change, state = coalesce(:state, state),
    seen_at = iif(:anew, NULL, seen_at),
    read_at = iif(:anew, NULL, read_at),
    archived_at = iif(:anew, NULL, archived_at),
    delivered_at = iif(:anew, NULL, delivered_at)
WHERE notification_id = :notification_id AND user_id = :user_id;

-- name: inbox_expire(notification_id, at)
UPDATE inbox
SET expired_at = :at
WHERE notification_id = :notification_id AND state <> 'withdrawn' AND expired_at IS NULL;
