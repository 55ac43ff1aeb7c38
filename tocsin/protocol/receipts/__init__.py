"""Facts that producers hear of, and the sinks that carry them."""
