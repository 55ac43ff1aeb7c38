-- works with 0006

-- A send keeps its attempts: history has JSON objects between commas. One that is given up is a dead letter,
-- with a number of its own among the letters of all kinds; letter_status is what an operator made of it. The
-- letters of sinks get such numbers, too. A send that a node of an earlier release gives up has none.
ALTER TABLE sends ADD COLUMN history TEXT NOT NULL DEFAULT '';
ALTER TABLE sends ADD COLUMN letter BIGINT;
ALTER TABLE sends ADD COLUMN letter_status TEXT COLLATE "C";
ALTER TABLE sends ADD COLUMN dead_at BIGINT;
CREATE INDEX sends_letters ON sends (letter_status, letter) WHERE letter IS NOT NULL;
CREATE UNIQUE INDEX sends_by_letter ON sends (letter) WHERE letter IS NOT NULL;

ALTER TABLE sink_letters ADD COLUMN letter BIGINT;
UPDATE sink_letters AS l
SET letter = nextval(pg_get_serial_sequence('dead_letters', 'id'))
FROM (SELECT o.sink_id, o.position FROM sink_letters AS o ORDER BY o.at, o.position) AS old
WHERE l.sink_id = old.sink_id AND l.position = old.position;
ALTER TABLE sink_letters
    ALTER COLUMN letter SET DEFAULT nextval(pg_get_serial_sequence('dead_letters', 'id'));
CREATE INDEX sink_letters_by_status ON sink_letters (status, letter);
CREATE UNIQUE INDEX sink_letters_by_number ON sink_letters (letter);
