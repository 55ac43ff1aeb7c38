"""The share of a node that one address, and one credential, may take at a time."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tocsin.server.admission.limits import Excess, HeldShare, Limit, LimitFigures, Limits
from tocsin.settings import Settings
from tocsin.wiring import limit_figures

SHOP = "key:shop"


def figures(**values: Any) -> LimitFigures:
    return LimitFigures(
        **{
            "peer_connections_max": 3,
            "peer_requests_max": 4,
            "peer_body_bytes_max": 1000,
            "peer_rate": 10,
            "credential_requests_max": 2,
            "credential_body_bytes_max": 600,
            "credential_rate": 5,
            "rate_window": 1.0,
        }
        | values
    )


def admitted(limits: Limits, address: str = "192.0.2.1", now: float = 0.0) -> HeldShare:
    held = limits.admit_request(address, now)
    assert isinstance(held, HeldShare)
    return held


def accounts(book) -> int:
    """Those that *book* has, busy or remembered."""
    return len(book.busy) + len(book.idle)


def refused(answer: HeldShare | Excess | None) -> Excess:
    assert isinstance(answer, Excess)
    return answer


# --- connections ----------------------------------------------------------------------------------


def test_an_address_has_so_many_connections_and_others_have_theirs():
    limits = Limits(figures())
    assert [limits.admit_connection("192.0.2.1") for _ in range(3)] == [None] * 3
    assert refused(limits.admit_connection("192.0.2.1")).limit is Limit.PEER_CONNECTIONS
    assert limits.admit_connection("192.0.2.2") is None


def test_a_closed_connection_makes_room_for_one():
    limits = Limits(figures())
    for _ in range(3):
        limits.admit_connection("192.0.2.1")
    limits.connection_closed("192.0.2.1")
    assert limits.admit_connection("192.0.2.1") is None
    assert limits.admit_connection("192.0.2.1") is not None


def test_a_refused_connection_is_not_counted():
    limits = Limits(figures(peer_connections_max=1))
    assert limits.admit_connection("192.0.2.1") is None
    for _ in range(5):
        assert limits.admit_connection("192.0.2.1") is not None
    limits.connection_closed("192.0.2.1")
    assert limits.admit_connection("192.0.2.1") is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("somebody", "somebody else", False),
    ],
)
def test_ipv6_peers_are_counted_by_64_bits_and_ipv4_peers_however_they_are_written(
    one, other, same
):
    limits = Limits(figures(peer_connections_max=1))
    assert limits.admit_connection(one) is None
    assert (limits.admit_connection(other) is not None) is same


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "10.0.0.7", "2001:db8::7"]
)
def test_this_machine_and_proxies_have_no_limits_as_addresses(address):
    proxies = [ip_network("10.0.0.0/24"), ip_network("2001:db8::/64")]
    limits = Limits(figures(), exempt=proxies)
    assert limits.is_exempt(address)
    for _ in range(20):
        assert limits.admit_connection(address) is None
        assert admitted(limits, address).reserve(10_000) is None
    for _ in range(20):
        limits.connection_closed(address)
    assert accounts(limits._peers) == 0


def test_a_credential_has_limits_wherever_it_comes_from():
    limits = Limits(figures())
    assert admitted(limits, "127.0.0.1").charge(SHOP, 0) is None
    assert admitted(limits, "192.0.2.1").charge(SHOP, 0) is None
    answer = admitted(limits, "192.0.2.2").charge(SHOP, 0)
    assert refused(answer).limit is Limit.CREDENTIAL_REQUESTS


# --- requests under way ---------------------------------------------------------------------------


def test_an_address_has_so_many_requests_under_way():
    limits = Limits(figures())
    held = [admitted(limits) for _ in range(4)]
    assert refused(limits.admit_request("192.0.2.1", 0)).limit is Limit.PEER_REQUESTS
    held[0].release()
    held[0].release()
    admitted(limits)
    assert refused(limits.admit_request("192.0.2.1", 0)).limit is Limit.PEER_REQUESTS


def test_a_credential_that_is_refused_leaves_only_the_addresss_place_taken():
    limits = Limits(figures(credential_requests_max=1))
    first, second = admitted(limits), admitted(limits)
    assert first.charge(SHOP, 0) is None
    assert second.charge(SHOP, 0) is not None
    second.release()
    first.release()
    assert admitted(limits).charge(SHOP, 0) is None


# --- bytes of bodies ------------------------------------------------------------------------------


def test_bodies_under_way_are_bounded_for_a_credential_and_given_back():
    limits = Limits(figures())
    first, second = admitted(limits), admitted(limits)
    first.charge(SHOP, 0)
    second.charge(SHOP, 0)
    assert first.reserve(300) is None
    assert second.reserve(300) is None
    refusal = refused(second.reserve(1))
    assert (refusal.limit, refusal.remaining) == (Limit.CREDENTIAL_BODY_BYTES, 0)
    first.release()
    assert second.reserve(300) is None


def test_bodies_under_way_are_bounded_for_an_address_whatever_the_credentials():
    limits = Limits(figures())
    held = []
    for name in "ab":
        held.append(admitted(limits))
        held[-1].charge(name, 0)
        assert held[-1].reserve(500) is None
    assert refused(held[0].reserve(1)).limit is Limit.PEER_BODY_BYTES


def test_a_refused_request_takes_no_room():
    limits = Limits(figures())
    held = admitted(limits)
    held.charge(SHOP, 0)
    assert held.reserve(601) is not None
    assert held.reserve(600) is None


def test_nothing_is_reserved_for_a_request_that_is_over():
    held = admitted(Limits(figures()))
    held.release()
    with pytest.raises(RuntimeError, match="over"):
        held.reserve(1)


# --- requests a second ----------------------------------------------------------------------------


def test_a_window_of_requests_may_come_at_once_and_then_they_are_paced():
    limits = Limits(figures())
    for _ in range(10):
        admitted(limits, now=100.0).release()
    refusal = refused(limits.admit_request("192.0.2.1", 100.0))
    assert refusal.limit is Limit.PEER_RATE
    assert refusal.retry_after == pytest.approx(0.1)
    admitted(limits, now=100.0 + refusal.retry_after + 1e-9).release()
    assert refused(limits.admit_request("192.0.2.1", 100.11)).limit is Limit.PEER_RATE


def test_a_refused_request_costs_nothing_of_the_rate():
    limits = Limits(figures())
    for _ in range(10):
        admitted(limits).release()
    for _ in range(100):
        assert isinstance(limits.admit_request("192.0.2.1", 0.05), Excess)
    admitted(limits, now=0.11)


def test_a_credential_is_paced_over_all_its_addresses():
    limits = Limits(figures())
    for number in range(5):
        held = admitted(limits, f"192.0.2.{number}")
        assert held.charge(SHOP, 0) is None
        held.release()
    assert refused(admitted(limits, "192.0.2.9").charge(SHOP, 0)).limit is Limit.CREDENTIAL_RATE
    assert admitted(limits, "192.0.2.10").charge("key:other", 0) is None


def test_a_rate_below_the_window_still_lets_one_in():
    limits = Limits(figures(peer_rate=0.1))
    admitted(limits).release()
    assert refused(limits.admit_request("192.0.2.1", 0)).retry_after == pytest.approx(10)
    admitted(limits, now=10.01)


@given(gaps=st.lists(st.floats(0, 0.5), max_size=200))
def test_never_more_than_the_rate_and_one_window(gaps):
    limits = Limits(figures())
    now, times = 0.0, []
    for gap in gaps:
        now += gap
        if isinstance(held := limits.admit_request("192.0.2.1", now), HeldShare):
            held.release()
            times.append(now)
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= 10 * (times[last] - times[first] + 1.0) + 1e-6


# --- the books ------------------------------------------------------------------------------------


def test_the_books_forget_who_was_idle_longest():
    limits = Limits(figures(), idle_max=100)
    limits.admit_connection("192.0.2.1")
    for number in range(1000):
        held = admitted(limits, f"198.51.{number // 250}.{number % 250}")
        held.charge(f"key:{number}", 0)
        held.release()
    assert accounts(limits._peers) == 101
    assert accounts(limits._credentials) == 100
    # An address with something open is never forgotten.
    limits.connection_closed("192.0.2.1")


def test_an_idle_account_keeps_its_rate():
    limits = Limits(figures(peer_rate=1), idle_max=2)
    admitted(limits, "192.0.2.1").release()
    admitted(limits, "192.0.2.2").release()
    assert isinstance(limits.admit_request("192.0.2.1", 0), Excess)


def test_a_refusal_leaves_no_account_open():
    limits = Limits(figures(peer_rate=0.1))
    admitted(limits).release()
    refused(limits.admit_request("192.0.2.1", 0))
    assert not limits._peers.busy


class Books(RuleBasedStateMachine):
    """In any order of opening and closing the books list what is open: in the end nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(figures(peer_rate=1e6, credential_rate=1e6))
        self.now = 0.0
        self.connections: list[str] = []
        self.held: list[tuple[str, HeldShare]] = []

    addresses = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "::1"])

    @rule(address=addresses)
    def connect(self, address):
        if self.limits.admit_connection(address) is None:
            self.connections.append(address)

    @rule(data=st.data())
    def close(self, data):
        if self.connections:
            number = data.draw(st.integers(0, len(self.connections) - 1))
            self.limits.connection_closed(self.connections.pop(number))

    @rule(address=addresses, credential=st.sampled_from(["", "a", "b"]), size=st.integers(0, 700))
    def begin(self, address, credential, size):
        self.now += 1
        held = self.limits.admit_request(address, self.now)
        if isinstance(held, Excess):
            return
        if credential and held.charge(credential, self.now) is not None:
            held.release()
            return
        held.reserve(size)
        self.held.append((address, held))

    @rule(data=st.data())
    def end(self, data):
        if self.held:
            self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))[1].release()

    @invariant()
    def the_books_balance(self):
        peers = self.limits._peers.busy.values()
        bounded = [each for each, _ in self.held if each != "::1"]
        assert sum(each.requests for each in peers) == len(bounded)
        open_ = [each for each in self.connections if each != "::1"]
        assert sum(each.connections for each in peers) == len(open_)
        assert all(each.requests or each.connections for each in peers)
        assert all(each.body_bytes <= 1000 and each.connections <= 3 for each in peers)
        idle = self.limits._peers.idle.values()
        assert not any(each.requests or each.connections or each.body_bytes for each in idle)

    def teardown(self):
        for _, held in self.held:
            held.release()
        for address in self.connections:
            self.limits.connection_closed(address)
        for book in (self.limits._peers, self.limits._credentials, self.limits._boundless):
            assert not book.busy
            assert not any(each.body_bytes for each in book.idle.values())


