"""The client's address is read from the right, up to the first one that is not trusted."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from time import thread_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin.server.admission.forwarded import HOPS_MAX, Forwarding

PROXY = "10.0.0.1"
FORWARDING = Forwarding([ip_network("10.0.0.0/8"), ip_network("2001:db8:ff::/48")])


def x(text, peer=PROXY):
    return FORWARDING.client_address(peer, None, text)


def f(text, peer=PROXY):
    return FORWARDING.client_address(peer, text, None)


def test_no_proxy_is_believed_unless_named():
    assert Forwarding().client_address(PROXY, "for=192.0.2.1", "192.0.2.1") == PROXY
    assert x("192.0.2.1", "203.0.113.1") == "203.0.113.1"


def test_a_proxy_that_says_nothing_is_the_client_itself():
    assert x(None) == PROXY


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("198.51.100.9, 192.0.2.1", "192.0.2.1"),
        ("198.51.100.9, 192.0.2.1, 10.0.0.2,2001:db8:ff::2", "192.0.2.1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (" \t192.0.2.1\t , ,", "192.0.2.1"),
        ("nonsense, 192.0.2.1", "192.0.2.1"),
        ('"open, 192.0.2.1', "192.0.2.1"),
    ],
)
def test_the_last_address_that_is_not_a_proxys(header, client):
    assert x(header) == client


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=192.0.2.1;Proto=https;By=10.0.0.1", "192.0.2.1"),
        ('by=_edge; for="192.0.2.1:4711" ;host="a,b"', "192.0.2.1"),
        ('for="[2001:db8::1]:_port"', "2001:db8::1"),
        ('for="[2001:db8::1]"', "2001:db8::1"),
        ("for=198.51.100.9, for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
        ('for="open, for=192.0.2.1', "192.0.2.1"),
        ('for="a\\", for=192.0.2.1', "192.0.2.1"),
        ('for=198.51.100.9;by="x, for=192.0.2.1;proto=http', "192.0.2.1"),
    ],
)
def test_the_same_as_rfc_7239_has_it(header, client):
    assert f(header) == client


@pytest.mark.parametrize(
    "node",
    [
        *("unknown", "_hidden", "_hidden:80", "", "nonsense", "192.0.2", "192.0.2.1.", "1.2.3.4:x"),
        *("192.0.2.1:123456", "[192.0.2.1", "[2001:db8::1]x", "fe80::1%eth0", "0192.0.2.1"),
        *("192.0.2.1 192.0.2.2", "2001:db8::1]:80", "192.0.2.1\x00", "\uff1192.0.2.1"),
    ],
)
def test_a_node_that_is_no_address_leaves_it_at_the_peer(node):
    assert x(f"192.0.2.1, {node or 'x'}") == PROXY
    assert f(f'for=192.0.2.1, for="{node}"') == PROXY


@pytest.mark.parametrize(
    "element", ["by=192.0.2.1", "for=192.0.2.1;for=192.0.2.1", "for", 'for="192.0.2.1', "for=a\\b"]
)
def test_an_element_that_does_not_say_for_whom_leaves_it_at_the_peer(element):
    assert f(f"for=192.0.2.9, {element}") == PROXY


def test_a_client_cannot_say_it_in_the_other_header():
    # As with nginx, which writes the one and hands the other on.
    assert FORWARDING.client_address(PROXY, "for=198.51.100.9", "192.0.2.1") == "192.0.2.1"


def test_so_many_hops_and_no_more():
    proxies = ", ".join(["10.0.0.2"] * (HOPS_MAX - 1))
    assert x(f"192.0.2.1, {proxies}") == "192.0.2.1"
    assert x(f"192.0.2.1, 10.0.0.3, {proxies}") == "10.0.0.3"


ADDRESSES = st.ip_addresses().map(str)
STRANGERS = ADDRESSES.filter(lambda address: not FORWARDING.is_trusted(address))
HOSTILE = st.text(st.sampled_from('",;=\\ for:[]%1a._\t\x00é'), max_size=60)


@given(header=HOSTILE | st.text(max_size=60), peer=ADDRESSES | st.text(max_size=20))
@example(header='for="', peer=PROXY)
def test_any_header_gives_the_peer_or_an_address(header, peer):
    for client in (x(header, peer), f(header, peer)):
        assert client == peer or str(ip_address(client)) == client


@given(client=STRANGERS, hostile=HOSTILE, proxies=st.lists(st.just("10.0.0.2"), max_size=3))
def test_nothing_that_a_client_sends_changes_what_its_proxy_says(client, hostile, proxies):
    said = ", ".join([client, *proxies])
    assert x(f"{hostile}, {said}") == x(said)
    quoted = ", ".join(
        f'for="[{each}]"' if ":" in each else f"for={each}" for each in [client, *proxies]
    )
    assert f(f"{hostile}, {quoted}") == f(quoted)


@pytest.mark.parametrize(
    "piece", [",", '"', '",', "10.0.0.2,", "a", ";", "for=10.0.0.2,", 'for="', "[", ":", "\\"]
)
def test_64_kib_of_anything_take_no_time(piece):
    text = piece * (65_536 // len(piece))
    start = thread_time()
    x(text)
    f(text)
    assert thread_time() - start < 0.02
