"""Subscriptions at the edge: what they presuppose does not happen in one long transaction."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tocsin.persistence.store.user_commands import Materialise, Materialised, Subscribe, Subscribed
from tocsin.server.api.topics import subscribe


class PlayedServices:
    """Ann has much to get from her topics."""

    def __init__(self) -> None:
        self.world = SimpleNamespace(now_ms=lambda: 5)
        self.written: list[Any] = []

    async def write(self, command: Any) -> Any:
        self.written.append(command)
        if isinstance(command, Subscribe):
            return Subscribed(command.topic, True, command.users, (), {})
        return Materialised((), ("ann",) if len(self.written) < 3 else ())


async def test_entries_owed_from_before_are_brought_in_pieces():
    services: Any = PlayedServices()
    call: Any = SimpleNamespace(services=services, now_ms=5)

    subscribed = await subscribe(call, "news", ("ann", "bob"))

    assert subscribed.changed == ("ann", "bob")
    assert services.written == [
        Materialise(("ann", "bob"), 5),
        Materialise(("ann",), 5),
        Materialise(("ann",), 5),
        Subscribe("news", ("ann", "bob"), 5),
    ]
