-- Footprints of transactions (`store.footprints`). There is one writer, so each has ended when the
-- next one begins, and a row's own number is as good as that of its transaction.

-- name: footprints_insert(part, footprint)
INSERT INTO footprints (part, footprint) VALUES (:part, :footprint);

-- name: footprints_read(after_xid, after_part, rows_max)
--     -> life, horizon, oldest, newest, xid, part, footprint
WITH seen AS (
    SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'footprints'), 0) + 1 AS newest
)
SELECT l.life, l.horizon, seen.newest AS oldest, seen.newest, f.xid, f.part, f.footprint
FROM seen
LEFT JOIN footprint_life AS l ON l.name = 'footprints'
LEFT JOIN (
    SELECT xid, part, footprint
    FROM footprints
    WHERE (xid, part) > (:after_xid, :after_part)
    ORDER BY xid, part
    LIMIT :rows_max
) AS f ON true
ORDER BY f.xid, f.part;

-- name: footprints_begin(life)
INSERT INTO footprint_life (name, life, horizon) VALUES ('footprints', :life, 0)
ON CONFLICT (name) DO NOTHING;

-- name: footprints_horizon(horizon)
UPDATE footprint_life SET horizon = max(horizon, :horizon) WHERE name = 'footprints';

-- name: footprints_forget(before, rows_max)
DELETE FROM footprints
WHERE xid IN (
    SELECT xid FROM footprints WHERE xid < :before ORDER BY xid LIMIT :rows_max
);
