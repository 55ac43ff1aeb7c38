-- Dead letters: notifications that did not arrive, until an operator settles them.

-- name: letters_known(notification_id, user_id, device_id, sequence)
--     -> notification_id, user_id, device_id
-- The line of the ledger, if it has met this death (at sequence `sequence`) already, or has a later
-- life behind it.
SELECT notification_id, user_id, device_id
FROM deliveries
WHERE notification_id = :notification_id AND user_id = :user_id AND device_id = :device_id
    AND (sequence > :sequence OR (sequence = :sequence AND dead_reason IS NOT NULL));

-- name: letters_bury(notification_id, user_id, device_id, cause, reason, attempts, first_sent_at,
--     dead_at)
-- Write a letter; a settled one is open again. A notification that was withdrawn, or that the user
-- does not have, leaves no letter. The time of the first attempt is the ledger's, if it has
-- one: the session that gave up may not have been the first.
INSERT INTO dead_letters AS l (notification_id, user_id, device_id, cause, reason, attempts,
    first_sent_at, dead_at, history)
SELECT :notification_id, :user_id, :device_id, :cause, :reason, :attempts,
    coalesce(d.first_sent_at, :first_sent_at), :dead_at,
    '[' || coalesce('{"at":' || coalesce(d.first_sent_at, :first_sent_at) || ',"event":"sent"},',
        '')
        || '{"at":' || :dead_at || ',"event":"dead","cause":"' || :cause
        || '","reason":' || json_quote(:reason)
        || ',"attempts":' || :attempts || '}]'
FROM inbox AS i
LEFT JOIN deliveries AS d
    ON d.notification_id = i.notification_id AND d.user_id = i.user_id AND d.device_id = :device_id
WHERE i.notification_id = :notification_id AND i.user_id = :user_id AND i.state <> 'withdrawn'
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

-- name: letters_undelivered(notification_id) -> notification_id, user_id, attempts, first_sent_at
-- The recipients to whom a notification that is about to expire was not delivered: no device has
-- acknowledged it, and the user has not seen it in a list either. With the attempts.
SELECT i.notification_id, i.user_id,
    (SELECT coalesce(sum(d.attempts), 0) FROM deliveries AS d
        WHERE d.notification_id = i.notification_id AND d.user_id = i.user_id),
    (SELECT min(d.first_sent_at) FROM deliveries AS d
        WHERE d.notification_id = i.notification_id AND d.user_id = i.user_id)
FROM inbox AS i
WHERE i.notification_id = :notification_id
    AND i.delivered_at IS NULL AND i.expired_at IS NULL AND i.state = 'unseen';

-- name: letters_read(id)
--     -> id, notification_id, user_id, device_id, cause, reason, attempts, first_sent_at, dead_at,
--     status, history, document
SELECT l.id, l.notification_id, l.user_id, l.device_id, l.cause, l.reason, l.attempts,
    l.first_sent_at, l.dead_at, l.status, l.history, n.document
FROM dead_letters AS l
LEFT JOIN notifications AS n ON n.id = l.notification_id
WHERE l.id = :id;

-- name: letters_page(number, status, before, user_id, notification_id, letters_max)
--     -> number, id, notification_id, user_id, device_id, cause, reason, attempts, first_sent_at,
--     dead_at, status, history
-- Letters of status `status`, the newest first, below id `before`, at most `letters_max`; of user
-- `user_id` or notification `notification_id`, if given.
SELECT :number, id, notification_id, user_id, device_id, cause, reason, attempts, first_sent_at,
    dead_at, status, history
FROM dead_letters
WHERE status = :status AND id < :before
    AND (:user_id IS NULL OR user_id = :user_id)
    AND (:notification_id IS NULL OR notification_id = :notification_id)
ORDER BY id DESC
LIMIT :letters_max;

-- name: letters_places(notification_id, user_id)
--     -> notification_id, user_id, sequence, state, expired_at
-- The place of a letter's notification in its user's log.
SELECT notification_id, user_id, sequence, state, expired_at
FROM inbox
WHERE notification_id = :notification_id AND user_id = :user_id;

-- name: letters_revive(notification_id, user_id, sequence)
-- Move a row to its new place in the log; its change stays.
UPDATE inbox SET sequence = :sequence, expired_at = NULL
    WHERE notification_id = :notification_id AND user_id = :user_id;

-- name: letters_resend(notification_id, user_id, device_id, earlier, sequence)
-- The letter's device (`device_id`) begins anew at the new place. Other devices that are done with
-- the old one (`earlier`), because they have acknowledged it or were given up, are done with the
-- new one (`sequence`) too. A letter without a device is also for devices that were given up: their
-- lines stay at the old place, so that they are sent the new one. So do the lines of a device that
-- began anew (`devices.forgotten`) and has not come to the old place since: it may have lost what it
-- acknowledged there.
UPDATE deliveries
SET sequence = :sequence,
    attempts = CASE WHEN device_id = :device_id THEN 0 ELSE attempts END,
    dead_reason = CASE WHEN device_id = :device_id THEN NULL ELSE dead_reason END,
    acknowledged_sequence = CASE
        WHEN device_id <> :device_id AND acknowledged_sequence >= :earlier THEN :sequence
        ELSE acknowledged_sequence END
WHERE notification_id = :notification_id AND user_id = :user_id
    AND (device_id = :device_id
        OR acknowledged_sequence >= :earlier
            AND NOT EXISTS (
                SELECT 1
                FROM devices AS known
                WHERE known.user_id = deliveries.user_id
                    AND known.device_id = deliveries.device_id
                    AND known.acknowledged < :earlier AND known.forgotten >= :earlier
            )
        OR (:device_id <> '' AND dead_reason IS NOT NULL AND sequence >= :earlier));

-- name: notifications_revive(id, revision, updated_at, expires_at, document)
UPDATE notifications
SET standing = 'active', revision = :revision, updated_at = :updated_at, expires_at = :expires_at,
    document = :document,
    document_bytes = length(CAST(:document AS BLOB))
WHERE id = :id;

-- name: letters_settle(id, status, at)
UPDATE dead_letters
SET status = :status,
    history = substr(history, 1, length(history) - 1)
        || ',{"at":' || :at || ',"event":"' || :status || '"}]'
WHERE id = :id AND status = 'dead';
