-- Dead letters: what did not arrive, until somebody settles it.

-- name: letters_known -> rows
-- The line of the ledger, if it has met this death (at sequence ?4) already, or has a later life
-- behind it.
SELECT notification_id, user_id, device_id
FROM deliveries
WHERE notification_id = ?1 AND user_id = ?2 AND device_id = ?3
    AND (sequence > ?4 OR (sequence = ?4 AND dead_reason IS NOT NULL));

-- name: letters_bury
-- Write a letter; one that was settled is open again. What was withdrawn, and what the user does not
-- have, leaves none. The ledger knows best when it was first sent: there were sessions before.
INSERT INTO dead_letters AS l (notification_id, user_id, device_id, cause, reason, attempts,
    first_sent_at, dead_at, history)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, coalesce(d.first_sent_at, ?7), ?8,
    '[' || coalesce('{"at":' || coalesce(d.first_sent_at, ?7) || ',"event":"sent"},', '')
        || '{"at":' || ?8 || ',"event":"dead","cause":"' || ?4
        || '","reason":' || json_quote(?5)
        || ',"attempts":' || ?6 || '}]'
FROM inbox AS i
LEFT JOIN deliveries AS d
    ON d.notification_id = i.notification_id AND d.user_id = i.user_id AND d.device_id = ?3
WHERE i.notification_id = ?1 AND i.user_id = ?2 AND i.state <> 'withdrawn'
ON CONFLICT (notification_id, user_id, device_id) DO UPDATE SET
    cause = excluded.cause,
    reason = excluded.reason,
    attempts = excluded.attempts,
    first_sent_at = coalesce(l.first_sent_at, excluded.first_sent_at),
    dead_at = excluded.dead_at,
    status = 'dead',
    history = substr(l.history, 1, length(l.history) - 1)
        || ',{"at":' || excluded.dead_at || ',"event":"dead","cause":"' || excluded.cause
        || '","reason":' || json_quote(excluded.reason)
        || ',"attempts":' || excluded.attempts || '}]';

-- name: letters_undelivered -> rows
-- Of a notification that is about to expire, the recipients whom nothing told: no device has
-- acknowledged, and they have not seen it in a list either. With what was tried.
SELECT i.notification_id, i.user_id,
    (SELECT coalesce(sum(d.attempts), 0) FROM deliveries AS d
        WHERE d.notification_id = i.notification_id AND d.user_id = i.user_id),
    (SELECT min(d.first_sent_at) FROM deliveries AS d
        WHERE d.notification_id = i.notification_id AND d.user_id = i.user_id)
FROM inbox AS i
WHERE i.notification_id = ?1
    AND i.delivered_at IS NULL AND i.expired_at IS NULL AND i.state = 'unseen';

-- name: letters_read -> rows
SELECT l.id, l.notification_id, l.user_id, l.device_id, l.cause, l.reason, l.attempts,
    l.first_sent_at, l.dead_at, l.status, l.history, n.document
FROM dead_letters AS l
LEFT JOIN notifications AS n ON n.id = l.notification_id
WHERE l.id = ?1;

-- name: letters_page -> rows
-- Letters of status ?2, the newest first, below id ?3, at most ?6; of user ?4 or notification ?5, if
-- given.
SELECT ?1, id, notification_id, user_id, device_id, cause, reason, attempts, first_sent_at,
    dead_at, status, history
FROM dead_letters
WHERE status = ?2 AND id < ?3
    AND (?4 IS NULL OR user_id = ?4)
    AND (?5 IS NULL OR notification_id = ?5)
ORDER BY id DESC
LIMIT ?6;

-- name: letters_places -> rows
-- Where the notification of a letter is in its user's log.
SELECT notification_id, user_id, sequence, state, expired_at
FROM inbox
WHERE notification_id = ?1 AND user_id = ?2;

-- name: letters_revive
-- A row moves to its new place in the log; the change is what it was.
UPDATE inbox SET sequence = ?3, expired_at = NULL WHERE notification_id = ?1 AND user_id = ?2;

-- name: letters_resend
-- The letter's device (?3) begins anew at the new place. Other devices that are done with the old
-- one (?4), because they have acknowledged it or were given up, are done with the new one (?5) too;
-- but a letter for no device in particular is for those that were given up as well.
UPDATE deliveries
SET sequence = ?5,
    attempts = CASE WHEN device_id = ?3 THEN 0 ELSE attempts END,
    dead_reason = CASE WHEN device_id = ?3 THEN NULL ELSE dead_reason END,
    acknowledged_sequence = CASE
        WHEN device_id <> ?3 AND acknowledged_sequence >= ?4 THEN ?5
        ELSE acknowledged_sequence END
WHERE notification_id = ?1 AND user_id = ?2
    AND (device_id = ?3
        OR acknowledged_sequence >= ?4
        OR (?3 <> '' AND dead_reason IS NOT NULL AND sequence >= ?4));

-- name: notifications_revive
UPDATE notifications
SET standing = 'active', revision = ?2, updated_at = ?3, expires_at = ?4, document = ?5,
    document_bytes = length(CAST(?5 AS BLOB))
WHERE id = ?1;

-- name: letters_settle
UPDATE dead_letters
SET status = ?2,
    history = substr(history, 1, length(history) - 1)
        || ',{"at":' || ?3 || ',"event":"' || ?2 || '"}]'
WHERE id = ?1 AND status = 'dead';
