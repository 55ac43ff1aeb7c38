"""The address at which a server is reached from its own machine."""

from __future__ import annotations

import pytest

from tocsin.cli.own_address import url_of
from tocsin.cli.trouble import Trouble
from tocsin.settings import Settings


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("localhost", "http://localhost:8080"),
    ],
)
def test_a_server_is_reached_from_its_own_machine(host, address):
    assert url_of(Settings(host=(host,), port=8080)) == address


def test_a_port_that_was_given_counts_more_than_that_of_the_settings():
    assert url_of(Settings(host=("127.0.0.1",), port=0), 9000) == "http://127.0.0.1:9000"


def test_an_open_port_is_no_address():
    with pytest.raises(Trouble, match="port open"):
        url_of(Settings(host=("127.0.0.1",), port=0))
