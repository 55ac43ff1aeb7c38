-- works with 0006

-- Channels to people other than devices: plans of escalation, addresses, sends, preferences.
-- Nothing here is touched by a post without a plan, nor by an acknowledgment.

-- One row for each notification with a plan that has not come to its end. steps is the plan, in JSON;
-- step is the next one, due at due_at, for the recipients behind after_user. revision is that of the
-- notification when the plan began.
CREATE TABLE escalations (
    notification_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    steps TEXT NOT NULL,
    step INTEGER NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    after_user TEXT COLLATE "C" NOT NULL DEFAULT ''
) WITH (fillfactor = 70);

CREATE INDEX escalations_due ON escalations (due_at, notification_id);

-- Where a person is on a channel. fingerprint is a digest of value: a failure of an address that was
-- replaced meanwhile says nothing about the new one.
CREATE TABLE addresses (
    user_id TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    dead_at BIGINT,
    dead_reason TEXT,
    PRIMARY KEY (user_id, channel, name)
);

CREATE INDEX addresses_by_fingerprint ON addresses (channel, fingerprint);

-- One row for each address that a step concerns. id is made of what the send is about, so it cannot be
-- made twice. state is 'waiting', 'sent', 'moot', 'off' or 'dead'. until is the word of the step that
-- says who needs it no more. digest is how many seconds it gathers. node has claimed it, up to next_at.
CREATE TABLE sends (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    notification_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    step INTEGER NOT NULL,
    until TEXT COLLATE "C" NOT NULL,
    digest INTEGER NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at BIGINT NOT NULL,
    node TEXT COLLATE "C",
    sent_at BIGINT,
    reason TEXT
) WITH (fillfactor = 70);

CREATE INDEX sends_by_notification ON sends (notification_id, id);
CREATE INDEX sends_waiting ON sends (channel, next_at, id) WHERE state = 'waiting';
CREATE INDEX sends_of_address ON sends (user_id, channel, address) WHERE state = 'waiting';

-- A person's preferences about channels, and quiet hours, in JSON.
CREATE TABLE channel_preferences (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    preferences TEXT NOT NULL
);
