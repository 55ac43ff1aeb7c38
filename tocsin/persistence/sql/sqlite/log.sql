-- Changes of the user log: publish, update, withdraw, expire.

-- name: idempotency_claim(credential, key, fingerprint, answer, notification_id, created_at)
--     -> credential, key, fingerprint, answer, notification_id
-- Claim a key for a notification, or read who has it. The update changes nothing; without it a
-- taken key would return no row.
INSERT INTO idempotency (credential, key, fingerprint, answer, notification_id, created_at)
VALUES (:credential, :key, :fingerprint, :answer, :notification_id, :created_at)
ON CONFLICT (credential, key) DO UPDATE SET key = excluded.key
RETURNING credential, key, fingerprint, answer, notification_id;

-- name: idempotency_answer(credential, key, answer)
-- What was not known yet when the key was claimed.
UPDATE idempotency SET answer = :answer WHERE credential = :credential AND key = :key;

-- name: idempotency_return(credential, key)
DELETE FROM idempotency WHERE credential = :credential AND key = :key;

-- name: notifications_insert(id, revision, category, created_at, updated_at, expires_at, document,
--     standing, priority, topic, collapse_key, recipients, credential, kept_from)
--     -> id
-- Returns the ids that are new: a publish that is repeated finds its own notification here.
INSERT INTO notifications (id, revision, category, created_at, updated_at, expires_at, document,
    document_bytes, standing, priority, topic, collapse_key, recipients, credential, kept_from)
VALUES (:id, :revision, :category, :created_at, :updated_at, :expires_at, :document,
    length(CAST(:document AS BLOB)), :standing, :priority, :topic, :collapse_key, :recipients,
        :credential, :kept_from)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: notifications_addressed(id) -> id, recipients
-- How many recipients a publish was told that it has.
SELECT id, coalesce(recipients, 0) AS recipients FROM notifications WHERE id = :id;

-- name: notifications_delete(id)
-- What collapsed into another one as it was published: nobody has seen it.
DELETE FROM notifications WHERE id = :id;

-- name: notifications_lock(id)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key, recipients, deliver_at
-- What an update or a withdrawal is about, and when it is to be delivered if it waits for that.
-- (SQLite has one writer: nothing to lock.)
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
-- When the next notification expires; no row if none will.
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
-- In SQLite only for the sake of the same statements in both dialects.
SELECT user_id, head FROM users WHERE user_id = :user_id;

-- name: inbox_states(notification_id) -> notification_id, user_id, state, seen_at, read_at
-- What each recipient has done with a notification, once their users are locked.
SELECT notification_id, user_id, state, seen_at, read_at
FROM inbox
WHERE notification_id = :notification_id AND state <> 'withdrawn' AND expired_at IS NULL;

-- name: users_advance(user_id, taken, unread, unseen, changed_at) -> user_id, head, unread, unseen
-- Give out `taken` sequences to a user and correct the counters; returns where that leads.
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
-- Who had it and lost it, by an expiry or to another notification with its collapse key, gets it
-- anew.
INSERT INTO inbox (notification_id, user_id, sequence, created_sequence)
VALUES (:notification_id, :user_id, :sequence, :sequence)
ON CONFLICT (notification_id, user_id) DO UPDATE SET
    sequence = excluded.sequence, created_sequence = excluded.created_sequence,
    change = 'created', state = 'unseen', seen_at = NULL, read_at = NULL, archived_at = NULL,
    delivered_at = NULL, expired_at = NULL;

-- name: inbox_save(notification_id, user_id, sequence, change, state, anew)
-- Move a row to its new place in the log; the state stays unless one is given. What is, or was in
-- between, unseen anew (`anew`), has not been delivered as it is now.
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
