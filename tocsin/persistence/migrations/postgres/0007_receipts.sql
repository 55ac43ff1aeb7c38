-- works with 0006

-- The receipts' log: facts about notifications that sinks and producers follow. Its head is one row, which a
-- transaction that appends locks last and holds until it commits. So positions become visible in order, and a
-- reader that has seen one has seen all before it; those of a sequence would not.
CREATE TABLE receipt_log (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    head BIGINT NOT NULL,
    horizon BIGINT NOT NULL
) WITH (fillfactor = 50);
INSERT INTO receipt_log (name, head, horizon) VALUES ('receipts', 0, 0);

CREATE TABLE receipts (
    position BIGINT NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    notification_id TEXT COLLATE "C",
    category TEXT COLLATE "C",
    user_id TEXT COLLATE "C",
    device_id TEXT COLLATE "C",
    channel TEXT COLLATE "C",
    at BIGINT NOT NULL,
    detail TEXT
);
CREATE INDEX receipts_by_age ON receipts (at);

-- Followers of the log. A webhook has a URL; a reader (kind 'reader') has none, its producer keeps the cursor.
-- events and categories stand between commas; categories is '' for all. pending is JSON: the batch that is being
-- carried. revision counts changes by operators: a node that carries for an earlier one may not save its progress.
CREATE TABLE sinks (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    url TEXT NOT NULL,
    secrets TEXT NOT NULL,
    events TEXT COLLATE "C" NOT NULL,
    categories TEXT COLLATE "C" NOT NULL,
    description TEXT NOT NULL,
    batch_max BIGINT NOT NULL,
    position BIGINT NOT NULL,
    pending TEXT,
    state TEXT COLLATE "C" NOT NULL,
    reason TEXT,
    failing_since BIGINT,
    succeeded_at BIGINT,
    lost BIGINT NOT NULL DEFAULT 0,
    revision BIGINT NOT NULL DEFAULT 0,
    lease_node TEXT COLLATE "C" NOT NULL DEFAULT '',
    lease_until BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX sinks_by_kind ON sinks (kind, seen_at);

-- Receipts that a receiver refused, one by one, while it took their neighbours.
CREATE TABLE sink_letters (
    sink_id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    user_id TEXT COLLATE "C",
    receipt TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (sink_id, position)
);
CREATE INDEX sink_letters_by_age ON sink_letters (at);
