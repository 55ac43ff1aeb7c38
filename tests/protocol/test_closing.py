"""The closing reasons are the contract's, with its numbers."""

from __future__ import annotations

import pytest

from tocsin.protocol.closing import Closing

MAY_COME_BACK = {
    4000: "draining",
    4001: "slow",
    4002: "unresponsive",
    4003: "heartbeat_lost",
    4004: "internal_error",
    4005: "overloaded",
    4006: "store_unavailable",
}
MUST_CHANGE_FIRST = {
    4400: "malformed",
    4401: "unauthenticated",
    4403: "forbidden",
    4408: "hello_timeout",
    4409: "replaced",
    4410: "disconnected",
    4411: "too_many_devices",
    4413: "frame_too_large",
    4429: "rate_limited",
}


def test_the_table_is_the_contracts():
    table = {int(closing): closing.word for closing in Closing}
    assert table == MAY_COME_BACK | MUST_CHANGE_FIRST


@pytest.mark.parametrize("closing", Closing, ids=lambda closing: closing.word)
def test_the_number_says_whether_to_come_back(closing):
    # Rate limiting stands among those that must change something; all it takes is the delay.
    assert closing.reconnect == (closing in MAY_COME_BACK or closing is Closing.RATE_LIMITED)


@pytest.mark.parametrize("closing", Closing, ids=lambda closing: closing.word)
def test_codes_and_reasons_fit_a_close_frame(closing):
    # RFC 6455: applications have 4000-4999 (§7.4.2), and 123 bytes for the reason (§5.5).
    assert 4000 <= closing <= 4999
    assert len(closing.word.encode()) <= 123
