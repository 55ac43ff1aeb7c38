"""The store in an SQLite file, and what operators do with such a database as a whole."""
