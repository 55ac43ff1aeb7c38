-- works with 0006

-- A send keeps its attempts: history has JSON objects between commas. One that is given up is a dead letter,
-- with a number of its own among the letters of all kinds; letter_status is what an operator made of it. The
-- letters of sinks get such numbers, too.
ALTER TABLE sends ADD COLUMN history TEXT NOT NULL DEFAULT '';
ALTER TABLE sends ADD COLUMN letter INTEGER;
ALTER TABLE sends ADD COLUMN letter_status TEXT;
ALTER TABLE sends ADD COLUMN dead_at INTEGER;
CREATE INDEX sends_letters ON sends (letter_status, letter) WHERE letter IS NOT NULL;
CREATE UNIQUE INDEX sends_by_letter ON sends (letter) WHERE letter IS NOT NULL;

CREATE TRIGGER sends_numbered AFTER UPDATE OF letter ON sends WHEN NEW.letter IS NOT NULL
BEGIN
    UPDATE sqlite_sequence SET seq = NEW.letter WHERE name = 'dead_letters' AND seq < NEW.letter;
END;

ALTER TABLE sink_letters ADD COLUMN letter INTEGER;
UPDATE sink_letters
SET letter = numbered.number + (SELECT max(seq) FROM sqlite_sequence WHERE name = 'dead_letters')
FROM (
    SELECT sink_id, position, row_number() OVER (ORDER BY at, position) AS number FROM sink_letters
) AS numbered
WHERE sink_letters.sink_id = numbered.sink_id AND sink_letters.position = numbered.position;
UPDATE sqlite_sequence
SET seq = max(seq, (SELECT coalesce(max(letter), 0) FROM sink_letters))
WHERE name = 'dead_letters';
CREATE INDEX sink_letters_by_status ON sink_letters (status, letter);
CREATE UNIQUE INDEX sink_letters_by_number ON sink_letters (letter);

CREATE TRIGGER sink_letters_numbered AFTER INSERT ON sink_letters WHEN NEW.letter IS NOT NULL
BEGIN
    UPDATE sqlite_sequence SET seq = NEW.letter WHERE name = 'dead_letters' AND seq < NEW.letter;
END;
