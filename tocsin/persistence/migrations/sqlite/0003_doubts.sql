-- Of several changes of a notification that a device was sent in a session and has not answered, the
-- oldest; 0 where it is the last one or none. An acknowledgment by id, which does not say which change
-- it means, is taken for that: it may have crossed the later ones.
ALTER TABLE deliveries ADD COLUMN unanswered_sequence INTEGER NOT NULL DEFAULT 0;

-- session names the last session of a device. While it is open, the device may be sent what the ledger does
-- not know of yet; a node that dies takes that along and leaves the session open. So who attaches then is
-- doubtful: what was created up to there it may have, whatever the ledger says.
ALTER TABLE devices ADD COLUMN session TEXT;
ALTER TABLE devices ADD COLUMN session_open INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN doubtful INTEGER NOT NULL DEFAULT 0;
