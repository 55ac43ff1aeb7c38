-- Escalation: plans that are due, the recipients whom they concern, sends, addresses.

-- name: escalations_save(notification_id, revision, steps, due_at)
-- Begin a plan; one that collapsed into an older notification begins anew.
INSERT INTO escalations (notification_id, revision, steps, due_at)
VALUES (:notification_id, :revision, :steps, :due_at)
ON CONFLICT (notification_id) DO UPDATE SET
    revision = excluded.revision, steps = excluded.steps, step = 0, due_at = excluded.due_at,
    after_user = '';

-- name: sends_end(notification_id)
-- End what waits of a plan whose notification was renewed.
UPDATE sends
SET state = 'moot', reason = 'renewed'
WHERE notification_id = :notification_id AND state = 'waiting';

-- name: escalations_move(notification_id, target, revision)
-- A scheduled notification collapsed into an older one as it was released: its plan is that one's.
UPDATE escalations
SET notification_id = :target, revision = :revision
WHERE notification_id = :notification_id;

-- name: escalations_due(now, count)
--     -> notification_id, revision, steps, step, due_at, after_user, category, priority, topic,
--     standing, expires_at
SELECT e.notification_id, e.revision, e.steps, e.step, e.due_at, e.after_user, n.category,
    n.priority, n.topic, n.standing, n.expires_at
FROM escalations AS e
LEFT JOIN notifications AS n ON n.id = e.notification_id
WHERE e.due_at <= :now
ORDER BY e.due_at, e.notification_id
LIMIT :count;

-- name: escalations_next() -> due_at
SELECT due_at FROM escalations ORDER BY due_at, notification_id LIMIT 1;

-- name: escalations_advance(notification_id, step, due_at, after_user)
UPDATE escalations
SET step = :step, due_at = :due_at, after_user = :after_user
WHERE notification_id = :notification_id;

-- name: escalations_delete(notification_id)
DELETE FROM escalations WHERE notification_id = :notification_id;

-- name: escalation_recipients(notification_id, after_user, users_max)
--     -> notification_id, user_id, state, delivered_at, expired_at
-- The next recipients behind a user, by name.
SELECT notification_id, user_id, state, delivered_at, expired_at
FROM inbox
WHERE notification_id = :notification_id AND user_id > :after_user
ORDER BY user_id
LIMIT :users_max;

-- name: escalation_subscribers(notification_id, topic, after_user, users_max)
--     -> notification_id, user_id, state, delivered_at, expired_at, behind
-- The next subscribers of a topic behind a user; `behind` if the notification has not been brought
-- into the user's log yet.
SELECT :notification_id, s.user_id, i.state, i.delivered_at, i.expired_at,
    s.position < coalesce((SELECT max(position) FROM topic_log
        WHERE notification_id = :notification_id AND topic = :topic), 0) AS behind
FROM subscriptions AS s
LEFT JOIN inbox AS i ON i.notification_id = :notification_id AND i.user_id = s.user_id
WHERE s.topic = :topic AND s.active AND s.user_id > :after_user
ORDER BY s.user_id
LIMIT :users_max;

-- name: addresses_alive(user_id, channel) -> user_id, channel, name
SELECT user_id, channel, name
FROM addresses
WHERE user_id = :user_id AND channel = :channel AND dead_at IS NULL
ORDER BY name;

-- name: channel_preferences_read(user_id) -> user_id, preferences
SELECT user_id, preferences FROM channel_preferences WHERE user_id = :user_id;

-- name: channel_preferences_save(user_id, preferences)
INSERT INTO channel_preferences (user_id, preferences) VALUES (:user_id, :preferences)
ON CONFLICT (user_id) DO UPDATE SET preferences = excluded.preferences;

-- name: channel_preferences_delete(user_id)
DELETE FROM channel_preferences WHERE user_id = :user_id;

-- name: sends_gathering(user_id, channel, address) -> user_id, channel, address, next_at
-- When the digest goes out that gathers for an address, if one does.
SELECT user_id, channel, address, next_at
FROM sends
WHERE user_id = :user_id AND channel = :channel AND address = :address AND state = 'waiting'
    AND digest > 0 AND attempts = 0
ORDER BY next_at
LIMIT 1;

-- name: sends_insert(id, notification_id, user_id, channel, address, step, until, digest, state,
--     next_at, reason)
--     -> id
INSERT INTO sends (id, notification_id, user_id, channel, address, step, until, digest, state,
    next_at, reason)
VALUES (:id, :notification_id, :user_id, :channel, :address, :step, :until, :digest, :state,
    :next_at, :reason)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: sends_claim(channel, now, count)
