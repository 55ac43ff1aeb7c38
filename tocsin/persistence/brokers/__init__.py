"""Adapters of the source's port, one for each broker; imported where a table names that."""
