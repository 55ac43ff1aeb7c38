-- Connectors: what operators have said of them, and the letters that they leave.

-- name: ingest_bury(connector, place, idempotency_key, correlation, headers, encoding, body, cut,
--     problem, dead_at, status, history) -> connector, place
-- Write a letter. The message of one that is known was delivered again: the letter stays as it is,
-- and is not among the rows.
INSERT INTO ingest_letters (id, connector, place, idempotency_key, correlation, headers, encoding,
    body, cut, problem, dead_at, status, history)
SELECT (SELECT max(seq) + 1 FROM sqlite_sequence WHERE name = 'dead_letters'),
    :connector, :place, :idempotency_key, :correlation, :headers, :encoding, :body, :cut, :problem,
    :dead_at, :status, :history
WHERE true
ON CONFLICT (connector, place) DO NOTHING
RETURNING connector, place;

-- name: ingest_read(id)
--     -> id, connector, place, idempotency_key, correlation, headers, encoding, body, cut, problem,
--     dead_at, status, history
SELECT id, connector, place, idempotency_key, correlation, headers, encoding, body, cut, problem,
    dead_at, status, history
FROM ingest_letters
WHERE id = :id;

-- name: ingest_page(number, status, before, connector, letters_max)
--     -> number, id, connector, place, idempotency_key, correlation, headers, encoding, body, cut,
--     problem, dead_at, status, history
-- Letters of status `status`, the newest first, below id `before`, at most `letters_max`; of one
-- connector, if given. Without bodies.
SELECT :number, id, connector, place, idempotency_key, correlation, headers, encoding, '', cut,
    problem, dead_at, status, history
FROM ingest_letters
WHERE status = :status AND id < :before AND (:connector IS NULL OR connector = :connector)
ORDER BY id DESC
LIMIT :letters_max;

-- name: ingest_settle(id, status, at) -> id
UPDATE ingest_letters
SET status = :status,
    history = substr(history, 1, length(history) - 1)
        || ',{"at":' || :at || ',"event":"' || :status || '"}]'
WHERE id = :id AND status = 'dead'
RETURNING id;

-- name: ingest_purge(before, rows_max) -> id
DELETE FROM ingest_letters
WHERE id IN (
    SELECT id FROM ingest_letters WHERE dead_at < :before ORDER BY dead_at LIMIT :rows_max
)
RETURNING id;

-- name: connectors_read(name) -> name, paused_at, skips
SELECT name, paused_at, skips FROM connectors WHERE name = :name;

-- name: connectors_set(name, paused_at, skips)
INSERT INTO connectors (name, paused_at, skips) VALUES (:name, :paused_at, :skips)
ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at, skips = excluded.skips;
