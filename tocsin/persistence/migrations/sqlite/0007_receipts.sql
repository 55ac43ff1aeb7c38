-- works with 0006

-- The receipts' log: facts about notifications that sinks and producers follow. Its head is one row, which a
-- transaction that appends changes: of positions that were forgotten, none comes again.
CREATE TABLE receipt_log (
    name TEXT NOT NULL PRIMARY KEY,
    head INTEGER NOT NULL,
    horizon INTEGER NOT NULL
) STRICT;
INSERT INTO receipt_log (name, head, horizon) VALUES ('receipts', 0, 0);

CREATE TABLE receipts (
    position INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    notification_id TEXT,
    category TEXT,
    user_id TEXT,
    device_id TEXT,
    channel TEXT,
    at INTEGER NOT NULL,
    detail TEXT
) STRICT;
CREATE INDEX receipts_by_age ON receipts (at);

-- Followers of the log. A webhook has a URL; a reader (kind 'reader') has none, its producer keeps the cursor.
-- events and categories stand between commas; categories is '' for all. pending is JSON: the batch that is being
-- carried. revision counts changes by operators: a node that carries for an earlier one may not save its progress.
CREATE TABLE sinks (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    url TEXT NOT NULL,
    secrets TEXT NOT NULL,
    events TEXT NOT NULL,
    categories TEXT NOT NULL,
    description TEXT NOT NULL,
    batch_max INTEGER NOT NULL,
    position INTEGER NOT NULL,
    pending TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    failing_since INTEGER,
    succeeded_at INTEGER,
    lost INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 0,
    lease_node TEXT NOT NULL DEFAULT '',
    lease_until INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sinks_by_kind ON sinks (kind, seen_at);

-- Receipts that a receiver refused, one by one, while it took their neighbours.
CREATE TABLE sink_letters (
    sink_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    user_id TEXT,
    receipt TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (sink_id, position)
) STRICT;
CREATE INDEX sink_letters_by_age ON sink_letters (at);
