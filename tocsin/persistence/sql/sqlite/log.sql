-- Changes of the user log: publish, update, withdraw, expire.

-- name: idempotency_claim -> rows
-- Claim a key for a notification, or read who has it. The update changes nothing; without it a
-- taken key would return no row.
INSERT INTO idempotency (credential, key, fingerprint, answer, notification_id, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (credential, key) DO UPDATE SET key = excluded.key
RETURNING credential, key, fingerprint, answer, notification_id;

-- name: idempotency_answer
-- What was not known yet when the key was claimed.
UPDATE idempotency SET answer = ?3 WHERE credential = ?1 AND key = ?2;

-- name: idempotency_return
DELETE FROM idempotency WHERE credential = ?1 AND key = ?2;

-- name: notifications_insert -> rows
-- Returns the ids that are new: a publish that is repeated finds its own notification here.
INSERT INTO notifications (id, revision, category, created_at, updated_at, expires_at, document,
    document_bytes, standing, priority, topic, collapse_key, recipients, credential, kept_from)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, length(CAST(?7 AS BLOB)), ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: notifications_addressed -> rows
-- How many recipients a publish was told that it has.
SELECT id, coalesce(recipients, 0) FROM notifications WHERE id = ?1;

-- name: notifications_delete
-- What collapsed into another one as it was published: nobody has seen it.
DELETE FROM notifications WHERE id = ?1;

-- name: notifications_lock -> rows
-- What an update or a withdrawal is about, and when it is to be delivered if it waits for that.
-- (SQLite has one writer: nothing to lock.)
SELECT id, revision, category, created_at, updated_at, expires_at, document, standing,
    priority, topic, collapse_key,
    coalesce(recipients, (SELECT count(*) FROM inbox AS i WHERE i.notification_id = id)),
    CASE standing WHEN 'scheduled' THEN
        (SELECT deliver_at FROM schedule WHERE notification_id = id) END
FROM notifications
WHERE id = ?1;

-- name: notifications_due -> rows
-- At most ?2 notifications that expire at ?1 or before, the earliest first.
SELECT id, revision, category, created_at, updated_at, expires_at, document, standing,
    priority, topic, collapse_key,
    coalesce(recipients, (SELECT count(*) FROM inbox AS i WHERE i.notification_id = id)),
    NULL
FROM notifications
WHERE standing = 'active' AND expires_at <= ?1
ORDER BY expires_at, id
LIMIT ?2;

-- name: notifications_next_expiry -> rows
-- When the next notification expires; no row if none will.
SELECT expires_at
FROM notifications
WHERE standing = 'active' AND expires_at IS NOT NULL
ORDER BY expires_at
LIMIT 1;

-- name: notifications_save
UPDATE notifications
SET revision = ?2, category = ?3, updated_at = ?4, expires_at = ?5, document = ?6,
    document_bytes = length(CAST(?6 AS BLOB)), standing = ?7, priority = ?8, recipients = ?9,
    kept_from = max(kept_from, ?4)
WHERE id = ?1;

-- name: recipients -> rows
SELECT user_id
FROM inbox
WHERE notification_id = ?1 AND state <> 'withdrawn' AND expired_at IS NULL;

-- name: users_lock -> rows
-- In SQLite only for the sake of the same statements in both dialects.
SELECT user_id, head FROM users WHERE user_id = ?1;

-- name: inbox_states -> rows
-- What each recipient has done with a notification, once their users are locked.
SELECT notification_id, user_id, state, seen_at, read_at
FROM inbox
WHERE notification_id = ?1 AND state <> 'withdrawn' AND expired_at IS NULL;

-- name: users_advance -> rows
-- Give out ?2 sequences to a user and correct the counters; returns where that leads.
INSERT INTO users (user_id, head, unread, unseen, changed_at)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (user_id) DO UPDATE SET
    head = users.head + excluded.head,
    unread = users.unread + excluded.unread,
    unseen = users.unseen + excluded.unseen,
    changed_at = CASE WHEN excluded.head > 0 THEN max(users.changed_at, excluded.changed_at)
        ELSE users.changed_at END
RETURNING user_id, head, unread, unseen;

-- name: inbox_insert
-- Who had it and lost it, by an expiry or to another notification with its collapse key, gets it anew.
INSERT INTO inbox (notification_id, user_id, sequence, created_sequence)
VALUES (?1, ?2, ?3, ?3)
ON CONFLICT (notification_id, user_id) DO UPDATE SET
    sequence = excluded.sequence, created_sequence = excluded.created_sequence,
    change = 'created', state = 'unseen', seen_at = NULL, read_at = NULL, archived_at = NULL,
    delivered_at = NULL, expired_at = NULL;

-- name: inbox_save
-- Move a row to its new place in the log; the state stays unless one is given. What is, or was in
-- between, unseen anew (?6), has not been delivered as it is now.
UPDATE inbox
SET sequence = ?3, change = ?4, state = coalesce(?5, state),
    seen_at = iif(?6, NULL, seen_at),
    read_at = iif(?6, NULL, read_at),
    archived_at = iif(?6, NULL, archived_at),
    delivered_at = iif(?6, NULL, delivered_at)
WHERE notification_id = ?1 AND user_id = ?2;

-- name: inbox_expire
UPDATE inbox
SET expired_at = ?2
WHERE notification_id = ?1 AND state <> 'withdrawn' AND expired_at IS NULL;