--     -> id, notification_id, user_id, address, until, digest, attempts, value, fingerprint,
--     category, priority, document, expires_at, standing, state, delivered_at, expired_at
-- Sends that are due. What becomes of them is decided in this transaction.
SELECT s.id, s.notification_id, s.user_id, s.address, s.until, s.digest, s.attempts, a.value,
    a.fingerprint, n.category, n.priority, n.document, n.expires_at, n.standing, i.state,
    i.delivered_at, i.expired_at
FROM sends AS s
JOIN addresses AS a ON a.user_id = s.user_id AND a.channel = s.channel AND a.name = s.address
LEFT JOIN notifications AS n ON n.id = s.notification_id
LEFT JOIN inbox AS i ON i.notification_id = s.notification_id AND i.user_id = s.user_id
WHERE s.channel = :channel AND s.state = 'waiting' AND s.next_at <= :now
ORDER BY s.next_at, s.id
LIMIT :count;

-- name: sends_claim_rest(channel, user_id, address, now, count)
--     -> id, notification_id, user_id, address, until, digest, attempts, value, fingerprint,
--     category, priority, document, expires_at, standing, state, delivered_at, expired_at
-- What else is due for an address whose digest was claimed.
SELECT s.id, s.notification_id, s.user_id, s.address, s.until, s.digest, s.attempts, a.value,
    a.fingerprint, n.category, n.priority, n.document, n.expires_at, n.standing, i.state,
    i.delivered_at, i.expired_at
FROM sends AS s
JOIN addresses AS a ON a.user_id = s.user_id AND a.channel = s.channel AND a.name = s.address
LEFT JOIN notifications AS n ON n.id = s.notification_id
LEFT JOIN inbox AS i ON i.notification_id = s.notification_id AND i.user_id = s.user_id
WHERE s.user_id = :user_id AND s.channel = :channel AND s.address = :address
    AND s.state = 'waiting' AND s.digest > 0 AND s.next_at <= :now
ORDER BY s.id
LIMIT :count;

-- name: sends_judge(id, state, attempts, next_at, node, reason)
UPDATE sends
SET state = :state, attempts = :attempts, next_at = :next_at, node = :node, reason = :reason
WHERE id = :id;

-- name: sends_backlog(channel) -> channel, next_at, waiting
SELECT channel, min(next_at) AS next_at, count(*) AS waiting
FROM sends
WHERE channel = :channel AND state = 'waiting'
GROUP BY channel;

-- name: sends_orphaned(channel, now)
-- Sends that are due and whose address went while they were made.
UPDATE sends
SET state = 'moot', reason = 'address removed'
WHERE channel = :channel AND state = 'waiting' AND next_at <= :now
    AND NOT EXISTS (SELECT 1 FROM addresses AS a WHERE a.user_id = sends.user_id
        AND a.channel = sends.channel AND a.name = sends.address);

-- name: sends_settle(id, node, claimed, state, attempts, next_at, at, reason, event, history_max)
--     -> id, notification_id, user_id, channel, address, state, attempts, reason
-- What became of a claimed send, and of each attempt. One that is given up becomes a dead letter; if
-- it was one before, it is that again.
UPDATE sends
SET state = :state, attempts = :attempts, next_at = :next_at, reason = :reason, node = NULL,
    sent_at = CASE WHEN :state = 'sent' THEN :at END,
    history = CASE
        WHEN :event IS NULL OR length(history) > :history_max THEN history
        WHEN history = '' THEN :event
        ELSE history || ',' || :event END,
    letter = CASE WHEN :state = 'dead' AND letter IS NULL
        THEN (SELECT max(seq) + 1 FROM sqlite_sequence WHERE name = 'dead_letters')
        ELSE letter END,
    letter_status = CASE WHEN :state = 'dead' THEN 'dead' ELSE letter_status END,
    dead_at = CASE WHEN :state = 'dead' THEN :at ELSE dead_at END
WHERE id = :id AND node = :node AND attempts = :claimed AND state = 'waiting'
RETURNING id, notification_id, user_id, channel, address, state, attempts, reason;

-- name: send_letters_page(number, status, before, user_id, notification_id, letters_max)
--     -> number, id, notification_id, user_id, channel, address, attempts, reason, history, dead_at,
--     status
-- Sends that were given up, of one status, the newest first, below a number; of one user or
-- notification, if given.
SELECT :number, letter AS id, notification_id, user_id, channel, address, attempts, reason, history,
    dead_at, letter_status AS status
FROM sends
WHERE letter_status = :status AND letter < :before AND letter IS NOT NULL
    AND (:user_id IS NULL OR user_id = :user_id)
    AND (:notification_id IS NULL OR notification_id = :notification_id)
