-- Marks: states that users give to what is in their inbox.

-- name: users_hold -> rows
-- Where a user's log is. (SQLite has one writer: nothing to lock.)
SELECT user_id, head, unread, unseen FROM users WHERE user_id = ?1;

-- name: marks_named -> rows
-- What can be marked of a notification (?2) that was named.
SELECT user_id, notification_id, created_sequence, state, seen_at, read_at
FROM inbox
WHERE notification_id = ?2 AND user_id = ?1 AND expired_at IS NULL AND state <> 'withdrawn';

-- name: marks_unread -> rows
-- Of a user's unread notifications those in one of the states ?2 (between commas) and created up to
-- the sequence ?3, the oldest first, at most ?4.
SELECT user_id, notification_id, created_sequence, state, seen_at, read_at
FROM inbox
WHERE user_id = ?1 AND created_sequence <= ?3
    AND state IN ('unseen', 'seen') AND expired_at IS NULL
    AND instr(?2, ',' || state || ',') > 0
ORDER BY created_sequence
LIMIT ?4;

-- name: marks_any -> rows
-- The same of all notifications.
SELECT user_id, notification_id, created_sequence, state, seen_at, read_at
FROM inbox
WHERE user_id = ?1 AND created_sequence <= ?3
    AND expired_at IS NULL
    AND instr(?2, ',' || state || ',') > 0
ORDER BY created_sequence
LIMIT ?4;

-- name: marks_save
UPDATE inbox
SET sequence = ?3, change = 'state', state = ?4, seen_at = ?5, read_at = ?6, archived_at = ?7
WHERE notification_id = ?1 AND user_id = ?2;
