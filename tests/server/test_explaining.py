"""Explanations: for each state of affairs the sentence that an operator needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tocsin.persistence.bus import Connected
from tocsin.persistence.store.queries import Delivery, DeviceInfo, InboxItem, ProducerView
from tocsin.protocol.notifications.notification import Content
from tocsin.server.api.operators.explaining import Facts, explain, explain_device

AT = 1_764_547_200_000
CONTENT = Content(
    id="n1", revision=1, category="default", topic=None, created_at=AT, updated_at=AT,
    expires_at=None, document="{}",
)  # fmt: skip
VIEW = ProducerView(CONTENT, "active", 1, 0, 0, 0, 0, 0)
ITEM = InboxItem(10, "{}", "unseen", None, None)
PHONE = DeviceInfo("phone", 7, AT)
SENT = Delivery("ada", "phone", 2, AT, None, "pending", None)
FACTS = Facts(VIEW, ITEM, [PHONE], {}, {})


def standing(state: str) -> ProducerView:
    return ProducerView(CONTENT, state, 1, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (replace(FACTS, view=None), "There is no such notification"),
        (replace(FACTS, view=standing("scheduled"), item=None), "scheduled"),
        (replace(FACTS, item=None), "not in the user's inbox"),
        (replace(FACTS, view=standing("withdrawn")), "It was withdrawn"),
        (replace(FACTS, view=standing("expired")), "It was expired"),
        (replace(FACTS, devices=[]), "no device of the user was ever connected"),
        (FACTS, "some devices do not have it yet"),
    ],
)
def test_the_notification_and_the_user(facts, said):
    assert said in explain(facts)


def test_a_user_whose_devices_all_have_it():
    has = Delivery("ada", "phone", 1, AT, AT, "acknowledged", None)
    facts = replace(FACTS, lines={"phone": has})
    assert explain(facts) == "All known devices of the user have it."
    assert "It acknowledged it at 2025-12-01T00:00:00.000Z; sent once." in explain_device(
        PHONE, facts
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (SENT, "sent 2 times, first at 2025-12-01T00:00:00.000Z, without an answer yet"),
        (Delivery("ada", "phone", 20, AT, None, "dead", "nack: full"), "given up after it had"),
        (Delivery("ada", "phone", 1, AT, None, "expired", None), "expired before an answer"),
        (Delivery("ada", "phone", 1, AT, None, "withdrawn", None), "withdrawn before an answer"),
    ],
)
def test_the_ledger_line_explains_the_delivery(line, said):
    assert said in explain_device(PHONE, replace(FACTS, lines={"phone": line}))


def test_a_device_that_has_other_changes_before_it():
    said = explain_device(PHONE, FACTS)
    assert "3 changes before it" in said
    assert "not connected; it was last seen at 2025-12-01T00:00:00.000Z" in said


def test_a_device_whose_cursor_is_past_it():
    assert "cursor is past it" in explain_device(DeviceInfo("phone", 10, AT), FACTS)


def test_a_device_that_is_connected_somewhere():
    connected = {"phone": Connected("phone", "node-2", AT)}
    said = explain_device(PHONE, replace(FACTS, connected=connected, lines={"phone": SENT}))
    assert "connected to node-2 since" in said


def test_other_nodes_that_cannot_be_asked():
    assert "cannot be asked" in explain_device(PHONE, replace(FACTS, connected=None))
