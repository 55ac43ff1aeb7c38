-- API keys and tickets; and what a database says of itself.

-- name: keys_insert(id, hash, scopes, name, created_at, revoked_at) -> id, hash
-- Repeating it is harmless; the hash that comes back is the stored one.
INSERT INTO api_keys (id, hash, scopes, name, created_at, revoked_at)
VALUES (:id, :hash, :scopes, :name, :created_at, :revoked_at)
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING id, hash;

-- name: keys_revoke(id, at) -> id
UPDATE api_keys SET revoked_at = coalesce(revoked_at, :at) WHERE id = :id RETURNING id;

-- name: keys_read(id) -> id, hash, scopes, name, created_at, revoked_at
SELECT id, hash, scopes, name, created_at, revoked_at FROM api_keys WHERE id = :id;

-- name: keys_list() -> id, hash, scopes, name, created_at, revoked_at
SELECT id, hash, scopes, name, created_at, revoked_at FROM api_keys ORDER BY created_at, id;

-- name: tickets_insert(hash, user_id, expires_at, principal_expires_at, device_id)
-- A ticket has no scopes; the column is of an earlier release, which may run beside this one.
INSERT INTO tickets (hash, user_id, scopes, expires_at, principal_expires_at, device_id)
VALUES (:hash, :user_id, '', :expires_at, :principal_expires_at, :device_id)
ON CONFLICT (hash) DO NOTHING;

-- name: tickets_forget(user_id, now)
-- Those of a user that have expired by `now`.
DELETE FROM tickets WHERE user_id = :user_id AND expires_at <= :now;

-- name: tickets_count(user_id) -> user_id, tickets
SELECT :user_id, count(*) AS tickets FROM tickets WHERE user_id = :user_id;

-- name: tickets_make_room(user_id, excess) -> user_id
-- Of the tickets of streams, `excess` that expire first.
DELETE FROM tickets WHERE hash IN (
    SELECT hash FROM tickets WHERE user_id = :user_id AND device_id IS NOT NULL
    ORDER BY expires_at, hash LIMIT :excess
)
RETURNING user_id;

-- name: tickets_take(hash) -> hash, user_id, expires_at, principal_expires_at, device_id, origin
-- Reading is removing: the second to ask finds nothing.
DELETE FROM tickets WHERE hash = :hash AND device_id IS NULL
RETURNING hash, user_id, expires_at, principal_expires_at, device_id, origin;

-- name: tickets_find(hash) -> hash, user_id, expires_at, principal_expires_at, device_id, origin
-- Those of streams, which stay.
SELECT hash, user_id, expires_at, principal_expires_at, device_id, origin
FROM tickets WHERE hash = :hash AND device_id IS NOT NULL;

-- name: tickets_bind(hash, origin)
--     -> hash, user_id, expires_at, principal_expires_at, device_id, origin
-- The first to use one decides: the second gets what is there.
UPDATE tickets SET origin = coalesce(origin, :origin) WHERE hash = :hash AND device_id IS NOT NULL
RETURNING hash, user_id, expires_at, principal_expires_at, device_id, origin;

-- name: tickets_of_devices(user_id, device_id)
DELETE FROM tickets WHERE user_id = :user_id AND device_id = :device_id;

-- name: tickets_of_users(user_id)
DELETE FROM tickets WHERE user_id = :user_id;

-- name: probe()
-- A real write, so that a disk that is full and a database that is read-only both show. It counts,
-- because SQLite does not write what has not changed.
INSERT INTO meta (name, value) VALUES ('probe', '1')
ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(meta.value AS INTEGER) + 1 AS TEXT);

-- name: meta_claim(name, value) -> value
-- The first value stays: the update changes nothing, it only makes the row come back.
INSERT INTO meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING value;
