-- The user log and what hangs on it. Times are Unix milliseconds; a column named `…_at` that is
-- NULL says "not yet". No foreign keys: every row is written by the statement scripts, which
-- write a notification before its inbox rows, and a check per row would take locks in an order
-- that is not ours.
--
-- Identifiers are compared byte by byte (COLLATE "C"), as in SQLite and in Python: it is the order
-- of pages, and it does not change with the operating system's locales.

-- Facts about the database itself: `epoch`, the incarnation of its logs.
CREATE TABLE meta (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- The content, once for all recipients. document_bytes is kept because pages are bounded in
-- bytes, and measuring a text means reading it.
CREATE TABLE notifications (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    category TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT,
    standing TEXT COLLATE "C" NOT NULL DEFAULT 'active',
    credential TEXT COLLATE "C" NOT NULL,
    document_bytes INTEGER NOT NULL,
    document TEXT NOT NULL
);

CREATE INDEX notifications_expiring ON notifications (expires_at, id)
    WHERE standing = 'active' AND expires_at IS NOT NULL;

-- A thin row per recipient. sequence is that of the last change, so a replay returns a
-- notification once, in its current state. delivered_at is the first acknowledgment by any
-- device. expired_at repeats the notification's standing, so that lists and the index of what
-- was never delivered can leave the expired out without looking at notifications.
CREATE TABLE inbox (
    notification_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    created_sequence BIGINT NOT NULL,
    change TEXT COLLATE "C" NOT NULL DEFAULT 'created',
    state TEXT COLLATE "C" NOT NULL DEFAULT 'unseen',
    seen_at BIGINT,
    read_at BIGINT,
    delivered_at BIGINT,
    expired_at BIGINT
);

CREATE UNIQUE INDEX inbox_by_notification ON inbox (notification_id, user_id);
CREATE UNIQUE INDEX inbox_by_sequence ON inbox (user_id, sequence);
CREATE INDEX inbox_by_creation ON inbox (user_id, created_sequence DESC);
CREATE INDEX inbox_undelivered ON inbox (user_id, sequence)
    WHERE delivered_at IS NULL AND expired_at IS NULL AND state <> 'withdrawn';

-- The head of each log, and counters changed in the transaction that changes the states. Room is
-- left in the pages because these rows change all the time and their indexes never do.
CREATE TABLE users (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    head BIGINT NOT NULL,
    unread BIGINT NOT NULL,
    unseen BIGINT NOT NULL,
    horizon BIGINT NOT NULL DEFAULT 0,
    changed_at BIGINT NOT NULL
) WITH (fillfactor = 70);

-- acknowledged is the device's cursor. Up to forgotten, what the ledger says it has acknowledged does
-- not keep it from being sent again: the device went back to before that, and may have lost it.
CREATE TABLE devices (
    user_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    acknowledged BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    forgotten BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, device_id)
) WITH (fillfactor = 70);

-- The ledger. sequence is the last change that was sent and attempts how often that one was;
-- acknowledged_sequence is the greatest that was acknowledged, 0 for none.
CREATE TABLE deliveries (
    notification_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    first_sent_at BIGINT NOT NULL,
    acknowledged_at BIGINT,
    acknowledged_sequence BIGINT NOT NULL,
    dead_reason TEXT,
    PRIMARY KEY (notification_id, user_id, device_id)
);

-- What a returning device's cursor can acknowledge. Lines that are recorded only once they are
-- acknowledged, the usual case, never enter it.
CREATE INDEX deliveries_open ON deliveries (user_id, device_id, sequence)
    WHERE acknowledged_sequence < sequence;

CREATE TABLE idempotency (
    credential TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL,
    answer TEXT NOT NULL,
    notification_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (credential, key)
);

CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Keys and tickets are kept as hashes, never as their text. scopes are separated by spaces.
CREATE TABLE api_keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL,
    scopes TEXT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE tickets (
    hash BYTEA NOT NULL PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL,
    scopes TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    principal_expires_at BIGINT
);

CREATE INDEX tickets_by_expiry ON tickets (expires_at);
