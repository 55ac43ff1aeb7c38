-- A ticket with a device is a stream's: it is not used up, but lets that device come back until it
-- expires. origin is that of the page which used it first, '' for none; unknown until then.
ALTER TABLE tickets ADD COLUMN device_id text;
ALTER TABLE tickets ADD COLUMN origin text;
