"""The operators' page at `/console`: static modules, which ask only what docs/protocol.md has."""
