"""Carrying receipts to webhooks: leases, and one actor for each webhook of this node."""
