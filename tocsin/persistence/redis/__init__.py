"""The bus, presence and spool in Redis, and the client that they share."""
