-- API keys and tickets; and what a database says of itself.

-- name: keys_insert -> rows
-- Repeating it is harmless; the hash that comes back is the stored one.
INSERT INTO api_keys (id, hash, scopes, name, created_at, revoked_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING id, hash;

-- name: keys_revoke -> rows
UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1 RETURNING id;

-- name: keys_read -> rows
SELECT id, hash, scopes, name, created_at, revoked_at FROM api_keys WHERE id = ?1;

-- name: keys_list -> rows
SELECT id, hash, scopes, name, created_at, revoked_at FROM api_keys ORDER BY created_at, id;

-- name: tickets_insert
-- A ticket has no scopes; the column is of an earlier release, which may run beside this one.
INSERT INTO tickets (hash, user_id, scopes, expires_at, principal_expires_at, device_id)
VALUES (?1, ?2, '', ?3, ?4, ?5)
ON CONFLICT (hash) DO NOTHING;

-- name: tickets_forget
-- Those of a user that have expired by ?2.
DELETE FROM tickets WHERE user_id = ?1 AND expires_at <= ?2;

-- name: tickets_count -> rows
SELECT ?1, count(*) FROM tickets WHERE user_id = ?1;

-- name: tickets_make_room -> rows
-- Of the tickets of streams, ?2 that expire first.
DELETE FROM tickets WHERE hash IN (
    SELECT hash FROM tickets WHERE user_id = ?1 AND device_id IS NOT NULL
    ORDER BY expires_at, hash LIMIT ?2
)
RETURNING user_id;

-- name: tickets_take -> rows
-- Reading is removing: the second to ask finds nothing.
DELETE FROM tickets WHERE hash = ?1 AND device_id IS NULL
RETURNING hash, user_id, expires_at, principal_expires_at, device_id, origin;

-- name: tickets_find -> rows
-- Those of streams, which stay.
SELECT hash, user_id, expires_at, principal_expires_at, device_id, origin
FROM tickets WHERE hash = ?1 AND device_id IS NOT NULL;

-- name: tickets_bind -> rows
-- The first to use one decides: the second gets what is there.
UPDATE tickets SET origin = coalesce(origin, ?2) WHERE hash = ?1 AND device_id IS NOT NULL
RETURNING hash, user_id, expires_at, principal_expires_at, device_id, origin;

-- name: tickets_of_devices
DELETE FROM tickets WHERE user_id = ?1 AND device_id = ?2;

-- name: tickets_of_users
DELETE FROM tickets WHERE user_id = ?1;

-- name: probe
-- A real write, so that a disk that is full and a database that is read-only both show. It counts,
-- because SQLite does not write what has not changed.
INSERT INTO meta (name, value) VALUES ('probe', '1')
ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(meta.value AS INTEGER) + 1 AS TEXT);

-- name: meta_claim -> rows
-- The first value stays: the update changes nothing, it only makes the row come back.
INSERT INTO meta (name, value) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING value;
