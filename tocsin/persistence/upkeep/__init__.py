"""What concerns a database as a whole, whatever its kind: its tables, copies, forgetting a user."""
