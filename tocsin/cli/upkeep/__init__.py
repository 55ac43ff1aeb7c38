"""Commands on the database itself, whether a server runs or not."""
