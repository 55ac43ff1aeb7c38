-- Dead letters: notifications that did not arrive, until an operator settles them.

-- name: letters_known(notification_id, user_id, device_id, sequence)
--     -> notification_id, user_id, device_id
-- Lines of the ledger that have met this death already, or have a later life behind it.
SELECT d.notification_id, d.user_id, d.device_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    AS line (notification_id, user_id, device_id, sequence)
JOIN deliveries AS d ON d.notification_id = line.notification_id
    AND d.user_id = line.user_id AND d.device_id = line.device_id
WHERE d.sequence > line.sequence
    OR (d.sequence = line.sequence AND d.dead_reason IS NOT NULL);

-- name: letters_bury(notification_id, user_id, device_id, cause, reason, attempts, first_sent_at,
--     dead_at)
-- Write letters; a settled one is open again. A notification that was withdrawn, or that the user
-- does not have, leaves no letter. The time of the first attempt is the ledger's, if it has
-- one: the session that gave up may not have been the first.
INSERT INTO dead_letters AS l (notification_id, user_id, device_id, cause, reason, attempts,
    first_sent_at, dead_at, history)
SELECT death.notification_id, death.user_id, death.device_id, death.cause, death.reason,
    death.attempts, coalesce(d.first_sent_at, death.first_sent_at), death.dead_at,
    '[' || coalesce(
            '{"at":' || coalesce(d.first_sent_at, death.first_sent_at) || ',"event":"sent"},', '')
        || '{"at":' || death.dead_at || ',"event":"dead","cause":"' || death.cause
        || '","reason":' || to_json(death.reason)::text
        || ',"attempts":' || death.attempts || '}]'
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bigint[],
    $8::bigint[])
    AS death (notification_id, user_id, device_id, cause, reason, attempts, first_sent_at,
        dead_at)
LEFT JOIN deliveries AS d ON d.notification_id = death.notification_id
    AND d.user_id = death.user_id AND d.device_id = death.device_id
WHERE EXISTS (
    SELECT 1 FROM inbox AS i
    WHERE i.notification_id = death.notification_id AND i.user_id = death.user_id
        AND i.state <> 'withdrawn'
)
ORDER BY death.notification_id COLLATE "C", death.user_id COLLATE "C",
    death.device_id COLLATE "C"
ON CONFLICT (notification_id, user_id, device_id) DO UPDATE SET
    cause = excluded.cause,
    reason = excluded.reason,
    attempts = excluded.attempts,
    first_sent_at = coalesce(l.first_sent_at, excluded.first_sent_at),
    dead_at = excluded.dead_at,
    status = 'dead',
    history = substr(l.history, 1, length(l.history) - 1)
        || ',{"at":' || excluded.dead_at || ',"event":"dead","cause":"' || excluded.cause
        || '","reason":' || to_json(excluded.reason)::text
        || ',"attempts":' || excluded.attempts || '}]';

-- name: letters_undelivered(notification_id) -> notification_id, user_id, attempts, first_sent_at
-- The recipients to whom notifications that are about to expire were not delivered: no device has
-- acknowledged them, and the user has not seen them in a list either. With the attempts. The offset
-- keeps the planner from going through all unread rows of all users, which have an index too.
SELECT i.notification_id, i.user_id, tried.attempts, tried.first_sent_at
FROM unnest($1::text[]) AS expiring (notification_id)
CROSS JOIN LATERAL (
    SELECT r.notification_id, r.user_id, r.delivered_at, r.expired_at, r.state
    FROM inbox AS r
    WHERE r.notification_id = expiring.notification_id
    OFFSET 0
) AS i
CROSS JOIN LATERAL (
    SELECT coalesce(sum(d.attempts), 0)::int AS attempts, min(d.first_sent_at) AS first_sent_at
    FROM deliveries AS d
    WHERE d.notification_id = i.notification_id AND d.user_id = i.user_id
) AS tried
WHERE i.delivered_at IS NULL AND i.expired_at IS NULL AND i.state = 'unseen';

-- name: letters_read(id)
--     -> id, notification_id, user_id, device_id, cause, reason, attempts, first_sent_at, dead_at,
--     status, history, document
SELECT l.id, l.notification_id, l.user_id, l.device_id, l.cause, l.reason, l.attempts,
    l.first_sent_at, l.dead_at, l.status, l.history, n.document
