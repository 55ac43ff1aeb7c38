"""The work of each command and query, as generators that yield statements, for all databases."""
