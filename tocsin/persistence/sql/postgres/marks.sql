-- Marks: states that users give to notifications of their inbox.

-- name: users_hold(user_id) -> user_id, head, unread, unseen
-- Lock these users' logs until the transaction ends, and read their heads and counters; a user
-- without a log is left out.
SELECT u.user_id, u.head, u.unread, u.unseen
FROM users AS u
WHERE u.user_id = ANY ($1::text[])
ORDER BY u.user_id
FOR UPDATE;

-- name: marks_named(user_id, notification_id)
--     -> user_id, notification_id, created_sequence, state, seen_at, read_at
-- The named notifications that can be marked. Their users are locked, so that the states stay.
SELECT i.user_id, i.notification_id, i.created_sequence, i.state, i.seen_at, i.read_at
FROM unnest($1::text[], $2::text[]) AS named (user_id, notification_id)
JOIN inbox AS i
    ON i.notification_id = named.notification_id AND i.user_id = named.user_id
WHERE i.expired_at IS NULL AND i.state <> 'withdrawn';

-- name: marks_unread(user_id, states, through, rows_max)
--     -> user_id, notification_id, created_sequence, state, seen_at, read_at
-- Of each user's unread notifications those in one of `states` (between commas) and created up to a
-- sequence, the oldest first, at most `rows_max`.
SELECT asked.user_id, found.*
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
    AS asked (user_id, states, through, rows_max)
CROSS JOIN LATERAL (
    SELECT i.notification_id, i.created_sequence, i.state, i.seen_at, i.read_at
    FROM inbox AS i
    WHERE i.user_id = asked.user_id AND i.created_sequence <= asked.through
        AND i.state IN ('unseen', 'seen') AND i.expired_at IS NULL
        AND strpos(asked.states, ',' || i.state || ',') > 0
    ORDER BY i.created_sequence
    LIMIT asked.rows_max
) AS found;

-- name: marks_any(user_id, states, through, rows_max)
--     -> user_id, notification_id, created_sequence, state, seen_at, read_at
-- The same of all notifications.
SELECT asked.user_id, found.*
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
    AS asked (user_id, states, through, rows_max)
CROSS JOIN LATERAL (
    SELECT i.notification_id, i.created_sequence, i.state, i.seen_at, i.read_at
    FROM inbox AS i
    WHERE i.user_id = asked.user_id AND i.created_sequence <= asked.through
        AND i.expired_at IS NULL
        AND strpos(asked.states, ',' || i.state || ',') > 0
    ORDER BY i.created_sequence
    LIMIT asked.rows_max
) AS found;

-- name: marks_save(notification_id, user_id, sequence, state, seen_at, read_at, archived_at)
UPDATE inbox AS i
SET sequence = new.sequence, change = 'state', state = new.state, seen_at = new.seen_at,
    read_at = new.read_at, archived_at = new.archived_at
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[],
    $7::bigint[])
    AS new (notification_id, user_id, sequence, state, seen_at, read_at, archived_at)
WHERE i.notification_id = new.notification_id AND i.user_id = new.user_id;
