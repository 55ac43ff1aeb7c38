-- Marks: states that users give to notifications of their inbox.

-- name: users_hold(user_id) -> user_id, head, unread, unseen
-- The head and counters of a user's log. (SQLite has one writer: there is nothing to lock.)
SELECT user_id, head, unread, unseen FROM users WHERE user_id = :user_id;

-- name: marks_named(user_id, notification_id)
--     -> user_id, notification_id, created_sequence, state, seen_at, read_at
-- A named notification, if it can be marked.
SELECT user_id, notification_id, created_sequence, state, seen_at, read_at
FROM inbox
WHERE notification_id = :notification_id AND user_id = :user_id AND expired_at IS NULL
    AND state <> 'withdrawn';

-- name: marks_unread(user_id, states, through, rows_max)
--     -> user_id, notification_id, created_sequence, state, seen_at, read_at
-- Of a user's unread notifications those in one of the states `states` (between commas) and created
-- up to the sequence `through`, the oldest first, at most `rows_max`.
SELECT user_id, notification_id, created_sequence, state, seen_at, read_at
FROM inbox
WHERE user_id = :user_id AND created_sequence <= :through
    AND state IN ('unseen', 'seen') AND expired_at IS NULL
    AND instr(:states, ',' || state || ',') > 0
ORDER BY created_sequence
LIMIT :rows_max;

-- name: marks_any(user_id, states, through, rows_max)
--     -> user_id, notification_id, created_sequence, state, seen_at, read_at
-- The same of all notifications.
SELECT user_id, notification_id, created_sequence, state, seen_at, read_at
FROM inbox
WHERE user_id = :user_id AND created_sequence <= :through
    AND expired_at IS NULL
    AND instr(:states, ',' || state || ',') > 0
ORDER BY created_sequence
LIMIT :rows_max;

-- name: marks_save(notification_id, user_id, sequence, state, seen_at, read_at, archived_at)
UPDATE inbox
SET sequence = :sequence, change = 'state', state = :state, seen_at = :seen_at, read_at = :read_at,
    archived_at = :archived_at
WHERE notification_id = :notification_id AND user_id = :user_id;
