"""URLs that users name, judged as far as their text goes."""

from __future__ import annotations

import pytest

from tocsin.outbound.destination import parse_destination
from tocsin.outbound.resolving import system_resolver
from tocsin.protocol.outbound import NOWHERE, OutboundFailed


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://shop.example/hooks", "shop.example", 443, "/hooks"),
        ("https://shop.example", "shop.example", 443, "/"),
        ("https://shop.example:8443/a%20b?c=d", "shop.example", 8443, "/a%20b?c=d"),
        ("https://münchen.example/ä", "xn--mnchen-3ya.example", 443, "/%C3%A4"),
        ("https://[2606:4700::1111]:4444/", "2606:4700::1111", 4444, "/"),
        ("http://shop.example/x", "shop.example", 80, "/x"),
    ],
)
def test_a_url_is_taken_apart(url, host, port, target):
    found = parse_destination(url, http_allowed=True)
    assert (found.host, found.port, found.target) == (host, port, target)


@pytest.mark.parametrize(
    "url",
    [
        *("", "shop.example", "/hooks", "https://", "https:///x", "ftp://shop.example/"),
        *("file:///etc/passwd", "https://me:secret@shop.example/", "https://me@shop.example/"),
        *("https://shop.example:22/", "https://shop.example:25/", "https://shop.example:99999/"),
        *("https://shop.example/#part", "https://shop.example/" + "x" * 2048, "https://a b/"),
        *("https://shop.example/\r\nX: y", "https://[::1", "http://shop.example/"),
    ],
)
def test_a_url_that_is_not_sent_to_is_refused(url):
    with pytest.raises(OutboundFailed) as refused:
        parse_destination(url, http_allowed=False)
    assert refused.value.reason == "forbidden_url"


async def test_the_system_resolves_addresses_without_a_name_server():
    assert list(await system_resolver()("127.0.0.1")) == ["127.0.0.1"]


async def test_a_node_without_a_port_sends_nothing():
    with pytest.raises(OutboundFailed):
        await NOWHERE.check("https://shop.example/")
    with pytest.raises(OutboundFailed):
        await NOWHERE.post("https://shop.example/", {}, b"")
