-- works with 0006

-- Messages that a connector took from a broker and that can never be stored. They share their numbers
-- with dead_letters, so that letters of all kinds stand in one list, the newest first.
CREATE TABLE ingest_letters (
    id BIGINT NOT NULL PRIMARY KEY,
    connector TEXT COLLATE "C" NOT NULL,
    place TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C",
    correlation TEXT,
    headers TEXT NOT NULL,
    encoding TEXT COLLATE "C" NOT NULL,
    body TEXT NOT NULL,
    cut BOOLEAN NOT NULL,
    problem TEXT NOT NULL,
    dead_at BIGINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'dead',
    history TEXT NOT NULL,
    UNIQUE (connector, place)
);

CREATE INDEX ingest_letters_by_status ON ingest_letters (status, id);
CREATE INDEX ingest_letters_by_age ON ingest_letters (dead_at);

-- What operators have said of a connector, for all nodes.
CREATE TABLE connectors (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    paused_at BIGINT,
    skips TEXT NOT NULL DEFAULT '[]'
);
