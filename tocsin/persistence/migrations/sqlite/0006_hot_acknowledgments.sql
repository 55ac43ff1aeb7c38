-- works with 0005

-- An acknowledgment changes devices.last_seen and inbox.delivered_at, and indexes that look at these are one
-- more page to write each. What they were for is found in other ways: devices that were not seen for long,
-- by going through devices slice by slice (`purge_slice`); those that were removed, by the index below,
-- which an acknowledgment does not concern; a user's first undelivered notification, by going through the
-- log from users.delivered on: up to there nothing is undelivered, nor can it become so again, since what
-- lives anew does so at the end of the log. Nobody need keep that exact.
CREATE INDEX devices_gone ON devices (user_id, device_id) WHERE removed;
DROP INDEX devices_removed;
DROP INDEX devices_by_age;
DROP INDEX inbox_undelivered;
ALTER TABLE users ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0;
