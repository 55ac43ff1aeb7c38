-- works with 0006

-- A transaction that writes logs leaves a footprint: its id, the heads that it moved, the users it brought into
-- topics or whose counters it changed, and the topics whose logs it wrote (`store.footprints`). Nodes read them to find what they were not
-- told, at the price of what has changed and not of all users.
--
-- Both tables are UNLOGGED. A footprint then costs no write-ahead log; and Postgres empties them when it has
-- crashed, or when a standby takes over: exactly then ids may be given out a second time, and what a node knows
-- by ids is worth nothing. The row of footprint_life is then gone, and with it the life that the node knows.

SET LOCAL lock_timeout = '500ms';

-- footprint is JSON; NULL for a program that does not say what it has written.
CREATE UNLOGGED TABLE footprints (
    xid BIGINT NOT NULL,
    part BIGINT NOT NULL,
    footprint TEXT,
    PRIMARY KEY (xid, part)
);

-- One row. From the horizon on, no footprint was forgotten.
CREATE UNLOGGED TABLE footprint_life (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    life TEXT NOT NULL,
    horizon BIGINT NOT NULL
);

-- Nodes of a release before this one write logs and leave no footprint, and so may a person with psql. For these
-- the triggers leave one that says only that there was something: then nodes look at all users, as before.
CREATE FUNCTION leave_unknown_footprint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('tocsin.footprints', true) IS DISTINCT FROM 'on' THEN
        -- The program may have another search_path than ours.
        EXECUTE format(
            'INSERT INTO %I.footprints (xid, part) VALUES (pg_current_xact_id()::text::bigint, -1)'
            ' ON CONFLICT DO NOTHING',
            TG_TABLE_SCHEMA
        );
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER users_footprint BEFORE INSERT OR UPDATE OF head, unread, unseen ON users
    FOR EACH STATEMENT EXECUTE FUNCTION leave_unknown_footprint();
CREATE TRIGGER topics_footprint BEFORE INSERT OR UPDATE OF head ON topics
    FOR EACH STATEMENT EXECUTE FUNCTION leave_unknown_footprint();
CREATE TRIGGER subscriptions_footprint BEFORE INSERT ON subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION leave_unknown_footprint();
