"""A flood on WebSockets is not felt by a neighbour, with or without a token."""

from __future__ import annotations

import pytest

from servers.tokens import token
from tests.system.flooding_kit import flood
from tests.system.neighbour_kit import expect_unfelt
from tests.system.server_kit import Server, fresh_user

pytestmark = [
    pytest.mark.alone,
    # The store's part in it is the same with each adapter.
    pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session"),
]
SECONDS = 1.5
NOBODY = "-"


@pytest.mark.parametrize("kind", ["empty fragments", "pongs", "all"])
def test_eight_who_have_not_said_who_they_are(server: Server, kind):
    expect_unfelt(server, lambda: flood(server, kind, [NOBODY] * 8, SECONDS))


def test_a_hundred_who_have_not_said_who_they_are(server: Server):
    expect_unfelt(server, lambda: flood(server, "all", [NOBODY] * 100, SECONDS))


@pytest.mark.parametrize("kind", ["acks", "marks", "all"])
def test_all_devices_of_one_user(server: Server, kind):
    eve = token(fresh_user("eve"))
    expect_unfelt(server, lambda: flood(server, kind, [eve] * 32, SECONDS))


@pytest.mark.parametrize("kind", ["pings", "all"])
def test_a_hundred_users(server: Server, kind):
    eves = [token(fresh_user("eve")) for _ in range(100)]
    expect_unfelt(server, lambda: flood(server, kind, eves, SECONDS))
