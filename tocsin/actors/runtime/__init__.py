"""The actor runtime: Trio tasks in nurseries are the actors; this adds what Trio leaves out.

It knows nothing of notifications. Read `supervisor` first, then `mailbox`, `ref` and `prompt`.
"""
