-- works with 0006

-- What transactions have written, for nodes that share this store (`store.footprints`). A file has one server,
-- which leaves none; nodes that are simulated together do.
CREATE TABLE footprints (
    xid INTEGER PRIMARY KEY AUTOINCREMENT,
    part INTEGER NOT NULL,
    footprint TEXT
) STRICT;

CREATE TABLE footprint_life (
    name TEXT NOT NULL PRIMARY KEY,
    life TEXT NOT NULL,
    horizon INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
