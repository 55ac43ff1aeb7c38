-- API keys and tickets; and the database's own epoch and secret (`meta`).

-- name: keys_insert(id, hash, scopes, name, created_at, revoked_at) -> id, hash
-- A repetition changes nothing. The returned hash is the stored one, by which another key with the
-- same id shows.
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
-- A ticket has no scopes. The column is of an earlier release, which may run beside this one.
INSERT INTO tickets (hash, user_id, scopes, expires_at, principal_expires_at, device_id)
VALUES (:hash, :user_id, '', :expires_at, :principal_expires_at, :device_id)
ON CONFLICT (hash) DO NOTHING;

-- name: tickets_forget(user_id, now)
-- Forget tickets of a user that have expired by `now`.
DELETE FROM tickets WHERE user_id = :user_id AND expires_at <= :now;

-- name: tickets_count(user_id) -> user_id, tickets
SELECT :user_id, count(*) AS tickets FROM tickets WHERE user_id = :user_id;

-- name: tickets_make_room(user_id, excess) -> user_id
-- Remove the `excess` tickets of streams that expire first.
DELETE FROM tickets WHERE hash IN (
    SELECT hash FROM tickets WHERE user_id = :user_id AND device_id IS NOT NULL
    ORDER BY expires_at, hash LIMIT :excess
)
RETURNING user_id;

-- name: tickets_take(hash) -> hash, user_id, expires_at, principal_expires_at, device_id, origin
-- Reading a ticket removes it: a second request finds nothing.
DELETE FROM tickets WHERE hash = :hash AND device_id IS NULL
RETURNING hash, user_id, expires_at, principal_expires_at, device_id, origin;

-- name: tickets_find(hash) -> hash, user_id, expires_at, principal_expires_at, device_id, origin
-- Read tickets of streams, which stay when they are used.
SELECT hash, user_id, expires_at, principal_expires_at, device_id, origin
FROM tickets WHERE hash = :hash AND device_id IS NOT NULL;

-- name: tickets_bind(hash, origin)
--     -> hash, user_id, expires_at, principal_expires_at, device_id, origin
-- The first use of a ticket binds it: a second one reads that.
UPDATE tickets SET origin = coalesce(origin, :origin) WHERE hash = :hash AND device_id IS NOT NULL
RETURNING hash, user_id, expires_at, principal_expires_at, device_id, origin;

-- name: tickets_of_devices(user_id, device_id)
DELETE FROM tickets WHERE user_id = :user_id AND device_id = :device_id;

-- name: tickets_of_users(user_id)
DELETE FROM tickets WHERE user_id = :user_id;

-- name: probe()
-- A real write, because a full disk and a read-only database show in nothing less. The value is a
-- counter, because SQLite does not write an unchanged row.
INSERT INTO meta (name, value) VALUES ('probe', '1')
ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(meta.value AS INTEGER) + 1 AS TEXT);

-- name: meta_claim(name, value) -> value
-- The first value stays. The update changes nothing; it is there to make the row come back.
INSERT INTO meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING value;
