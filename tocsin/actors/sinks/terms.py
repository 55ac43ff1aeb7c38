"""Sinks in brokers, as the settings of a node have them."""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.persistence.sink import ConnectSink
from tocsin.protocol.receipts.receipt import Filter

_ID: Final = "sink:"
"""The beginning of the ids of sinks in brokers: those of webhooks are UUIDs."""


class SinkTerms(msgspec.Struct, frozen=True, kw_only=True):
    """A sink in a broker as the settings have it.

    Messages about one user keep their order; with *by_notification* those about one notification,
    where the broker has order only among messages with one key.
    """

    name: str
    kind: str
    connect: ConnectSink
    filter: Filter
    batch_max: int
    by_notification: bool = False

    @property
    def id(self) -> str:
        """The sink's id in the store."""
        return id_of(self.name)


def id_of(name: str) -> str:
    """The id in the store of the sink that the settings call *name*."""
    return f"{_ID}{name}"
