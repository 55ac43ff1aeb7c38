"""Which addresses a request of the node's own may go to."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin.protocol.outbound_addresses import ForbiddenAddress, judge_address

INSIDE = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.7"),
    *("203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fc00::1"),
    *("fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "64:ff9b::7f00:1"),
    *("64:ff9b::a00:1", "64:ff9b:1::7f00:1", "64:ff9b:1::808:808", "2002:7f00:1::"),
    *("2001:db8::1", "2001::1", "100::1", "::ffff:0:127.0.0.1"),
]
OUTSIDE = [
    *("8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:800::200e"),
    *("64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::"),
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_of_the_inside_is_forbidden(address):
    with pytest.raises(ForbiddenAddress) as refused:
        judge_address(address)
    assert refused.value.address == address


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_allowed(address):
    assert judge_address(address) == str(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("allowed", "address"),
    [
        ("10.0.0.0/8", "10.1.2.3"),
        ("10.0.0.0/8", "::ffff:10.1.2.3"),
        ("10.0.0.0/8", "64:ff9b::a01:203"),
        ("fd00::/8", "fd12::1"),
        ("fec0::/10", "fec0::1"),
        ("169.254.169.254", "169.254.169.254"),
        ("fd00:ec2::254", "fd00:ec2::254"),
        ("168.63.129.16", "168.63.129.16"),
    ],
)
def test_a_network_that_the_operator_names_is_open(allowed, address):
    assert judge_address(address, [ipaddress.ip_network(allowed)])


@pytest.mark.parametrize(
    ("allowed", "address"),
    [
        ("10.0.0.0/8", "11.0.0.256"),
        ("10.0.0.0/8", "192.168.0.1"),
        ("0.0.0.0/0", "169.254.169.254"),
        ("169.0.0.0/8", "::ffff:169.254.169.254"),
        ("100.64.0.0/10", "100.100.100.200"),
        ("fd00::/8", "fd00:ec2::254"),
        ("::/0", "fe80::1"),
    ],
)
def test_wide_networks_do_not_open_the_metadata_of_clouds(allowed, address):
    with pytest.raises(ValueError if address.endswith("256") else ForbiddenAddress):
        judge_address(address, [ipaddress.ip_network(allowed)])


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_disguise_is_judged_like_itself(address):
    disguises = (f"::ffff:{address}", f"64:ff9b::{int(address) >> 16:x}:{int(address) & 0xFFFF:x}")
    assert {allows(each) for each in disguises} == {allows(str(address))}


@given(st.ip_addresses())
@example(ipaddress.ip_address("2002:100::"))
def test_no_address_is_allowed_that_python_calls_private(address):
    assert not (allows(str(address)) and address.is_private and not embeds(address))


def allows(address: str) -> bool:
    try:
        judge_address(address)
    except ForbiddenAddress:
        return False
    return True


def embeds(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether the IPv4 address in it is judged. Some releases of Python call all 6to4 private."""
    if isinstance(address, ipaddress.IPv4Address):
        return False
    return (address.ipv4_mapped or address.sixtofour) is not None
