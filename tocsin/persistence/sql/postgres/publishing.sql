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
