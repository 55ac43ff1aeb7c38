"""The HTTP API; it asks actors and knows no store.

Its operations are listed in `all_operations`, each with its record (`operation`); how requests
become calls of them is the same for all (`serving`). The door finds them (`http_api`) and answers
the hot ones, Quart the others (`quart_app`).
"""
