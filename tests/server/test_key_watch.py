"""Revoked API keys: their connections end, whatever becomes of the actor that looks."""

from __future__ import annotations

from typing import Any

from tests.actors.clock_kit import pass_time
from tests.actors.outlet_kit import FakeOutlet
from tocsin.actors.runtime.supervisor import Actor, open_supervisor
from tocsin.actors.storage.requests import Read
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.queries import FindKey
from tocsin.protocol.closing import Closing
from tocsin.server.auth.principal import Principal
from tocsin.server.key_watch import INTERVAL, KeyWatch, KeyWatcher


class Storage(Actor[Any]):
    """Knows no key; fails whoever asks for a second."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def receive(self, message: Any) -> None:
        assert isinstance(message, Read)
        assert isinstance(message.query, FindKey)
        self.asked.append(message.query.id)
        if len(self.asked) == 1:
            message.reply.fail(ZeroDivisionError())
        else:
            message.reply.set(NotFound())


def principal(credential: str) -> Principal:
    return Principal(None, frozenset(), credential, None)


async def test_a_watcher_that_fails_forgets_no_connection(autojump_clock):
    storage, watch = Storage(), KeyWatch()
    async with open_supervisor("", lambda: 0.0) as tree:
        ref = tree.spawn("storage", lambda: storage)
        tree.spawn("key-watch", lambda: KeyWatcher(ref, watch))
        of_key, of_token, gone = FakeOutlet("1"), FakeOutlet("2"), FakeOutlet("3")
        watch.belongs(of_key, principal("key:k1"))
        watch.belongs(of_token, principal("jwt:ada"))
        watch.belongs(gone, principal("key:k2"))
        watch.closed(gone.connection)

        await pass_time(INTERVAL + 0.1)
        assert (storage.asked, of_key.ends) == (["k1"], [])
        await pass_time(2 * INTERVAL)
        assert storage.asked[1:] == ["k1"] * (len(storage.asked) - 1) != []
        assert {closing for closing, *_ in of_key.ends} == {Closing.UNAUTHENTICATED}
        assert of_token.ends == gone.ends == []
        await tree.stop(5)
