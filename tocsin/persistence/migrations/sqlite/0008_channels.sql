-- works with 0006

-- Channels to people other than devices: plans of escalation, addresses, sends, preferences.
-- Nothing here is touched by a post without a plan, nor by an acknowledgment.

-- One row for each notification with a plan that has not come to its end. steps is the plan, in JSON;
-- step is the next one, due at due_at, for the recipients behind after_user. revision is that of the
-- notification when the plan began.
CREATE TABLE escalations (
    notification_id TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    steps TEXT NOT NULL,
    step INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    after_user TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX escalations_due ON escalations (due_at, notification_id);

-- Where a person is on a channel. fingerprint is a digest of value: a failure of an address that was
-- replaced meanwhile says nothing about the new one.
CREATE TABLE addresses (
    user_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    dead_at INTEGER,
    dead_reason TEXT,
    PRIMARY KEY (user_id, channel, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX addresses_by_fingerprint ON addresses (channel, fingerprint);

-- One row for each address that a step concerns. id is made of what the send is about, so it cannot be
-- made twice. state is 'waiting', 'sent', 'moot', 'off' or 'dead'. until is the word of the step that
-- says who needs it no more. digest is how many seconds it gathers. node has claimed it, up to next_at.
CREATE TABLE sends (
    id TEXT NOT NULL PRIMARY KEY,
    notification_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    step INTEGER NOT NULL,
    until TEXT NOT NULL,
    digest INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    node TEXT,
    sent_at INTEGER,
    reason TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX sends_by_notification ON sends (notification_id, id);
CREATE INDEX sends_waiting ON sends (channel, next_at, id) WHERE state = 'waiting';
CREATE INDEX sends_of_address ON sends (user_id, channel, address) WHERE state = 'waiting';

-- A person's preferences about channels, and quiet hours, in JSON.
CREATE TABLE channel_preferences (
    user_id TEXT NOT NULL PRIMARY KEY,
    preferences TEXT NOT NULL
) STRICT, WITHOUT ROWID;
