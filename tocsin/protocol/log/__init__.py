"""A user's log: places in it, its entries, and the news of what was written."""
