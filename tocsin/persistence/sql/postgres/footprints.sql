-- Footprints of transactions (`store.footprints`).

-- name: footprints_insert(part, footprint)
INSERT INTO footprints (xid, part, footprint)
SELECT pg_current_xact_id()::text::bigint, part, footprint
FROM unnest($1::bigint[], $2::text[]) AS new (part, footprint);

-- name: footprints_read(after_xid, after_part, rows_max)
--     -> life, horizon, oldest, newest, xid, part, footprint
-- The footprints behind a place, and what the statement's own snapshot says: transactions before
-- `oldest` have ended, and their footprints are seen. (Ids from `newest` on are of another server,
-- whose rows came here by a backup.)
SELECT seen.life, seen.horizon, seen.oldest, seen.newest, f.xid, f.part, f.footprint
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS asked (after_xid, after_part, rows_max)
CROSS JOIN (
    SELECT pg_snapshot_xmin(now)::text::bigint AS oldest,
        pg_snapshot_xmax(now)::text::bigint AS newest,
        (SELECT life FROM footprint_life WHERE name = 'footprints') AS life,
        (SELECT horizon FROM footprint_life WHERE name = 'footprints') AS horizon
    FROM pg_current_snapshot() AS now
) AS seen
LEFT JOIN LATERAL (
    SELECT o.xid, o.part, o.footprint
    FROM footprints AS o
    WHERE (o.xid, o.part) > (asked.after_xid, asked.after_part) AND o.xid < seen.newest
    ORDER BY o.xid, o.part
    LIMIT asked.rows_max
) AS f ON true
ORDER BY f.xid, f.part;

-- name: footprints_begin(life)
INSERT INTO footprint_life (name, life, horizon)
SELECT 'footprints', life, 0 FROM unnest($1::text[]) AS new (life)
ON CONFLICT (name) DO NOTHING;

-- name: footprints_horizon(horizon)
UPDATE footprint_life AS l
SET horizon = greatest(l.horizon, said.horizon)
FROM unnest($1::bigint[]) AS said (horizon)
WHERE l.name = 'footprints';

-- name: footprints_forget(before, rows_max)
-- Each node does it, so rows that another has in hand are passed over.
DELETE FROM footprints AS f
USING unnest($1::bigint[], $2::bigint[]) AS asked (before, rows_max)
CROSS JOIN LATERAL (
    SELECT o.xid, o.part
    FROM footprints AS o
    WHERE o.xid < asked.before
    ORDER BY o.xid, o.part
    LIMIT asked.rows_max
    FOR UPDATE SKIP LOCKED
) AS old
WHERE f.xid = old.xid AND f.part = old.part;
