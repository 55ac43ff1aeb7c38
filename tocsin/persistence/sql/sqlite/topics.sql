-- Topics: their logs, who is in them, and how their entries come into the logs of users.

-- name: topics_advance(topic, taken, joined, at) -> topic, head, subscribers, changed_at
-- Give out `taken` positions of a topic's log and count who came and left; returns where that
-- leads. No entry is older than the one before it, whatever the clock says.
INSERT INTO topics (topic, head, subscribers, changed_at)
VALUES (:topic, :taken, :joined, :at)
ON CONFLICT (topic) DO UPDATE SET
    head = topics.head + excluded.head,
    subscribers = topics.subscribers + excluded.subscribers,
    changed_at = max(topics.changed_at, excluded.changed_at)
RETURNING topic, head, subscribers, changed_at;

-- name: topic_log_insert(topic, position, notification_id, change, at)
INSERT INTO topic_log (topic, position, notification_id, change, at) VALUES (:topic, :position,
    :notification_id, :change, :at);

-- name: users_insert(user_id, changed_at) -> user_id
-- Returns the user if nobody knew it before.
INSERT INTO users (user_id, head, unread, unseen, changed_at)
VALUES (:user_id, 0, 0, 0, :changed_at)
ON CONFLICT (user_id) DO NOTHING
RETURNING user_id;

-- name: users_outside(user_id) -> user_id
-- Whether a user is not in the topic of everyone: it was named for the first time.
SELECT :user_id
WHERE NOT EXISTS (SELECT 1 FROM subscriptions WHERE user_id = :user_id AND topic = '*');

-- name: subscriptions_save(user_id, topic, position, active)
-- A position only moves forward.
INSERT INTO subscriptions (user_id, topic, position, active)
VALUES (:user_id, :topic, :position, :active)
ON CONFLICT (user_id, topic) DO UPDATE SET
    position = max(subscriptions.position, excluded.position),
    active = excluded.active;

-- name: topics_pending(user_id, now, entries_max)
--     -> user_id, head, unread, unseen, topic, position, notification_id, change, at, wanted
-- What a user has to get from its topics: at most `entries_max` entries (and one more) of each,
-- each with where the user's log stands, and whether the user wants it.
--
-- The first so many entries of all topics together are in as many topics at most: in those whose
-- own first entries come first. Of the others only that first one is looked at.
SELECT u.user_id, u.head, u.unread, u.unseen, s.topic, t.position, t.notification_id, t.change,
    t.at,
    s.active AND n.standing IS 'active' AND coalesce(n.expires_at > :now, true)
        AND (n.priority = 'critical' OR NOT EXISTS (
            SELECT 1 FROM preferences AS p
            WHERE p.user_id = s.user_id AND NOT p.enabled
                AND (p.kind = 'category' AND p.name = n.category
                    OR p.kind = 'topic' AND p.name = s.topic)
        )) AS wanted
FROM users AS u
JOIN (
    SELECT o.user_id, o.topic, o.position, o.active,
        (SELECT at FROM topic_log AS l
            WHERE l.topic = o.topic AND l.position > o.position
            ORDER BY l.position
            LIMIT 1) AS first
    FROM subscriptions AS o
    WHERE o.user_id = :user_id AND first IS NOT NULL
    ORDER BY first, o.topic
    LIMIT :entries_max + 1
) AS s ON s.user_id = u.user_id
JOIN topic_log AS t ON t.topic = s.topic AND t.position > s.position
    AND t.position <= (
        SELECT max(position) FROM (
            SELECT position FROM topic_log AS l
            WHERE l.topic = s.topic AND l.position > s.position
            ORDER BY l.position
            LIMIT :entries_max + 1
        )
    )
LEFT JOIN notifications AS n ON n.id = t.notification_id
WHERE u.user_id = :user_id
ORDER BY t.at, s.topic, t.position;

-- name: topics_bring(user_id, topic, position, notification_id, sequence, now, content_id)
--     -> id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
--     topic, collapse_key
-- Bring an entry of a topic into the log of a user: as a new row, if it has a sequence. Moves the
-- user's head, counters and position with it, and returns the content that is asked for.
UPDATE subscriptions SET position = max(position, :position) WHERE user_id = :user_id
    AND topic = :topic;
-- then
UPDATE users
SET head = head + 1, unread = unread + 1, unseen = unseen + 1, changed_at = max(changed_at, :now)
WHERE user_id = :user_id AND :sequence IS NOT NULL;
-- then
INSERT INTO inbox (notification_id, user_id, sequence, created_sequence)
SELECT :notification_id, :user_id, :sequence, :sequence
WHERE :sequence IS NOT NULL;
-- then
SELECT id, revision, category, created_at, updated_at, expires_at, document, standing, priority,
    topic, collapse_key
FROM notifications
WHERE id = :content_id;

-- name: inbox_kept(notification_id, user_id) -> notification_id, user_id, state, seen_at, read_at
-- What a user has, of a notification that a topic changes: neither withdrawn nor expired for it.
SELECT notification_id, user_id, state, seen_at, read_at
FROM inbox
WHERE notification_id = :notification_id AND user_id = :user_id AND state <> 'withdrawn'
    AND expired_at IS NULL;

-- name: inbox_expire_each(notification_id, user_id, at)
UPDATE inbox SET expired_at = :at WHERE notification_id = :notification_id AND user_id = :user_id;
