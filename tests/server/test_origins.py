"""The origins whose pages may connect, and the host names by which they may."""

from __future__ import annotations

import pytest

from tocsin.server.admission.origins import is_allowed_host, is_allowed_origin
from tocsin.server.request_head import Headers

APPS = (
    *("capacitor://localhost", "ionic://localhost", "tauri://localhost", "app://-"),
    *("chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb", "app://bundle:1"),
    "moz-extension://3c078156-979c-498b-8990-85f7987dd929",
)
NAMED = ("https://app.example.com", "http://localhost:3000", *APPS)
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def allowed(origin: str | None, host: str = "notify.example.com") -> bool:
    fields = [("host", host), *([] if origin is None else [("origin", origin)])]
    return is_allowed_origin(Headers(fields), NAMED)


@pytest.mark.parametrize("origin", [*NAMED, "CAPACITOR://localhost", "https://app.example.com:443"])
def test_an_origin_that_is_named_may(origin):
    assert allowed(origin)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "notify.example.com"),
        ("https://notify.example.com", "notify.example.com"),
        ("http://notify.example.com", "notify.example.com:80"),
        ("https://[::1]:8080", "[::1]:8080"),
    ],
)
def test_our_own_origin_may_and_whoever_is_no_browser(origin, host):
    assert allowed(origin, host)


@pytest.mark.parametrize(
    "origin",
    [
        *("null", "", "*", "https://app.example.com.evil.com", "https://app.example.com/x"),
        *("https://app.example.com, https://app.example.com", "http://app.example.com"),
        *("http://localhost", "https://localhost:3000", "http://[::1", "http://localhost:x"),
        *("ionic://evil", "capacitor://localhost/", "capacitor://localhost:80", "capacitor:"),
        *("tauri://localhost.evil.com", "app://notify.example.com", "app://bundle", "file://"),
        "chrome-extension://bapbdbdomjkkjkaonfhkkikfgjllcleb",
    ],
)
def test_another_origin_may_not(origin):
    assert not allowed(origin)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8080", "localhost.", "tocsin.localhost:8080", "127.0.0.1"),
        *("127.0.0.1:8080", "127.8.8.8", "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]", None),
        *("app.example.com", "App.Example.com:8443"),
    ],
)
def test_this_machine_is_called_by_its_names_and_by_those_that_are_named(host):
    assert is_allowed_host(host, LOOPBACK, NAMED)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example.com", "evil.example.com:8080", "127.0.0.1.nip.io", "localhost.evil.com"),
        *("127.1", "", ":8080", "localhost:x", "h h"),
        *(
            "a@localhost",
            "localhost/x",
            "[localhost]",
            "[::1",
            "127.0.0.1, localhost",
        ),
        *("\xe9", "example.com", "sub.app.example.com", "x" * 100_000, "[" + ":" * 100_000 + "]"),
    ],
)
def test_this_machine_is_not_called_by_the_names_of_others(host):
    assert not is_allowed_host(host, LOOPBACK, NAMED)


@pytest.mark.parametrize("host", ["a", "tocsin:8080", "0.0.0.0", "[::]", "10.0.0.1", "xlocalhost"])
def test_a_host_that_no_page_can_have_is_allowed(host):
    assert is_allowed_host(host, LOOPBACK, NAMED)


@pytest.mark.parametrize("hosts", [("0.0.0.0",), ("127.0.0.1", "192.168.1.5"), ("::",), ("name",)])
def test_a_door_that_others_can_reach_may_have_any_host(hosts):
    assert is_allowed_host("evil.example.com", hosts, NAMED)