FROM unnest($1::bigint[]) AS asked (id)
JOIN dead_letters AS l ON l.id = asked.id
LEFT JOIN notifications AS n ON n.id = l.notification_id;

-- name: letters_page(number, status, before, user_id, notification_id, letters_max)
--     -> number, id, notification_id, user_id, device_id, cause, reason, attempts, first_sent_at,
--     dead_at, status, history
-- Letters of one status, the newest first, below an id; of one user or notification, if given.
SELECT asked.number, letter.*
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[])
    AS asked (number, status, before, user_id, notification_id, letters_max)
CROSS JOIN LATERAL (
    SELECT l.id, l.notification_id, l.user_id, l.device_id, l.cause, l.reason, l.attempts,
        l.first_sent_at, l.dead_at, l.status, l.history
    FROM dead_letters AS l
    WHERE l.status = asked.status AND l.id < asked.before
        AND (asked.user_id IS NULL OR l.user_id = asked.user_id)
        AND (asked.notification_id IS NULL OR l.notification_id = asked.notification_id)
    ORDER BY l.id DESC
    LIMIT asked.letters_max
) AS letter;

-- name: letters_places(notification_id, user_id)
--     -> notification_id, user_id, sequence, state, expired_at
-- Where the notifications of letters are in their users' logs, once the users are locked.
SELECT i.notification_id, i.user_id, i.sequence, i.state, i.expired_at
FROM unnest($1::text[], $2::text[]) AS asked (notification_id, user_id)
JOIN inbox AS i
    ON i.notification_id = asked.notification_id AND i.user_id = asked.user_id;

-- name: letters_revive(notification_id, user_id, sequence)
-- Move rows to new places in the log; their change stays.
UPDATE inbox AS i
SET sequence = new.sequence, expired_at = NULL
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (notification_id, user_id, sequence)
WHERE i.notification_id = new.notification_id AND i.user_id = new.user_id;

-- name: letters_resend(notification_id, user_id, device_id, earlier, sequence)
-- The ledger line of the letter's device begins anew at the new place. Other devices that are done
-- with the old place, because they acknowledged it or were given up, are done with the new one too.
-- A letter without a device is also for devices that were given up: their lines stay at the old
-- place, so that they are sent the new one. So do the lines of a device that began anew
-- (`devices.forgotten`) and has not come to the old place since: it may have lost what it
-- acknowledged there.
UPDATE deliveries AS d
SET sequence = new.sequence,
    attempts = CASE WHEN d.device_id = new.device_id THEN 0 ELSE d.attempts END,
    dead_reason = CASE WHEN d.device_id = new.device_id THEN NULL ELSE d.dead_reason END,
    acknowledged_sequence = CASE
        WHEN d.device_id <> new.device_id AND d.acknowledged_sequence >= new.earlier
            THEN new.sequence
        ELSE d.acknowledged_sequence END
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
    AS new (notification_id, user_id, device_id, earlier, sequence)
WHERE d.notification_id = new.notification_id AND d.user_id = new.user_id
    AND (d.device_id = new.device_id
        OR d.acknowledged_sequence >= new.earlier
            AND NOT EXISTS (
                SELECT 1
                FROM devices AS known
                WHERE known.user_id = d.user_id AND known.device_id = d.device_id
                    AND known.acknowledged < new.earlier AND known.forgotten >= new.earlier
            )
        OR (new.device_id <> '' AND d.dead_reason IS NOT NULL AND d.sequence >= new.earlier));

-- name: notifications_revive(id, revision, updated_at, expires_at, document)
UPDATE notifications AS n
SET standing = 'active', revision = new.revision, updated_at = new.updated_at,
    expires_at = new.expires_at, document = new.document,
    document_bytes = octet_length(new.document)
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::text[])
    AS new (id, revision, updated_at, expires_at, document)
WHERE n.id = new.id;

-- name: letters_settle(id, status, at)
UPDATE dead_letters AS l
SET status = settled.status,
    history = substr(l.history, 1, length(l.history) - 1)
        || ',{"at":' || settled.at || ',"event":"' || settled.status || '"}]'
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS settled (id, status, at)
WHERE l.id = settled.id AND l.status = 'dead';
