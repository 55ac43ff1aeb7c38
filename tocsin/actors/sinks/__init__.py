"""Carrying receipts to sinks: leases, and one actor for each sink that this node has."""
