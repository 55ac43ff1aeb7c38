-- API keys and tickets; and what a database says of itself.

-- name: keys_insert -> rows
-- Repeating it is harmless; the hash that comes back is the stored one.
INSERT INTO api_keys (id, hash, scopes, name, created_at, revoked_at)
SELECT id, hash, scopes, name, created_at, revoked_at
FROM unnest($1::text[], $2::bytea[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
    AS new (id, hash, scopes, name, created_at, revoked_at)
ORDER BY id COLLATE "C"
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING id, hash;

-- name: keys_revoke -> rows
UPDATE api_keys AS k
SET revoked_at = coalesce(k.revoked_at, revoked.at)
FROM unnest($1::text[], $2::bigint[]) AS revoked (id, at)
WHERE k.id = revoked.id
RETURNING k.id;

-- name: keys_read -> rows
SELECT k.id, k.hash, k.scopes, k.name, k.created_at, k.revoked_at
FROM unnest($1::text[]) AS asked (id)
JOIN api_keys AS k ON k.id = asked.id;

-- name: keys_list -> rows
SELECT id, hash, scopes, name, created_at, revoked_at FROM api_keys ORDER BY created_at, id;

-- name: tickets_insert
INSERT INTO tickets (hash, user_id, scopes, expires_at, principal_expires_at)
SELECT hash, user_id, scopes, expires_at, principal_expires_at
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
    AS new (hash, user_id, scopes, expires_at, principal_expires_at)
ON CONFLICT (hash) DO NOTHING;

-- name: tickets_take -> rows
-- Reading is removing: the second to ask, on whatever node, waits here and finds nothing.
DELETE FROM tickets AS t
USING unnest($1::bytea[]) AS taken (hash)
WHERE t.hash = taken.hash
RETURNING t.hash, t.user_id, t.scopes, t.expires_at, t.principal_expires_at;

-- name: probe
-- A real write, so that a disk that is full and a database that is read-only both show. It counts,
-- because SQLite does not write what has not changed.
INSERT INTO meta (name, value) VALUES ('probe', '1')
ON CONFLICT (name) DO UPDATE SET value = (meta.value::bigint + 1)::text;

-- name: meta_claim -> rows
-- The first value stays: the update changes nothing, it only makes the row come back.
INSERT INTO meta (name, value)
SELECT name, value FROM unnest($1::text[], $2::text[]) AS new (name, value)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING value;
