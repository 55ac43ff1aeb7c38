"""The modules for browsers: plain ES modules, served as they stand here (docs/clients.md)."""
