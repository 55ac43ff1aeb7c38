"""What lasts by a credential ends with it, whatever becomes of the actor that looks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tests.actors.clock_kit import pass_time
from tests.actors.outlet_kit import FakeOutlet
from tocsin.actors.runtime.supervisor import Actor, open_supervisor
from tocsin.actors.storage.requests import Read
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.queries import FindKey
from tocsin.protocol.closing import Closing
from tocsin.server.auth.errors import Unauthenticated
from tocsin.server.auth.principal import Principal
from tocsin.server.credential_watch import INTERVAL, CredentialWatch, CredentialWatcher

NOW_MS = 1_764_547_200_000


class Storage(Actor[Any]):
    """Answers each question for a key with the next of *answers*, and then with the last."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    async def receive(self, message: Any) -> None:
        assert isinstance(message, Read)
        assert isinstance(message.query, FindKey)
        self.asked.append(message.query.id)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            message.reply.fail(answer)
        else:
            message.reply.set(answer)


def principal(
    credential: str, user: str | None = None, expires_at: float | None = None
) -> Principal:
    return Principal(user, frozenset(), credential, expires_at)


@asynccontextmanager
async def watching(storage: Storage, watch: CredentialWatch) -> AsyncIterator[None]:
    """A node's actors, as far as they have to do with it; each second of theirs is one of the
    wall's."""
    passed = 0.0
    async with open_supervisor("", lambda: 0.0) as tree:
        ref = tree.spawn("storage", lambda: storage)

        def now_ms() -> int:
            nonlocal passed
            passed += INTERVAL
            return NOW_MS + round(passed * 1000)

        tree.spawn("credentials", lambda: CredentialWatcher(ref, watch, now_ms))
        yield
        await tree.stop(5)


async def test_a_watcher_that_fails_forgets_no_connection(autojump_clock):
    storage, watch = Storage(ZeroDivisionError(), NotFound()), CredentialWatch()
    of_key, of_token, gone = FakeOutlet("1"), FakeOutlet("2"), FakeOutlet("3")
    async with watching(storage, watch):
        watch.belongs(of_key, principal("key:k1"))
        watch.belongs(of_token, principal("jwt:ada", "ada"))
        watch.belongs(gone, principal("key:k2"))
        watch.closed(gone)

        await pass_time(INTERVAL + 0.1)
        assert (storage.asked, of_key.ends) == (["k1"], [])
        await pass_time(2 * INTERVAL)
        assert storage.asked[1:] == ["k1"] * (len(storage.asked) - 1) != []
        assert {closing for closing, *_ in of_key.ends} == {Closing.UNAUTHENTICATED}
        assert of_token.ends == gone.ends == []


@pytest.mark.parametrize("gone", [NotFound(), SimpleNamespace(revoked_at=1)], ids=["gone", "end"])
async def test_a_key_ends_once_the_store_says_so_and_not_while_it_is_away(autojump_clock, gone):
    good = SimpleNamespace(revoked_at=None)
    storage, watch = Storage(good, StoreUnavailable(), gone), CredentialWatch()
    permit = watch.enter(principal("key:k1", expires_at=None))
    async with watching(storage, watch):
        await pass_time(2 * INTERVAL + 0.1)
        assert (storage.asked, permit.closing) == (["k1", "k1"], None)
        permit.check()
        await pass_time(INTERVAL)
        assert permit.closing is Closing.UNAUTHENTICATED
        with pytest.raises(Unauthenticated) as refused:
            permit.check()
        assert refused.value.refusal.code == "key_revoked"


async def test_a_token_ends_when_it_expires_and_needs_no_store(autojump_clock):
    storage, watch = Storage(NotFound()), CredentialWatch()
    soon, later = NOW_MS / 1000 + 2 * INTERVAL, NOW_MS / 1000 + 10 * INTERVAL
    producers, users = FakeOutlet("1"), FakeOutlet("2")
    refreshed, permit = FakeOutlet("3"), watch.enter(principal("jwt:root", "root", soon))
    async with watching(storage, watch):
        watch.belongs(producers, principal("jwt:shop", None, soon))
        watch.belongs(users, principal("jwt:ada", "ada", soon))  # its actor ends it
        watch.belongs(refreshed, principal("jwt:shop", None, soon))
        watch.belongs(refreshed, principal("jwt:shop", None, later))
        await pass_time(INTERVAL + 0.1)
        assert (permit.closing, producers.ends) == (None, [])
        await pass_time(INTERVAL)
        assert permit.closing is producers.closing is Closing.UNAUTHENTICATED
        assert permit.detail.startswith("token_expired: ")
        assert users.ends == refreshed.ends == []
        assert storage.asked == []


def test_nothing_is_kept_of_what_has_ended():
    watch = CredentialWatch()
    permit = watch.enter(principal("key:k1"))
    assert watch.keys() == {"k1"}
    for _ in range(2):
        watch.closed(permit)
    assert watch.keys() == set()
