"""Connections on which nothing was said for a while: what a network between may do to them."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio

from servers.proxy import Proxy
from tests.persistence.desk_kit import Desk, positions
from tocsin.persistence.asyncio_loop import open_asyncio_loop
from tocsin.persistence.postgres import pool as postgres_pool
from tocsin.persistence.postgres.connecting import Link
from tocsin.persistence.postgres.store import PostgresStore
from tocsin.persistence.store import StoreUnavailable

CONNECTIONS = 3


@pytest.fixture
async def loop():
    async with open_asyncio_loop() as faults:
        yield
    assert faults.count == 0


@pytest.fixture
def proxy(postgres_url):
    with Proxy(postgres_url) as proxy:
        yield proxy


@pytest.fixture
async def desk(loop, proxy):
    store = PostgresStore(proxy.url, pool_size=CONNECTIONS)
    await store.open()
    desk = Desk(store)
    await all_at_once(desk.publish)
    assert len(store._pool._idle) == CONNECTIONS
    yield desk
    await store.aclose()


async def all_at_once(call) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(CONNECTIONS):
            nursery.start_soon(call, f"user-{number}")


def quieten(desk: Any, seconds: float = postgres_pool.QUIET) -> None:
    """As if nothing had been said for *seconds*."""
    for connection in desk.store._pool._idle:
        connection.used_at -= seconds


async def test_connections_that_a_network_has_forgotten_cost_a_moment(desk, proxy):
    quieten(desk, 8 * 3600)
    proxy.forget()

    with trio.fail_after(postgres_pool.LOOK_TIMEOUT + 3):
        await all_at_once(desk.publish)
        await all_at_once(desk.page)


async def test_one_that_hangs_takes_only_its_own_statement_with_it(loop, proxy):
    store = PostgresStore(proxy.url, pool_size=CONNECTIONS, command_timeout=2.0)
    await store.open()
    desk = Desk(store)
    await all_at_once(desk.publish)
    proxy.forget()

    with pytest.raises(StoreUnavailable):
        await desk.page("ann")
    # No other is believed any longer: each would take as long.
    with trio.fail_after(1.9):
        await all_at_once(desk.publish)
        await all_at_once(desk.page)
    await store.aclose()


async def test_a_quiet_connection_that_answers_is_used_again(desk):
    before = {id(each) for each in desk.store._pool._idle}
    quieten(desk)

    await all_at_once(desk.publish)

    assert {id(each) for each in desk.store._pool._idle} == before


async def test_a_connection_that_has_just_spoken_is_not_looked_at(desk, monkeypatch):
    async def look(*_):
        raise AssertionError("looked at")

    monkeypatch.setattr(postgres_pool.Pool, "_answers", look)
    await all_at_once(desk.publish)


async def test_an_old_connection_is_replaced_though_in_use_all_the_time(desk):
    before = {each.get_server_pid() for each in desk.store._pool._idle}
    for each in desk.store._pool._idle:
        each.retire_at -= postgres_pool.AGE_MAX

    for expected in (2, 3):
        assert positions(await desk.publish("user-0"))[0].sequence == expected
        await all_at_once(desk.page)

    assert not before & {each.get_server_pid() for each in desk.store._pool._idle}


async def test_connections_do_not_all_grow_old_at_once(desk):
    ages = sorted(each.retire_at for each in desk.store._pool._idle)
    assert len({round(each / 10) for each in ages}) == CONNECTIONS
    assert ages[-1] - ages[0] <= postgres_pool.AGE_MAX / 4


def options_of(desk: Any) -> dict[str, int]:
    found = desk.store._pool._idle[0]._transport.get_extra_info("socket")
    tcp = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    return {
        "SO_KEEPALIVE": found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        **{
            name: found.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in tcp
            if hasattr(socket, name)
        },
    }


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="a system without the options")
async def test_connections_are_kept_awake(desk):
    assert options_of(desk) == {
        "SO_KEEPALIVE": 1,
        "TCP_KEEPIDLE": 60,
        "TCP_KEEPINTVL": 10,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 5_000,
    }


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="a system without the options")
async def test_how_connections_are_kept_awake_is_the_operators(loop, proxy):
    link = Link(keepalives_idle=30, keepalives_count=2, tcp_user_timeout=7.5)
    store = PostgresStore(proxy.url, link=link)
    await store.open()
    found = options_of(Desk(store))
    assert (found["TCP_KEEPIDLE"], found["TCP_KEEPCNT"]) == (30, 2)
    assert found["TCP_USER_TIMEOUT"] == 7500
    await store.aclose()

    store = PostgresStore(proxy.url, link=Link(keepalives=False, tcp_user_timeout=0))
    await store.open()
    assert options_of(Desk(store))["SO_KEEPALIVE"] == 0
    await store.aclose()


async def test_a_server_that_does_not_answer_is_given_up_when_the_operator_says(loop, proxy):
    proxy.stall()
    store = PostgresStore(proxy.url, link=Link(connect_timeout=1.0))
    with trio.fail_after(5), pytest.raises(StoreUnavailable):
        await store.open()
    await store.aclose()
