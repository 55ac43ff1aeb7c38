-- Topics, marks, preferences, schedules, collapse keys, dead letters, retention.

-- topic is the one that a notification came through ('*': it is for everyone). recipients is how many
-- it was addressed to; NULL, from before this migration, means: as many as have it. kept_from is when its
-- retention begins: when it was made, is to be delivered, or was last changed.
ALTER TABLE notifications ADD COLUMN priority TEXT COLLATE "C" NOT NULL DEFAULT 'normal';
ALTER TABLE notifications ADD COLUMN topic TEXT COLLATE "C";
ALTER TABLE notifications ADD COLUMN recipients BIGINT;
ALTER TABLE notifications ADD COLUMN collapse_key TEXT COLLATE "C";
ALTER TABLE notifications ADD COLUMN kept_from BIGINT NOT NULL DEFAULT 0;
-- The last "priority" in a document is its own: `data` comes before it. Not read as JSON, because
-- Postgres refuses what has \u0000 anywhere, and so would refuse the whole migration.
UPDATE notifications SET kept_from = updated_at,
    priority = substring(document FROM '^.*"priority":"([a-z]+)"');

CREATE INDEX notifications_by_age ON notifications (kept_from, id);

ALTER TABLE inbox ADD COLUMN archived_at BIGINT;

-- What "all", "unread" and "archived" look for, in an inbox that may be long and mostly something else.
CREATE INDEX inbox_unread ON inbox (user_id, created_sequence DESC)
    WHERE state IN ('unseen', 'seen') AND expired_at IS NULL;
CREATE INDEX inbox_archive ON inbox (user_id, created_sequence DESC)
    WHERE state = 'archived' AND expired_at IS NULL;
-- What retention looks for.
CREATE INDEX inbox_archived ON inbox (archived_at) WHERE archived_at IS NOT NULL;
CREATE INDEX inbox_expired ON inbox (expired_at) WHERE expired_at IS NOT NULL;

-- head is the last position of the topic's log. subscribers counts those who are in it. changed_at is
-- the time of the last entry: no entry is older than the one before it.
CREATE TABLE topics (
    topic TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    head BIGINT NOT NULL DEFAULT 0,
    subscribers BIGINT NOT NULL DEFAULT 0,
    changed_at BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- One entry for each change of a notification of a topic, whatever the number of subscribers.
CREATE TABLE topic_log (
    topic TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    notification_id TEXT COLLATE "C" NOT NULL,
    change TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (topic, position)
);

CREATE INDEX topic_log_by_notification ON topic_log (notification_id);

-- position is how far the topic's log has been brought into the user's. Who has left (not active)
-- keeps it: what they have is still updated and withdrawn.
CREATE TABLE subscriptions (
    user_id TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    active BOOLEAN NOT NULL DEFAULT true,
    PRIMARY KEY (user_id, topic)
) WITH (fillfactor = 70);

CREATE INDEX subscriptions_by_topic ON subscriptions (topic, user_id) WHERE active;

-- Everybody who is known is in the topic of everyone.
INSERT INTO topics (topic, head, subscribers) SELECT '*', 0, count(*) FROM users;
INSERT INTO subscriptions (user_id, topic, position) SELECT user_id, '*', 0 FROM users;

-- kind is 'category' or 'topic'.
CREATE TABLE preferences (
    user_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    enabled BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, kind, name)
);

-- Which notification has a collapse key now: of a topic (user_id is ''), or for each recipient (topic is
-- ''). Whoever publishes with the key locks the row, so there is one such notification at a time.
CREATE TABLE collapsing (
    collapse_key TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    notification_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (collapse_key, topic, user_id)
) WITH (fillfactor = 70);

CREATE INDEX collapsing_by_notification ON collapsing (notification_id);

-- What waits for its time. users is a JSON list of recipients; NULL where it is for a topic.
CREATE TABLE schedule (
    notification_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    deliver_at BIGINT NOT NULL,
    users TEXT
);

CREATE INDEX schedule_by_time ON schedule (deliver_at, notification_id);

-- device_id is '' where the notification expired without any device. status is 'dead', 'replayed' or
-- 'discarded'; history is a JSON list of events. One letter per pair, however often it dies.
CREATE TABLE dead_letters (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notification_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_sent_at BIGINT,
    dead_at BIGINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'dead',
    history TEXT NOT NULL,
    UNIQUE (notification_id, user_id, device_id)
);

CREATE INDEX dead_letters_by_status ON dead_letters (status, id);
CREATE INDEX dead_letters_by_age ON dead_letters (dead_at);

CREATE INDEX devices_by_age ON devices (last_seen);

-- A device that was removed is unknown, but when it comes back it may have lost what the ledger says
-- it has acknowledged.
ALTER TABLE devices ADD COLUMN removed BOOLEAN NOT NULL DEFAULT false;