TestBooks = Books.TestCase


# --- the words for the client ---------------------------------------------------------------------


def test_a_rate_is_told_as_a_policy_and_what_is_left_of_it():
    refusal = Excess(Limit.CREDENTIAL_RATE, 0.2, 25_000, 0, "requests", 5)
    assert refusal.headers == (
        ("Retry-After", "1"),
        ("RateLimit-Policy", '"credential_rate";q=25000;w=5'),
        ("RateLimit", '"credential_rate";r=0;t=1'),
    )


def test_a_limit_on_what_is_under_way_has_a_unit_and_no_window():
    refusal = Excess(Limit.PEER_BODY_BYTES, 1.0, 1000, 12, "content-bytes")
    assert refusal.headers[1:] == (
        ("RateLimit-Policy", '"peer_body_bytes_max";q=1000;qu="content-bytes"'),
        ("RateLimit", '"peer_body_bytes_max";r=12;t=1'),
    )


def test_connections_have_no_unit_there_and_are_told_when_to_come_back():
    limits = Limits(figures(peer_connections_max=1))
    limits.admit_connection("192.0.2.1")
    assert refused(limits.admit_connection("192.0.2.1")).headers == (("Retry-After", "1"),)


def test_every_limit_is_the_name_of_a_setting_and_the_detail_names_it():
    for limit in Limit:
        assert hasattr(Settings(), limit)
        assert limit in Excess(limit, 1.0, 1, 0, None).detail


def test_the_defaults_suit_a_nat_a_producer_and_the_nodes_memory():
    usual = limit_figures(Settings())
    limits = Limits(usual)
    assert usual.peer_connections_max == Settings().connections_max // 4
    # A thousand posts at once by one producer, and five thousand a second for a minute.
    held = [admitted(limits) for _ in range(1000)]
    assert all(each.charge(SHOP, 0) is None for each in held)
    for each in held:
        each.release()
    for tick in range(300_000):
        one = admitted(limits, now=tick / 5000)
        assert one.charge(SHOP, tick / 5000) is None
        one.release()
    # Unfinished bodies of one user: so much memory, and no more.
    held = [admitted(limits, f"192.0.2.{number}", 100.0) for number in range(40)]
    assert all(each.charge("jwt:ada", 100.0) is None for each in held)
    taken = sum(each.reserve(1 << 20) is None for each in held)
    assert taken << 20 <= 32 << 20
