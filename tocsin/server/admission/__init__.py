"""Limits of peers and credentials, addresses behind proxies, and a count of refusals."""
