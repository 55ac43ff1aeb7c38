-- Who may subscribe users to a topic: they themselves as well, or, where it is closed, only producers.
ALTER TABLE topics ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;

-- How many tickets of a user wait to be used.
CREATE INDEX tickets_by_user ON tickets (user_id, expires_at);

-- Devices that were removed: what the ledger says of them, and then they themselves, are forgotten.
CREATE INDEX devices_removed ON devices (last_seen) WHERE removed;
