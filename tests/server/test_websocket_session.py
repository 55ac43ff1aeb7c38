"""The frames of a client after its hello; its token at that moment decides which it may send."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import Refusal
from tocsin.server.auth.principal import Principal
from tocsin.server.turnstile import MARKING_MAX, Turnstile
from tocsin.server.websocket.session import WebSocketSession

PUBLISH = '{"type":"publish","request":1,"notification":{"to":{"users":["ada"]},"title":"x"}}'
MARK = '{"type":"mark","request":2,"state":"read","all":true}'


async def never(command: object) -> None:
    await trio.sleep_forever()


class Outlet:
    def __init__(self) -> None:
        self.ended = False
        self.refused: list[Refusal] = []

    def refuse(self, refusal: Refusal) -> None:
        self.ended = True
        self.refused.append(refusal)


@pytest.mark.parametrize("said", [PUBLISH, MARK], ids=["publish", "mark"])
@pytest.mark.parametrize("expired", [False, True])
async def test_a_token_that_ran_out_while_the_machine_slept_publishes_nothing(said, expired):
    published: list[bytes] = []
    now_ms = 10_000 if expired else 9_999
    world = SimpleNamespace(now_ms=lambda: now_ms)
    services: Any = SimpleNamespace(world=world, epoch="e", write=never)
    publishing: Any = SimpleNamespace(publish_soon=lambda *what: published.append(what[1]))
    outlet: Any = Outlet()
    principal = Principal("ada", frozenset({"notify"}), "jwt:ada", 10.0)
    async with trio.open_nursery() as nursery:
        marking = Turnstile(MARKING_MAX)
        session = WebSocketSession(outlet, principal, services, publishing, nursery, marking)
        session.received(said)
        begun = len(published) + len(nursery.child_tasks)
        nursery.cancel_scope.cancel()
    assert begun == (0 if expired else 1)
    assert [refusal.closing for refusal in outlet.refused] == (
        [Closing.UNAUTHENTICATED] if expired else []
    )
