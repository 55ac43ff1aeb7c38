"""The state that must be, as far as it can be known from the requests of clients."""
