"""The store in Postgres, and what operators do with such a database as a whole."""
