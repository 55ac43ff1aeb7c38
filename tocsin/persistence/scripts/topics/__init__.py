"""Subscriptions, and bringing a topic's notifications to the inboxes of its subscribers."""
