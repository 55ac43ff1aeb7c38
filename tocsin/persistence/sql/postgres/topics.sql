-- Topics: their logs, their subscribers, and bringing their entries into the logs of users.
--
-- A user's subscriptions are changed under the lock of the user's row, a topic's log and the number
-- of its subscribers under the lock of the topic's row.

-- name: topics_advance(topic, taken, joined, at) -> topic, head, subscribers, changed_at
-- Give out `taken` positions of each topic's log, and correct the number of its subscribers;
-- returns both afterwards. This is the lock that makes a topic's log visible in order. The times of
-- entries never descend, even if the clocks of nodes differ.
INSERT INTO topics AS t (topic, head, subscribers, changed_at)
SELECT topic, taken, joined, at
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
    AS advance (topic, taken, joined, at)
ORDER BY topic COLLATE "C"
ON CONFLICT (topic) DO UPDATE SET
    head = t.head + excluded.head,
    subscribers = t.subscribers + excluded.subscribers,
    changed_at = greatest(t.changed_at, excluded.changed_at)
RETURNING t.topic, t.head, t.subscribers, t.changed_at;

-- name: topic_log_insert(topic, position, notification_id, change, at)
INSERT INTO topic_log (topic, position, notification_id, change, at)
SELECT topic, position, notification_id, change, at
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[])
    AS new (topic, position, notification_id, change, at);

-- name: users_insert(user_id, changed_at) -> user_id
-- Make users known; returns those that were not known before.
INSERT INTO users (user_id, head, unread, unseen, changed_at)
SELECT user_id, 0, 0, 0, changed_at
FROM unnest($1::text[], $2::bigint[]) AS new (user_id, changed_at)
ORDER BY user_id COLLATE "C"
ON CONFLICT (user_id) DO NOTHING
RETURNING user_id;

-- name: users_outside(user_id) -> user_id
-- The users that are not in the topic of everyone, because they were named for the first time.
-- A count and not an EXISTS, which may become a join that reads all users of that topic.
SELECT asked.user_id
FROM unnest($1::text[]) AS asked (user_id)
WHERE 0 = (
    SELECT count(*) FROM subscriptions AS s WHERE s.user_id = asked.user_id AND s.topic = '*'
);

-- name: subscriptions_save(user_id, topic, position, active)
-- A user's position in a topic only moves forward, so that no entry is brought twice.
INSERT INTO subscriptions AS s (user_id, topic, position, active)
SELECT user_id, topic, position, active
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[])
    AS new (user_id, topic, position, active)
ON CONFLICT (user_id, topic) DO UPDATE SET
    position = greatest(s.position, excluded.position),
    active = excluded.active;

-- name: topics_pending(user_id, now, entries_max)
--     -> user_id, head, unread, unseen, topic, position, notification_id, change, at, wanted
-- Lock the users that have pending entries in their topics, and read these: at most $3 entries (and
-- one more) of each topic, each with the head and counters of the user's log. An entry is `wanted`
-- if its notification still lives, and the user is still in the topic and has not muted it.
--
-- The first n entries of all topics together are in at most n topics: in those whose own first
-- pending entries come first (`nearest`). Of the other topics only that first entry is read. (The
-- condition also names the user, so that the planner cannot begin with all subscriptions.)
--
-- A transaction that waits here for a lock then sees users and subscriptions as they are after the
-- wait, and all other rows as they were when the statement began. So the position is compared once
-- more outside of the limit: entries that another transaction has brought meanwhile drop out, and
-- no others come in.
SELECT u.user_id, u.head, u.unread, u.unseen, s.topic, t.position, t.notification_id, t.change,
    t.at,
    s.active AND n.standing = 'active' AND coalesce(n.expires_at > asked.now, true)
        AND (n.priority = 'critical' OR NOT EXISTS (
            SELECT 1 FROM preferences AS p
            WHERE p.user_id = s.user_id AND NOT p.enabled
                AND (p.kind, p.name) IN (('category', n.category), ('topic', s.topic))
        )) AS wanted
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS asked (user_id, now, entries_max)
JOIN users AS u ON u.user_id = asked.user_id
CROSS JOIN LATERAL (
    SELECT o.user_id, o.topic
    FROM subscriptions AS o
    CROSS JOIN LATERAL (
        SELECT l.at
        FROM topic_log AS l
        WHERE l.topic = o.topic AND l.position > o.position
        ORDER BY l.position
        LIMIT 1
    ) AS first
    WHERE o.user_id = asked.user_id
    ORDER BY first.at, o.topic
    LIMIT asked.entries_max + 1
) AS nearest
JOIN subscriptions AS s ON s.user_id = nearest.user_id AND s.topic = nearest.topic
CROSS JOIN LATERAL (
    SELECT l.position, l.notification_id, l.change, l.at
    FROM topic_log AS l
    WHERE l.topic = s.topic AND l.position > s.position
    ORDER BY l.position
    LIMIT asked.entries_max + 1
) AS t
LEFT JOIN notifications AS n ON n.id = t.notification_id
WHERE t.position > s.position
ORDER BY u.user_id, t.at, s.topic, t.position
FOR UPDATE OF u, s;

-- name: topics_bring(user_id, topic, position, notification_id, sequence, now, content_id)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key
-- Bring entries of topics into the logs of users: an entry with a sequence becomes a new inbox row.
-- Moves the users' heads, counters and positions as well, and returns the contents of `content_id`.
WITH entry AS MATERIALIZED (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[],
        $7::text[])
        AS entry (user_id, topic, position, notification_id, sequence, now, content_id)
), moved AS (
    UPDATE subscriptions AS s
    SET position = greatest(s.position, reached.position)
    FROM (
        SELECT user_id, topic, max(position) AS position FROM entry GROUP BY user_id, topic
    ) AS reached
    WHERE s.user_id = reached.user_id AND s.topic = reached.topic
), advanced AS (
    UPDATE users AS u
    SET head = u.head + new.entries, unread = u.unread + new.entries,
        unseen = u.unseen + new.entries, changed_at = greatest(u.changed_at, new.now)
    FROM (
        SELECT user_id, count(*) AS entries, max(now) AS now
        FROM entry WHERE sequence IS NOT NULL GROUP BY user_id
    ) AS new
    WHERE u.user_id = new.user_id
), created AS (
    INSERT INTO inbox (notification_id, user_id, sequence, created_sequence)
    SELECT notification_id, user_id, sequence, sequence FROM entry WHERE sequence IS NOT NULL
)
SELECT n.id, n.revision, n.category, n.created_at, n.updated_at, n.expires_at, n.document,
    n.standing, n.priority, n.topic, n.collapse_key
FROM entry
JOIN notifications AS n ON n.id = entry.content_id;

-- name: inbox_kept(notification_id, user_id) -> notification_id, user_id, state, seen_at, read_at
-- The states of notifications that a topic changes, for users who have them: for these they are
-- neither withdrawn nor expired.
SELECT i.notification_id, i.user_id, i.state, i.seen_at, i.read_at
FROM unnest($1::text[], $2::text[]) AS asked (notification_id, user_id)
JOIN inbox AS i ON i.notification_id = asked.notification_id AND i.user_id = asked.user_id
WHERE i.state <> 'withdrawn' AND i.expired_at IS NULL;

-- name: inbox_expire_each(notification_id, user_id, at)
UPDATE inbox AS i
SET expired_at = expired.at
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS expired (notification_id, user_id, at)
WHERE i.notification_id = expired.notification_id AND i.user_id = expired.user_id;
