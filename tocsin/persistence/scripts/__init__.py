"""What each command and query does, as generators that yield statements: one for all databases."""
