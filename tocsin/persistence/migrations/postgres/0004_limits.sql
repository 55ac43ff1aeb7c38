-- Who may subscribe users to a topic: they themselves as well, or, where it is closed, only producers.
ALTER TABLE topics ADD COLUMN closed boolean NOT NULL DEFAULT false;

-- How many tickets of a user wait to be used.
CREATE INDEX tickets_by_user ON tickets (user_id, expires_at);

-- What the ledger says of a device that was removed is forgotten piece by piece, and then the device
-- itself. Of its user's log up to the sequence cleared it has been.
ALTER TABLE devices ADD COLUMN cleared bigint NOT NULL DEFAULT 0;
CREATE INDEX devices_removed ON devices (last_seen) WHERE removed;
