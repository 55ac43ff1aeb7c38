"""Commands of operators, over the HTTP API of a running server."""
