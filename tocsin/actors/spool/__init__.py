"""Commands that were taken while the store is away wait in Redis, and are committed in order."""
