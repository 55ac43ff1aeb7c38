"""`@tocsin/client`: the follower of a user's log for browsers, and its package for npm."""
