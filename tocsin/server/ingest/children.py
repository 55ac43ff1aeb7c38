"""The connectors of a node as children of its tree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from tocsin.actors.runtime.child import Child
from tocsin.actors.runtime.restart import PARKED
from tocsin.server.connector_status import Connectors
from tocsin.server.ingest.connector import ConnectorActor
from tocsin.server.producing.publishing import Publishing
from tocsin.server.services import Services

STOPPED_BY: Final = 0.15
"""The part of the drain time by which connectors have finished the batch in hand. They stop before
the devices are told goodbye, since no producer waits for them: their brokers keep what is left."""


def connector_children(
    connectors: Connectors, services: Services, random: Callable[[], float]
) -> tuple[Child, ...]:
    """A child for each of *connectors*; *random* gives numbers in [0, 1)."""
    publishing = Publishing(services)
    return tuple(
        Child(
            f"connector-{each.terms.name}",
            partial(ConnectorActor, each, services, publishing, random),
            stopped_by=STOPPED_BY,
            policy=PARKED,
        )
        for each in connectors.all
    )
