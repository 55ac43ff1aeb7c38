"""The listening sockets, and the tasks that serve what they accept."""