ORDER BY letter DESC
LIMIT :letters_max;

-- name: send_letters_read(id)
--     -> id, notification_id, user_id, channel, address, attempts, reason, history, dead_at, status,
--     document
SELECT s.letter AS id, s.notification_id, s.user_id, s.channel, s.address, s.attempts, s.reason,
    s.history, s.dead_at, s.letter_status AS status, n.document
FROM sends AS s
LEFT JOIN notifications AS n ON n.id = s.notification_id
WHERE s.letter = :id AND s.letter IS NOT NULL;

-- name: send_letters_settle(id, status, at, event) -> letter, channel
-- Settle a letter; one that is replayed waits again, with its attempts counted anew.
UPDATE sends
SET letter_status = :status, history = history || ',' || :event,
    state = CASE WHEN :status = 'replayed' THEN 'waiting' ELSE state END,
    attempts = CASE WHEN :status = 'replayed' THEN 0 ELSE attempts END,
    next_at = CASE WHEN :status = 'replayed' THEN :at ELSE next_at END
WHERE letter = :id AND letter IS NOT NULL AND letter_status = 'dead' AND state = 'dead'
RETURNING letter, channel;

-- name: sends_of_dead_address(user_id, channel, address, reason)
UPDATE sends
SET state = 'moot', reason = :reason, node = NULL
WHERE user_id = :user_id AND channel = :channel AND address = :address AND state = 'waiting';

-- name: addresses_pass(user_id, channel, name)
UPDATE addresses
SET failures = 0
WHERE user_id = :user_id AND channel = :channel AND name = :name AND failures > 0;

-- name: addresses_fail(user_id, channel, name, fingerprint, failures_max, at, reason)
--     -> user_id, channel, name, dead_at
UPDATE addresses
SET failures = failures + 1,
    dead_at = CASE WHEN failures + 1 >= :failures_max THEN :at END,
    dead_reason = CASE WHEN failures + 1 >= :failures_max THEN :reason END
WHERE user_id = :user_id AND channel = :channel AND name = :name AND fingerprint = :fingerprint
RETURNING user_id, channel, name, dead_at;

-- name: addresses_delete(user_id, channel, name, fingerprint) -> user_id, channel, name
-- Forget an address; an empty fingerprint stands for any value.
DELETE FROM addresses
WHERE user_id = :user_id AND channel = :channel AND name = :name
    AND :fingerprint IN ('', fingerprint)
RETURNING user_id, channel, name;

-- name: addresses_save(user_id, channel, name, value, fingerprint, created_at)
INSERT INTO addresses (user_id, channel, name, value, fingerprint, created_at)
VALUES (:user_id, :channel, :name, :value, :fingerprint, :created_at)
ON CONFLICT (user_id, channel, name) DO UPDATE SET
    value = excluded.value, fingerprint = excluded.fingerprint,
    created_at = excluded.created_at, failures = 0, dead_at = NULL, dead_reason = NULL;

-- name: addresses_moved(user_id, channel, name, fingerprint) -> user_id, channel, name
-- Forget what has the same value under another name, or of another user.
DELETE FROM addresses
WHERE channel = :channel AND fingerprint = :fingerprint
    AND (user_id <> :user_id OR name <> :name)
RETURNING user_id, channel, name;

-- name: addresses_surplus(user_id, channel, count_max) -> user_id, channel, name
-- Forget the oldest of more addresses than a user may have.
DELETE FROM addresses
WHERE user_id = :user_id AND channel = :channel AND name IN (
    SELECT name FROM addresses
    WHERE user_id = :user_id AND channel = :channel
    ORDER BY created_at DESC, name DESC
    LIMIT -1 OFFSET :count_max
)
RETURNING user_id, channel, name;

-- name: addresses_list(user_id) -> user_id, channel, name, value, created_at, dead_reason
SELECT user_id, channel, name, value, created_at, dead_reason
FROM addresses
WHERE user_id = :user_id
ORDER BY channel, name;

-- name: sends_page(number, notification_id, after, sends_max)
--     -> number, id, user_id, channel, address, step, state, attempts, next_at, sent_at, reason,
--     history
-- A page of a notification's sends; a row without an id if there are none, and no row if there is
-- no such notification.
SELECT :number, s.id, s.user_id, s.channel, s.address, s.step, s.state, s.attempts, s.next_at,
    s.sent_at, s.reason, s.history
FROM notifications AS n
LEFT JOIN sends AS s ON s.notification_id = n.id AND s.id > :after
WHERE n.id = :notification_id
ORDER BY s.id
LIMIT :sends_max;
