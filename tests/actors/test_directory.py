"""Directories: children found by name without a message; connections, which fail alone."""

from functools import partial
from typing import Any

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.outlet_kit import FakeOutlet
from tests.actors.runtime.actor_kit import Adder, Boom, Deaf, Fail, Total
from tocsin.actors.delivery.connections import Connections, current_connection
from tocsin.actors.directory import Directory, DirectoryKeeper
from tocsin.actors.runtime.errors import ActorStopped
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import Actor, open_supervisor
from tocsin.protocol.closing import Closing


class Adders(Directory[Any]):
    def keeper(self) -> DirectoryKeeper:
        return DirectoryKeeper(self, lambda: 0.0, grace=2)

    def start(self, name: str, kind: type[Actor[Any]] = Adder) -> Ref[Any]:
        return self._spawn(name, kind)

    def retire(self, name: str) -> None:
        self._retire(name)


def adders() -> Adders:
    return Adders(capacity=4)


async def test_children_are_found_by_name():
    directory = adders()
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("adders", directory.keeper)
        await settle()
        ada = directory.start("ada")
        directory.start("bob")

        assert directory.find("ada") is ada
        assert directory.find("eve") is None
        assert (directory.names(), len(directory)) == (["ada", "bob"], 2)
        assert ada.path == "/adders/ada"
        await tree.stop(5)


async def test_a_directory_that_is_down_is_empty_and_starts_nobody():
    directory = adders()
    for _ in range(2):
        assert directory.find("ada") is None
        assert (directory.names(), len(directory)) == ([], 0)
        directory.retire("ada")
        with pytest.raises(ActorStopped):
            directory.start("ada")
        async with open_supervisor("", lambda: 0.0) as tree:
            tree.spawn("adders", directory.keeper)
            await settle()
            directory.start("ada")
            await tree.stop(5)


async def test_a_child_that_fails_fails_alone_and_its_name_is_free(autojump_clock):
    directory = adders()
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("adders", directory.keeper)
        await settle()
        ada, bob = directory.start("ada"), directory.start("bob")
        ada.tell(Fail())
        await settle()

        assert directory.names() == ["bob"]
        assert await bob.ask(Total()) == 0
        directory.start("ada")
        await tree.stop(5)


async def test_an_idle_child_retires():
    directory = adders()
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("adders", directory.keeper)
        await settle()
        ada = directory.start("ada")
        await settle()
        directory.retire("ada")

        assert directory.find("ada") is None
        await ada.wait_stopped()
        await tree.stop(5)


async def test_stopping_it_stops_all_children_together_within_their_grace(autojump_clock):
    directory = adders()
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("adders", directory.keeper)
        await settle()
        for number in range(5):
            directory.start(str(number), Deaf)
        await tree.stop(10)
        assert trio.current_time() == 2


async def test_no_actor_is_started_while_it_stops_so_none_delays_the_stop(autojump_clock, nursery):
    directory = adders()
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("adders", directory.keeper)
        await settle()
        deaf = directory.start("deaf", Deaf)
        nursery.start_soon(tree.stop, 10)
        await pass_time(1)

        assert directory.find("deaf") is deaf
        with pytest.raises(ActorStopped):
            directory.start("late", Deaf)
        await deaf.wait_stopped()
        assert trio.current_time() == 2
    assert trio.current_time() == 2


async def test_a_directory_that_fails_comes_back_empty(autojump_clock):
    directory = adders()
    async with open_supervisor("", lambda: 0.0) as tree:
        ref = tree.spawn("adders", directory.keeper)
        await settle()
        ada = directory.start("ada")
        crash(ref)
        await settle()
        assert ada.stopped
        with pytest.raises(ActorStopped):
            directory.start("ada")
        await pass_time(1)
        directory.start("ada")
        await tree.stop(5)


def crash(ref: Ref[Any]) -> None:
    """Have a keeper fail: nobody tells one anything."""
    ref.tell("anything")


def kept(connections: Connections) -> DirectoryKeeper:
    return DirectoryKeeper(connections, lambda: 0.0, grace=1)


# --- connections ---------------------------------------------------------------------------------


async def test_each_connection_knows_its_name():
    connections = Connections()
    names = []

    async def serve() -> None:
        names.append(current_connection.get())

    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("connections", partial(kept, connections))
        await settle()
        for _ in range(3):
            connections.start(serve)
        await settle()
        assert len(connections) == 0
        await tree.stop(5)
    assert sorted(names) == ["1", "2", "3"]


async def fail() -> None:
    raise Boom


async def fail_in_a_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        nursery.start_soon(trio.sleep_forever)


@pytest.mark.parametrize("serve", [fail, fail_in_a_nursery])
async def test_a_connection_that_fails_harms_no_other(serve):
    connections = Connections()
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("connections", partial(kept, connections))
        await settle()
        connections.start(trio.sleep_forever)
        connections.start(serve)
        await settle()
        assert len(connections) == 1
        await tree.stop(0)


async def test_a_connection_that_fails_while_it_is_ended_harms_no_other(autojump_clock):
    connections = Connections()

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise Boom

    async with open_supervisor("", lambda: 0.0) as tree:
        other = tree.spawn("other", Adder)
        tree.spawn("connections", partial(kept, connections))
        await settle()
        connections.start(serve)
        await settle()
        await tree.stop_child("connections", 5)
        assert await other.ask(Total()) == 0
        await tree.stop(0)


async def test_sessions_are_counted_from_hello_to_the_end(autojump_clock):
    connections = Connections()

    async def serve() -> None:
        outlet = FakeOutlet(current_connection.get())
        connections.opened(outlet)
        await pass_time(float(outlet.connection))
        if outlet.connection == "2":
            raise Boom

    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("connections", partial(kept, connections))
        await settle()
        for _ in range(3):
            connections.start(serve)
        await settle()
        assert connections.session_count == 3
        assert [outlet.connection for outlet in connections.outlets] != []
        # However they end.
        await connections.wait_no_outlets()
        assert trio.current_time() == 3
        assert connections.session_count == 0
        await connections.wait_no_outlets()
        connections.closed("1")
        await tree.stop(5)


async def test_the_end_of_a_session_is_counted_by_its_closing(autojump_clock):
    connections = Connections()
    for number, closing in enumerate([None, None, Closing.SLOW, Closing.DRAINING]):
        outlet = FakeOutlet(str(number))
        connections.opened(outlet)
        if closing is not None:
            outlet.end(closing)
        connections.closed(outlet.connection)
        connections.closed(outlet.connection)

    ended = {closing: count for closing, count in connections.ends.items() if count}
    assert ended == {None: 2, Closing.SLOW: 1, Closing.DRAINING: 1}
