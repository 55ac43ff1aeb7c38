"""Who owns what state, and what happens when it fails."""
