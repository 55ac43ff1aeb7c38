-- More statements of publishing: collapse keys, muted categories, schedules.

-- name: collapsing_claim(collapse_key, topic, user_id, notification_id)
--     -> collapse_key, topic, user_id, notification_id
-- Lock collapse keys, and read which notification has each; one that is free is taken. The update
-- changes nothing; without it a taken key would return no row.
INSERT INTO collapsing (collapse_key, topic, user_id, notification_id)
SELECT collapse_key, topic, user_id, notification_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS claim (collapse_key, topic, user_id, notification_id)
ORDER BY collapse_key COLLATE "C", topic COLLATE "C", user_id COLLATE "C"
ON CONFLICT (collapse_key, topic, user_id) DO UPDATE SET topic = excluded.topic
RETURNING collapse_key, topic, user_id, notification_id;

-- name: collapsing_save(collapse_key, topic, user_id, notification_id)
UPDATE collapsing AS c
SET notification_id = new.notification_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS new (collapse_key, topic, user_id, notification_id)
WHERE c.collapse_key = new.collapse_key AND c.topic = new.topic AND c.user_id = new.user_id;

-- name: categories_muted(user_id, category) -> user_id, name
-- The limit of one makes the planner look each user up, and not list all that have muted something.
SELECT muted.user_id, muted.name
FROM unnest($1::text[], $2::text[]) AS asked (user_id, category)
CROSS JOIN LATERAL (
    SELECT p.user_id, p.name
    FROM preferences AS p
    WHERE p.user_id = asked.user_id AND p.kind = 'category' AND p.name = asked.category
        AND NOT p.enabled
    LIMIT 1
) AS muted;

-- name: schedule_insert(notification_id, deliver_at, users)
INSERT INTO schedule (notification_id, deliver_at, users)
SELECT notification_id, deliver_at, users
FROM unnest($1::text[], $2::bigint[], $3::text[]) AS new (notification_id, deliver_at, users);

-- name: schedule_due(now, count)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key, recipients, deliver_at, users
-- At most $2 notifications that are to be delivered at $1 or before, the earliest first. The rows
-- are locked, which is the claim: another node passes them over, and takes them if this transaction
-- dies. (A lease would have to run out first.) A notification that is being changed waits for the
-- next release.
SELECT due.*
FROM unnest($1::bigint[], $2::bigint[]) AS asked (now, count)
CROSS JOIN LATERAL (
    SELECT n.id, n.revision, n.category, n.created_at, n.updated_at, n.expires_at, n.document,
        n.standing, n.priority, n.topic, n.collapse_key, coalesce(n.recipients, 0) AS recipients,
            s.deliver_at,
        s.users
    FROM schedule AS s
    JOIN notifications AS n ON n.id = s.notification_id
    WHERE s.deliver_at <= asked.now
    ORDER BY s.deliver_at, s.notification_id
    LIMIT asked.count
    FOR UPDATE OF n, s SKIP LOCKED
) AS due;

-- name: schedule_next() -> deliver_at
-- The time at which the next notification is to be delivered; no row if none is.
SELECT deliver_at FROM schedule ORDER BY deliver_at, notification_id LIMIT 1;

-- name: schedule_delete(notification_id)
DELETE FROM schedule AS s
USING unnest($1::text[]) AS settled (notification_id)
WHERE s.notification_id = settled.notification_id;

-- name: publish_few(id, revision, category, created_at, updated_at, expires_at, document, priority,
--     recipients, credential, notification_id, user_id)
--     -> id, user_id, sequence, unread, unseen
-- Publish notifications without a collapse key to a few users, at once: what otherwise
-- `notifications_insert`, `categories_muted`, `users_advance` and `inbox_insert` do, each with a
-- round trip. Returns each notification that is new, with each place that it has got in a log; once
-- and without a place if no user gets it. Users and notifications are found by comparing all with
-- all, so this is for a few. (The offset makes the planner look each user up, and not list all that
-- have muted something.)
WITH new AS (
    INSERT INTO notifications (id, revision, category, created_at, updated_at, expires_at, document,
        document_bytes, standing, priority, recipients, credential, kept_from)
    SELECT id, revision, category, created_at, updated_at, expires_at, document,
        octet_length(document), 'active', priority, recipients, credential, created_at
    FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::text[], $8::text[], $9::bigint[], $10::text[])
        AS posted (id, revision, category, created_at, updated_at, expires_at, document, priority,
            recipients, credential)
    ON CONFLICT (id) DO NOTHING
    RETURNING id, category, created_at, priority
), told AS (
    SELECT new.id, asked.user_id, asked.place, new.created_at
    FROM unnest($11::text[], $12::text[]) WITH ORDINALITY AS asked (notification_id, user_id, place)
    JOIN new ON new.id = asked.notification_id
    WHERE new.priority = 'critical' OR NOT EXISTS (
        SELECT 1 FROM preferences AS p
        WHERE p.user_id = asked.user_id AND p.kind = 'category' AND p.name = new.category
            AND NOT p.enabled
        OFFSET 0
    )
), advanced AS (
    INSERT INTO users AS u (user_id, head, unread, unseen, changed_at)
    SELECT user_id, count(*), count(*), count(*), max(created_at)
    FROM told
    GROUP BY user_id
    ORDER BY user_id COLLATE "C"
    ON CONFLICT (user_id) DO UPDATE SET
        head = u.head + excluded.head,
        unread = u.unread + excluded.unread,
        unseen = u.unseen + excluded.unseen,
        changed_at = greatest(u.changed_at, excluded.changed_at)
    RETURNING u.user_id, u.head, u.unread, u.unseen
), placed AS (
    SELECT told.id, told.user_id, told.place, a.head, a.unread, a.unseen,
        count(*) OVER (PARTITION BY told.user_id ORDER BY told.place
            ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS behind
    FROM told
    JOIN advanced AS a ON a.user_id = told.user_id
), kept AS (
    INSERT INTO inbox (notification_id, user_id, sequence, created_sequence)
    SELECT id, user_id, head - behind, head - behind
    FROM placed
)
SELECT new.id, placed.user_id, placed.head - placed.behind AS sequence,
    placed.unread - placed.behind AS unread, placed.unseen - placed.behind AS unseen
FROM new
LEFT JOIN placed ON placed.id = new.id
ORDER BY placed.place;
