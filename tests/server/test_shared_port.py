"""One port on several addresses, and held for several processes."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tocsin.server.door.shared_port import (
    Reservation,
    addresses,
    bound_everywhere,
    every_host,
    open_listeners,
)

TWO = ("127.0.0.1", "127.0.0.2")


@contextmanager
def taken(host: str, port: int = 0) -> Iterator[int]:
    """Another program listens there, and shares with nobody."""
    with socket.create_server((host, port)) as server:
        yield server.getsockname()[1]


def places(listeners) -> list[tuple[str, int]]:
    return [listener.socket.getsockname()[:2] for listener in listeners]


def speaks_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not speaks_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize("share", [False, True])
async def test_all_addresses_have_the_same_port(share):
    listeners = await open_listeners(TWO, 0, 8, share=share)
    try:
        hosts, ports = zip(*places(listeners), strict=True)
        assert hosts == TWO
        assert len(set(ports)) == 1
        for place in places(listeners):
            with socket.create_connection(place):
                pass
    finally:
        for listener in listeners:
            await listener.aclose()


@needs_ipv6
async def test_the_address_of_both_families_is_reached_by_both():
    listeners = await open_listeners(["::"], 0, 8, share=False)
    try:
        [(_, port), _] = places(listeners)
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port)) as client:
                # A client that comes by IPv4 has an address of IPv4.
                assert client.getsockname()[0] == host
    finally:
        for listener in listeners:
            await listener.aclose()


def test_each_address_is_listened_on_once():
    hosts = ["127.0.0.1", "localhost", "127.0.0.1"]
    found = [address for _, address in addresses(hosts, 80)]
    assert len(set(found)) == len(found)
    assert ("127.0.0.1", 80) in found
    assert every_host(["0.0.0.0", "::", "0.0.0.0"]) == ("0.0.0.0", "::")


def test_a_port_that_is_taken_on_one_address_is_an_error_that_names_it():
    with taken("127.0.0.2") as port:
        with pytest.raises(OSError, match=rf"127\.0\.0\.2:{port}: another program") as caught:
            bound_everywhere(TWO, port, share=False)
        assert caught.value.errno == errno.EADDRINUSE
        # And nothing is left of the other.
        with taken("127.0.0.1", port):
            pass


@pytest.mark.parametrize(
    ("host", "text"), [("192.0.2.1", r"192\.0\.2\.1:[0-9]+: "), ("::g", r"\[::g\]:0: ")]
)
def test_a_host_that_is_not_ours_is_an_error_that_names_it(host, text):
    with pytest.raises(OSError, match=text):
        bound_everywhere(["127.0.0.1", host], 0, share=False)


async def test_a_reserved_port_is_kept_from_strangers_and_open_to_those_who_share():
    with Reservation(TWO, 0) as reservation:
        for host in TWO:
            with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
                stranger.bind((host, reservation.port))
        listeners = await open_listeners(TWO, reservation.port, 8, share=True)
        assert places(listeners) == [(host, reservation.port) for host in TWO]
        for listener in listeners:
            await listener.aclose()


def test_a_port_of_somebody_else_cannot_be_reserved():
    with taken("127.0.0.2") as port, pytest.raises(OSError, match="another program"):
        Reservation(TWO, port)


def test_a_port_that_is_let_go_of_is_free():
    reservation = Reservation(TWO, 0)
    reservation.close()
    with taken("127.0.0.2", reservation.port):
        pass
    [socket_] = bound_everywhere(["127.0.0.1"], reservation.port, share=False)
    with closing(socket_):
        assert socket_.getsockname() == ("127.0.0.1", reservation.port)
