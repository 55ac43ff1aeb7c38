-- Connectors: what operators have said of them, and the letters that they leave.

-- name: ingest_bury(connector, place, idempotency_key, correlation, headers, encoding, body, cut,
--     problem, dead_at, status, history) -> connector, place
-- Write letters. The message of one that is known was delivered again: the letter stays as it is,
-- and is not among the rows.
INSERT INTO ingest_letters (id, connector, place, idempotency_key, correlation, headers, encoding,
    body, cut, problem, dead_at, status, history)
SELECT nextval(pg_get_serial_sequence('dead_letters', 'id')), new.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::boolean[], $9::text[], $10::bigint[], $11::text[], $12::text[])
    AS new (connector, place, idempotency_key, correlation, headers, encoding, body, cut, problem,
        dead_at, status, history)
ON CONFLICT (connector, place) DO NOTHING
RETURNING connector, place;

-- name: ingest_read(id)
--     -> id, connector, place, idempotency_key, correlation, headers, encoding, body, cut, problem,
--     dead_at, status, history
SELECT l.id, l.connector, l.place, l.idempotency_key, l.correlation, l.headers, l.encoding, l.body,
    l.cut, l.problem, l.dead_at, l.status, l.history
FROM unnest($1::bigint[]) AS asked (id)
JOIN ingest_letters AS l ON l.id = asked.id;

-- name: ingest_page(number, status, before, connector, letters_max)
--     -> number, id, connector, place, idempotency_key, correlation, headers, encoding, body, cut,
--     problem, dead_at, status, history
-- Letters of one status, the newest first, below an id; of one connector, if given. Without bodies.
SELECT asked.number, letter.*
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[])
    AS asked (number, status, before, connector, letters_max)
CROSS JOIN LATERAL (
    SELECT l.id, l.connector, l.place, l.idempotency_key, l.correlation, l.headers, l.encoding,
        ''::text AS body, l.cut, l.problem, l.dead_at, l.status, l.history
    FROM ingest_letters AS l
    WHERE l.status = asked.status AND l.id < asked.before
        AND (asked.connector IS NULL OR l.connector = asked.connector)
    ORDER BY l.id DESC
    LIMIT asked.letters_max
) AS letter;

-- name: ingest_settle(id, status, at) -> id
UPDATE ingest_letters AS l
SET status = new.status,
    history = left(l.history, -1) || ',{"at":' || new.at || ',"event":"' || new.status || '"}]'
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS new (id, status, at)
WHERE l.id = new.id AND l.status = 'dead'
RETURNING l.id;

-- name: ingest_purge(before, rows_max) -> id
DELETE FROM ingest_letters AS l
USING (
    SELECT old.id
    FROM unnest($1::bigint[], $2::bigint[]) AS purge (before, rows_max)
    CROSS JOIN LATERAL (
        SELECT o.id
        FROM ingest_letters AS o
        WHERE o.dead_at < purge.before
        ORDER BY o.dead_at
        LIMIT purge.rows_max
        FOR UPDATE SKIP LOCKED
    ) AS old
) AS gone
WHERE l.id = gone.id
RETURNING l.id;

-- name: connectors_read(name) -> name, paused_at, skips
SELECT c.name, c.paused_at, c.skips
FROM unnest($1::text[]) AS asked (name)
JOIN connectors AS c ON c.name = asked.name;

-- name: connectors_set(name, paused_at, skips)
INSERT INTO connectors (name, paused_at, skips)
SELECT new.name, new.paused_at, new.skips
FROM unnest($1::text[], $2::bigint[], $3::text[]) AS new (name, paused_at, skips)
ORDER BY new.name
ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at, skips = excluded.skips;
