"""Work on a database as a whole, of either kind: its tables, copies, forgetting a user."""
