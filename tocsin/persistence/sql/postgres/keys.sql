-- API keys and tickets; and the database's own epoch and secret (`meta`).

-- name: keys_insert(id, hash, scopes, name, created_at, revoked_at) -> id, hash
-- A repetition changes nothing. The returned hash is the stored one, by which another key with the
-- same id shows.
INSERT INTO api_keys (id, hash, scopes, name, created_at, revoked_at)
SELECT id, hash, scopes, name, created_at, revoked_at
FROM unnest($1::text[], $2::bytea[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
    AS new (id, hash, scopes, name, created_at, revoked_at)
ORDER BY id COLLATE "C"
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING id, hash;

-- name: keys_revoke(id, at) -> id
UPDATE api_keys AS k
SET revoked_at = coalesce(k.revoked_at, revoked.at)
FROM unnest($1::text[], $2::bigint[]) AS revoked (id, at)
WHERE k.id = revoked.id
RETURNING k.id;

-- name: keys_read(id) -> id, hash, scopes, name, created_at, revoked_at
SELECT k.id, k.hash, k.scopes, k.name, k.created_at, k.revoked_at
FROM unnest($1::text[]) AS asked (id)
JOIN api_keys AS k ON k.id = asked.id;

-- name: keys_list() -> id, hash, scopes, name, created_at, revoked_at
SELECT id, hash, scopes, name, created_at, revoked_at FROM api_keys ORDER BY created_at, id;

-- name: tickets_insert(hash, user_id, expires_at, principal_expires_at, device_id)
-- A ticket has no scopes. The column is of an earlier release, which may run beside this one.
INSERT INTO tickets (hash, user_id, scopes, expires_at, principal_expires_at, device_id)
SELECT hash, user_id, '', expires_at, principal_expires_at, device_id
FROM unnest($1::bytea[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
    AS new (hash, user_id, expires_at, principal_expires_at, device_id)
ON CONFLICT (hash) DO NOTHING;

-- name: tickets_forget(user_id, now)
-- Forget tickets of users that have expired by a time. Tickets that another transaction has locked
-- are passed over: it is forgetting them.
DELETE FROM tickets AS t
USING (
    SELECT old.hash
    FROM unnest($1::text[], $2::bigint[]) AS asked (user_id, now)
    CROSS JOIN LATERAL (
        SELECT o.hash
        FROM tickets AS o
        WHERE o.user_id = asked.user_id AND o.expires_at <= asked.now
        FOR UPDATE SKIP LOCKED
    ) AS old
) AS gone
WHERE t.hash = gone.hash;

-- name: tickets_count(user_id) -> user_id, tickets
SELECT asked.user_id, counted.tickets
FROM unnest($1::text[]) AS asked (user_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS tickets FROM tickets AS t WHERE t.user_id = asked.user_id
) AS counted;

-- name: tickets_make_room(user_id, excess) -> user_id
-- Remove the `excess` tickets of streams that expire first.
DELETE FROM tickets AS t
USING (
    SELECT old.hash
    FROM unnest($1::text[], $2::bigint[]) AS crowded (user_id, excess)
    CROSS JOIN LATERAL (
        SELECT o.hash
        FROM tickets AS o
        WHERE o.user_id = crowded.user_id AND o.device_id IS NOT NULL
        ORDER BY o.expires_at, o.hash
        LIMIT crowded.excess
        FOR UPDATE SKIP LOCKED
    ) AS old
) AS gone
WHERE t.hash = gone.hash
RETURNING t.user_id;

-- name: tickets_take(hash) -> hash, user_id, expires_at, principal_expires_at, device_id, origin
-- Reading a ticket removes it: a second request, on whatever node, waits here and finds nothing.
DELETE FROM tickets AS t
USING unnest($1::bytea[]) AS taken (hash)
WHERE t.hash = taken.hash AND t.device_id IS NULL
RETURNING t.hash, t.user_id, t.expires_at, t.principal_expires_at, t.device_id, t.origin;

-- name: tickets_find(hash) -> hash, user_id, expires_at, principal_expires_at, device_id, origin
-- Read tickets of streams, which stay when they are used.
SELECT t.hash, t.user_id, t.expires_at, t.principal_expires_at, t.device_id, t.origin
FROM unnest($1::bytea[]) AS asked (hash)
JOIN tickets AS t ON t.hash = asked.hash AND t.device_id IS NOT NULL;

-- name: tickets_bind(hash, origin)
--     -> hash, user_id, expires_at, principal_expires_at, device_id, origin
-- The first use of a ticket binds it: a second one, on whatever node, waits here and reads that.
UPDATE tickets AS t
SET origin = coalesce(t.origin, used.origin)
FROM (
    SELECT hash, origin FROM unnest($1::bytea[], $2::text[]) AS named (hash, origin) ORDER BY hash
) AS used
WHERE t.hash = used.hash AND t.device_id IS NOT NULL
RETURNING t.hash, t.user_id, t.expires_at, t.principal_expires_at, t.device_id, t.origin;

-- name: tickets_of_devices(user_id, device_id)
DELETE FROM tickets AS t
USING unnest($1::text[], $2::text[]) AS gone (user_id, device_id)
WHERE t.user_id = gone.user_id AND t.device_id = gone.device_id;

-- name: tickets_of_users(user_id)
DELETE FROM tickets AS t
USING unnest($1::text[]) AS gone (user_id)
WHERE t.user_id = gone.user_id;

-- name: probe()
-- A real write, because a full disk and a read-only database show in nothing less. The value is a
-- counter, because SQLite does not write an unchanged row.
INSERT INTO meta (name, value) VALUES ('probe', '1')
ON CONFLICT (name) DO UPDATE SET value = (meta.value::bigint + 1)::text;

-- name: meta_claim(name, value) -> value
-- The first value stays. The update changes nothing; it is there to make the row come back.
INSERT INTO meta (name, value)
SELECT name, value FROM unnest($1::text[], $2::text[]) AS new (name, value)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING value;
