-- works with 0006

-- Messages that a connector took from a broker and that can never be stored. They share their numbers
-- with dead_letters, so that letters of all kinds stand in one list, the newest first.
CREATE TABLE ingest_letters (
    id INTEGER NOT NULL PRIMARY KEY,
    connector TEXT NOT NULL,
    place TEXT NOT NULL,
    idempotency_key TEXT,
    correlation TEXT,
    headers TEXT NOT NULL,
    encoding TEXT NOT NULL,
    body TEXT NOT NULL,
    cut INTEGER NOT NULL,
    problem TEXT NOT NULL,
    dead_at INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'dead',
    history TEXT NOT NULL,
    UNIQUE (connector, place)
) STRICT;

CREATE INDEX ingest_letters_by_status ON ingest_letters (status, id);
CREATE INDEX ingest_letters_by_age ON ingest_letters (dead_at);

INSERT INTO sqlite_sequence (name, seq)
    SELECT 'dead_letters', 0
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'dead_letters');

CREATE TRIGGER ingest_letters_numbered AFTER INSERT ON ingest_letters
BEGIN
    UPDATE sqlite_sequence SET seq = NEW.id WHERE name = 'dead_letters' AND seq < NEW.id;
END;

-- What operators have said of a connector, for all nodes.
CREATE TABLE connectors (
    name TEXT NOT NULL PRIMARY KEY,
    paused_at INTEGER,
    skips TEXT NOT NULL DEFAULT '[]'
) STRICT;
