-- Topics: their logs, their subscribers, and bringing their entries into the logs of users.

-- name: topics_advance(topic, taken, joined, at) -> topic, head, subscribers, changed_at
-- Give out `taken` positions of a topic's log, and correct the number of its subscribers; returns
-- both afterwards. The times of entries never descend, even if the clock is set back.
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
-- Make a user known; returns the user if it was not known before.
INSERT INTO users (user_id, head, unread, unseen, changed_at)
VALUES (:user_id, 0, 0, 0, :changed_at)
ON CONFLICT (user_id) DO NOTHING
RETURNING user_id;

-- name: users_outside(user_id) -> user_id
-- The user, if it is not in the topic of everyone, because it was named for the first time.
SELECT :user_id
WHERE NOT EXISTS (SELECT 1 FROM subscriptions WHERE user_id = :user_id AND topic = '*');

-- name: subscriptions_save(user_id, topic, position, active)
-- A user's position in a topic only moves forward, so that no entry is brought twice.
INSERT INTO subscriptions (user_id, topic, position, active)
VALUES (:user_id, :topic, :position, :active)
ON CONFLICT (user_id, topic) DO UPDATE SET
    position = max(subscriptions.position, excluded.position),
    active = excluded.active;

-- name: topics_pending(user_id, now, entries_max)
--     -> user_id, head, unread, unseen, topic, position, notification_id, change, at, wanted
-- The pending entries of a user's topics: at most `entries_max` (and one more) of each topic, each
-- with the head and counters of the user's log. An entry is `wanted` if its notification still
-- lives, and the user is still in the topic and has not muted it.
--
-- The first n entries of all topics together are in at most n topics: in those whose own first
-- pending entries come first. Of the other topics only that first entry is read.
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
-- Bring an entry of a topic into the log of a user: with a sequence it becomes a new inbox row.
-- Moves the user's head, counters and position as well, and returns the content of `content_id`.
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
-- The state of a notification that a topic changes, for a user who has it: for that user it is
-- neither withdrawn nor expired.
SELECT notification_id, user_id, state, seen_at, read_at
FROM inbox
WHERE notification_id = :notification_id AND user_id = :user_id AND state <> 'withdrawn'
    AND expired_at IS NULL;

-- name: inbox_expire_each(notification_id, user_id, at)
UPDATE inbox SET expired_at = :at WHERE notification_id = :notification_id AND user_id = :user_id;
