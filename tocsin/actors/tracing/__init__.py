"""Traces of notifications: spans from the post to the acknowledgment, and their way out."""
