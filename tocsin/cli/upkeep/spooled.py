"""A person in Redis: posts that wait for the store, posts that were set aside, claims, leases."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, NamedTuple, TypeVar

import trio

from tocsin.actors.spool.emptying import store_some
from tocsin.actors.spool.entries import Spoolable, UnreadableEntry, decode, encode
from tocsin.actors.spool.persons import names, without
from tocsin.actors.world import World, real_world
from tocsin.cli.trouble import Trouble
from tocsin.cli.upkeep.stores import open_as_it_is, run_with
from tocsin.persistence.bus import BusUnavailable, Spool
from tocsin.persistence.redis.client import RedisClient
from tocsin.persistence.redis.spool import RedisSpool
from tocsin.persistence.redis.traces import RedisTraces, SetAside
from tocsin.persistence.store import Store
from tocsin.persistence.store.commands import Idempotency, Publish
from tocsin.persistence.upkeep.forgetting import FORGOTTEN, Person
from tocsin.protocol.cluster.seals import Seals
from tocsin.settings import Settings
from tocsin.settings.kinds import REDIS

T = TypeVar("T")
Keys = Iterable[tuple[str, str]]
"""Idempotency keys of the person, each behind its credential."""

PATIENCE: Final = 30.0
"""Seconds in which what waits is to be stored: a node takes one for thousands of entries."""
_PAUSE: Final = 0.2
"""Seconds between two looks at a spool that others empty."""


class _Place(NamedTuple):
    """Redis and the database that its spool is for, both open."""

    store: Store
    spool: Spool
    traces: RedisTraces
    world: World


class PersonInRedis:
    """*person* in the Redis that *settings* name. All methods raise `Trouble`."""

    def __init__(self, settings: Settings, person: Person) -> None:
        assert settings.redis is not None
        self._settings = settings
        self._person = person
        self._where = REDIS.show(settings.redis)
        self._url = settings.redis

    def look(self, keys: Keys) -> dict[str, int]:
        """The number of values that name the person, by kind, for each kind of which there are."""

        async def work(place: _Place) -> dict[str, int]:
            traces = place.traces
            waiting = [each async for each in self._waiting(traces)]
            spooled = [(each.credential, each.key) for each in map(_idempotency, waiting) if each]
            counts = {
                "redis:waiting": len(waiting),
                "redis:aside": len([each async for each in self._set_aside(traces)]),
                "redis:claims": await traces.count(self._claims(traces, [*keys, *spooled])),
                "redis:presence": await traces.count([traces.presence(self._person.user)]),
            }
            return {name: count for name, count in counts.items() if count}

        return self._run(work)

    def have_stored(self, *, served: bool) -> None:
        """Wait until no entry that names the person waits for the store.

        Running nodes (*served*) store what waits; without them it is done here. Raises `Trouble`
        if that takes longer than `PATIENCE`.
        """

        async def work(place: _Place) -> bool:
            node = f"forget-user-{os.getpid()}"
            with trio.move_on_after(PATIENCE):
                while [each async for each in self._waiting(place.traces)]:
                    if served or not await store_some(
                        place.spool, place.store, node, place.world.now_ms()
                    ):
                        await trio.sleep(_PAUSE)
                return True
            return False

        if not self._run(work):
            raise Trouble(
                f"Nothing was removed: posts that name the user wait in Redis after {PATIENCE:g} s",
                "see in the nodes' logs why they are not stored, and repeat",
                self._where,
            )

    def forget(self, keys: Keys) -> None:
        """Remove the person from all that does not wait. Entries that were set aside and are for
        others as well stay, without the name.
        """

        async def work(place: _Place) -> None:
            traces = place.traces
            async for aside, command in self._set_aside(traces):
                left = command and without(command, self._person.user, self._person.owns, FORGOTTEN)
                if left is None:
                    await traces.remove(aside)
                else:
                    await traces.replace(aside, encode(left))
            await traces.unlink([*self._claims(traces, keys), traces.presence(self._person.user)])

        self._run(work)

    async def _waiting(self, traces: RedisTraces) -> AsyncIterator[Spoolable]:
        async for payload in traces.waiting():
            command = _read(payload)
            if command is not None and names(command, self._person.user, self._person.owns):
                yield command

    async def _set_aside(
        self, traces: RedisTraces
    ) -> AsyncIterator[tuple[SetAside, Publish | None]]:
        """Entries that name the person; without a command if they are not ours to be read."""
        async for aside in traces.set_aside():
            command = None if aside.foreign else _read(aside.payload)
            if isinstance(command, Publish):
                if names(command, self._person.user, self._person.owns):
                    yield aside, command
            elif command is None and self._person.quoted.encode() in aside.payload:
                yield aside, None

    def _claims(self, traces: RedisTraces, keys: Keys) -> list[str]:
        theirs = {pair for pair in keys if self._person.owns(pair[0])}
        return [traces.claim(credential, key) for credential, key in sorted(theirs)]

    def _run(self, work: Callable[[_Place], Awaitable[T]]) -> T:
        settings, world, troubles = self._settings, real_world(), list[BusUnavailable]()

        async def in_place(store: Store) -> list[T]:
            await open_as_it_is(store)
            client = RedisClient(
                self._url, prefix=settings.redis_prefix, timeout=settings.redis_timeout
            )
            seals = Seals(client.place)
            seals.learn(store.secret)
            spool = RedisSpool(client, seals, world.now_ms, settings.idempotency_retention)
            try:
                return [await work(_Place(store, spool, RedisTraces(client, seals), world))]
            except BusUnavailable as error:
                # Carried out by hand: the loop's nurseries would wrap it in groups.
                troubles.append(error)
                return []
            finally:
                await client.aclose()

        answers = run_with(settings, in_place)
        for trouble in troubles:
            remedy = "see that it runs and that `redis` is right, and repeat"
            raise Trouble(f"Redis cannot be used now: {trouble}", remedy, self._where)
        return answers[0]


def _idempotency(command: Spoolable) -> Idempotency | None:
    return command.idempotency if isinstance(command, Publish) else None


def _read(payload: bytes) -> Spoolable | None:
    try:
        return decode(payload)
    except UnreadableEntry:
        return None
