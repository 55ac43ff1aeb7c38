"""The actors of a node: each owns some of its state, and is restarted when it fails."""
