"""Tocsin: a self-hosted server that delivers notifications and knows that they arrived.

Each user has one durable, ordered log. Each device has a cursor into it and a delivery ledger
against it. Live push, replay, inbox, unread counts and read-state sync are all views of that
log, the same on every transport.

`tocsin.node` and `tocsin.trunk` are the whole supervision tree; `tocsin.settings` is every limit,
with its reason.
"""

from __future__ import annotations

__version__ = "0.1.0"
