-- Topics: their logs, who is in them, and how their entries come into the logs of users.

-- name: topics_advance -> rows
-- Give out ?2 positions of a topic's log and count who came and left; returns where that leads. No
-- entry is older than the one before it, whatever the clock says.
INSERT INTO topics (topic, head, subscribers, changed_at)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (topic) DO UPDATE SET
    head = topics.head + excluded.head,
    subscribers = topics.subscribers + excluded.subscribers,
    changed_at = max(topics.changed_at, excluded.changed_at)
RETURNING topic, head, subscribers, changed_at;

-- name: topic_log_insert
INSERT INTO topic_log (topic, position, notification_id, change, at) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: users_insert -> rows
-- Returns the user if nobody knew it before.
INSERT INTO users (user_id, head, unread, unseen, changed_at)
VALUES (?1, 0, 0, 0, ?2)
ON CONFLICT (user_id) DO NOTHING
RETURNING user_id;

-- name: users_outside -> rows
-- Whether a user is not in the topic of everyone: it was named for the first time.
SELECT ?1
WHERE NOT EXISTS (SELECT 1 FROM subscriptions WHERE user_id = ?1 AND topic = '*');

-- name: subscriptions_save
-- A position only moves forward.
INSERT INTO subscriptions (user_id, topic, position, active)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (user_id, topic) DO UPDATE SET
    position = max(subscriptions.position, excluded.position),
    active = excluded.active;

-- name: topics_pending -> rows
-- What a user has to get from its topics: at most ?3 entries (and one more) of each, each with
-- where the user's log stands, and whether the user wants it.
--
-- The first so many entries of all topics together are in as many topics at most: in those whose own
-- first entries come first. Of the others only that first one is looked at.
SELECT u.user_id, u.head, u.unread, u.unseen, s.topic, t.position, t.notification_id, t.change,
    t.at,
    s.active AND n.standing IS 'active' AND coalesce(n.expires_at > ?2, true)
        AND (n.priority = 'critical' OR NOT EXISTS (
            SELECT 1 FROM preferences AS p
            WHERE p.user_id = s.user_id AND NOT p.enabled
                AND (p.kind = 'category' AND p.name = n.category
                    OR p.kind = 'topic' AND p.name = s.topic)
        ))
FROM users AS u
JOIN (
    SELECT o.user_id, o.topic, o.position, o.active,
        (SELECT at FROM topic_log AS l
            WHERE l.topic = o.topic AND l.position > o.position
            ORDER BY l.position
            LIMIT 1) AS first
    FROM subscriptions AS o
    WHERE o.user_id = ?1 AND first IS NOT NULL
    ORDER BY first, o.topic
    LIMIT ?3 + 1
) AS s ON s.user_id = u.user_id
JOIN topic_log AS t ON t.topic = s.topic AND t.position > s.position
    AND t.position <= (
        SELECT max(position) FROM (
            SELECT position FROM topic_log AS l
            WHERE l.topic = s.topic AND l.position > s.position
            ORDER BY l.position
            LIMIT ?3 + 1
        )
    )
LEFT JOIN notifications AS n ON n.id = t.notification_id
WHERE u.user_id = ?1
ORDER BY t.at, s.topic, t.position;

-- name: topics_bring -> rows
-- Bring an entry of a topic into the log of a user: as a new row, if it has a sequence. Moves the
-- user's head, counters and position with it, and returns the content that is asked for.
UPDATE subscriptions SET position = max(position, ?3) WHERE user_id = ?1 AND topic = ?2;
-- then
UPDATE users
SET head = head + 1, unread = unread + 1, unseen = unseen + 1, changed_at = max(changed_at, ?6)
WHERE user_id = ?1 AND ?5 IS NOT NULL;
-- then
INSERT INTO inbox (notification_id, user_id, sequence, created_sequence)
SELECT ?4, ?1, ?5, ?5
WHERE ?5 IS NOT NULL;
-- then
SELECT id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
    topic, collapse_key
FROM notifications
WHERE id = ?7;

-- name: inbox_kept -> rows
-- What a user has, of a notification that a topic changes: neither withdrawn nor expired for it.
SELECT notification_id, user_id, state, seen_at, read_at
FROM inbox
WHERE notification_id = ?1 AND user_id = ?2 AND state <> 'withdrawn' AND expired_at IS NULL;

-- name: inbox_expire_each
UPDATE inbox SET expired_at = ?3 WHERE notification_id = ?1 AND user_id = ?2;
