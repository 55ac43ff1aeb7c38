-- works with 0005

-- An acknowledgment changes devices.last_seen and inbox.delivered_at. While an index looks at these, in its
-- columns or its condition, Postgres has to write each row that changes anew into all indexes of its table,
-- and to clean up behind it. Without such indexes a row's new version stands beside the old one and no
-- index hears of it (HOT), where the page has room: so room is left in new pages.
--
-- What the indexes were for is found in other ways. Devices that were not seen for long, by going through
-- devices slice by slice (`purge_slice`). Those that were removed, by the index below, which an
-- acknowledgment does not concern. A user's first undelivered notification, by going through the log
-- from users.delivered on: up to there nothing is undelivered, nor can it become so again, since what
-- lives anew does so at the end of the log. Nobody need keep that exact, so nodes of before need not know it.

-- Nobody is kept waiting behind us for one who does not let go of a table: then all this is tried again.
SET LOCAL lock_timeout = '500ms';

CREATE INDEX devices_gone ON devices (user_id, device_id) WHERE removed;
DROP INDEX devices_removed;
DROP INDEX devices_by_age;
DROP INDEX inbox_undelivered;
ALTER TABLE inbox SET (fillfactor = 70);
ALTER TABLE users ADD COLUMN delivered bigint NOT NULL DEFAULT 0;
