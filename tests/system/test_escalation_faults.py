"""Escalation while nodes die: two nodes on one Postgres, a real mail server, `kill -9`."""

from __future__ import annotations

from collections import Counter

import pytest

from servers.mail import MailServer
from servers.node import wait_until
from tests.system.channel_kit import environment, mail, sends, set_address
from tests.system.server_kit import fresh_user

__all__ = ["mail"]

pytestmark = pytest.mark.faults

USERS = 90
IN_HAND_MAX = 12
"""Parcels that a node has claimed at a time: three for each of the four that it carries."""
LEASE = 60.0
"""Seconds after which another node carries what a dead one has claimed."""


def test_sends_in_the_hands_of_a_dead_node_are_sent_by_another_and_none_else_twice(
    start_server, postgres, mail: MailServer
):
    settings = environment({"email": mail.table()})
    database = postgres.create_database()
    first = start_server(settings, database=database)
    second = start_server(settings, database=database)
    shop = first.producer()
    users = [fresh_user(f"u{number}") for number in range(USERS)]
    for user in users:
        set_address(shop, user, f"{user}@example.org")

    made = shop.post(*users, escalate=[{"after": 1, "channel": "email"}])
    wait_until(lambda: len(mail.mails) >= USERS // 6, what="the first mails")
    first.kill()

    other = second.producer()

    def all_sent() -> bool:
        return [each["state"] for each in sends(other, made)].count("sent") == len(users)

    wait_until(all_sent, patience=2 * LEASE + 60, what="every mail, after the lease of the dead")
    got = Counter(to for to, each in mail.mails if each["Message-ID"].startswith(f"<{made}."))
    assert set(got) == {f"{user}@example.org" for user in users}
    twice = [to for to, count in got.items() if count > 1]
    assert len(twice) <= IN_HAND_MAX
    assert max(got.values()) <= 2
    ids = {each["Message-ID"] for to, each in mail.mails if to in twice}
    assert len(ids) <= len(twice)
