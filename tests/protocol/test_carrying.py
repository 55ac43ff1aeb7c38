"""Parcels of carriers, and the port of a node that carries nothing."""

from __future__ import annotations

import pytest

from tocsin.protocol.channels.carrying import CarriedNotification
from tocsin.protocol.outbound import NOWHERE, OutboundFailed


def test_a_notification_in_a_parcel_has_the_fields_that_clients_see():
    assert CarriedNotification("n1", '{"title":"é","body":null}').fields() == {
        "title": "é",
        "body": None,
    }


async def test_a_node_that_sends_nothing_refuses_every_request():
    with pytest.raises(OutboundFailed, match="sends no requests"):
        await NOWHERE.check("https://example.org")
    with pytest.raises(OutboundFailed, match="sends no requests"):
        await NOWHERE.post("https://example.org", {}, b"")
