"""A notification in its forms, its meaning, and the marks that change its state."""
