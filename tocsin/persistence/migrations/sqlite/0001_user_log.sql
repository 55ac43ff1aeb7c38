-- The user log and what hangs on it. Times are Unix milliseconds; a column named `…_at` that is
-- NULL says "not yet". No foreign keys: every row is written by the statement scripts, which
-- write a notification before its inbox rows, and a check per row would buy nothing but time.

-- Facts about the database itself: `epoch`, the incarnation of its logs.
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The content, once for all recipients. document_bytes is kept because pages are bounded in
-- bytes, and measuring a text means reading it.
CREATE TABLE notifications (
    id TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    category TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER,
    standing TEXT NOT NULL DEFAULT 'active',
    credential TEXT NOT NULL,
    document_bytes INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;

CREATE INDEX notifications_expiring ON notifications (expires_at, id)
    WHERE standing = 'active' AND expires_at IS NOT NULL;

-- A thin row per recipient. sequence is that of the last change, so a replay returns a
-- notification once, in its current state. delivered_at is the first acknowledgment by any
-- device. expired_at repeats the notification's standing, so that lists and the index of what
-- was never delivered can leave the expired out without looking at notifications.
CREATE TABLE inbox (
    notification_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    created_sequence INTEGER NOT NULL,
    change TEXT NOT NULL DEFAULT 'created',
    state TEXT NOT NULL DEFAULT 'unseen',
    seen_at INTEGER,
    read_at INTEGER,
    delivered_at INTEGER,
    expired_at INTEGER
) STRICT;

CREATE UNIQUE INDEX inbox_by_notification ON inbox (notification_id, user_id);
CREATE UNIQUE INDEX inbox_by_sequence ON inbox (user_id, sequence);
CREATE INDEX inbox_by_creation ON inbox (user_id, created_sequence DESC);
CREATE INDEX inbox_undelivered ON inbox (user_id, sequence)
    WHERE delivered_at IS NULL AND expired_at IS NULL AND state <> 'withdrawn';

-- The head of each log, and counters changed in the transaction that changes the states.
CREATE TABLE users (
    user_id TEXT NOT NULL PRIMARY KEY,
    head INTEGER NOT NULL,
    unread INTEGER NOT NULL,
    unseen INTEGER NOT NULL,
    horizon INTEGER NOT NULL DEFAULT 0,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- acknowledged is the device's cursor. Up to forgotten, what the ledger says it has acknowledged does
-- not keep it from being sent again: the device went back to before that, and may have lost it.
CREATE TABLE devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    acknowledged INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    forgotten INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

-- The ledger. sequence is the last change that was sent and attempts how often that one was;
-- acknowledged_sequence is the greatest that was acknowledged, 0 for none.
CREATE TABLE deliveries (
    notification_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    first_sent_at INTEGER NOT NULL,
    acknowledged_at INTEGER,
    acknowledged_sequence INTEGER NOT NULL,
    dead_reason TEXT,
    PRIMARY KEY (notification_id, user_id, device_id)
) STRICT, WITHOUT ROWID;

-- What a returning device's cursor can acknowledge. Lines that are recorded only once they are
-- acknowledged, the usual case, never enter it.
CREATE INDEX deliveries_open ON deliveries (user_id, device_id, sequence)
    WHERE acknowledged_sequence < sequence;

CREATE TABLE idempotency (
    credential TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    answer TEXT NOT NULL,
    notification_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (credential, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Keys and tickets are kept as hashes, never as their text. scopes are separated by spaces.
CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL,
    scopes TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE tickets (
    hash BLOB NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    principal_expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tickets_by_expiry ON tickets (expires_at);
