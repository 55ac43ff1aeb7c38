-- A ticket with a device is a stream's: it is not used up, but lets that device come back until it
-- expires. origin is that of the page which used it first, '' for none; unknown until then.
ALTER TABLE tickets ADD COLUMN device_id TEXT;
ALTER TABLE tickets ADD COLUMN origin TEXT;

-- They are taken back by user, and by device.
CREATE INDEX tickets_by_user ON tickets (user_id, device_id);
