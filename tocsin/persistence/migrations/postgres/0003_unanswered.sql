-- Of several changes of a notification that a device was sent in a session and has not answered, the
-- oldest; 0 where it is the last one or none. An acknowledgment by id, which does not say which change
-- it means, is taken for that: it may have crossed the later ones.
ALTER TABLE deliveries ADD COLUMN unanswered_sequence bigint NOT NULL DEFAULT 0;
