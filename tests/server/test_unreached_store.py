"""A node that has not reached its store yet: it knows no log, so it cannot judge a cursor."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tocsin.actors.health import StoreStatus
from tocsin.protocol.refusal import Refused
from tocsin.server.api.streams import AckBody, acknowledge
from tocsin.server.services import Services

NOT_ASKED = (
    *("settings", "world", "storage", "users", "notifications", "connections", "attendance"),
    *("authenticator", "readiness", "snapshot", "credential_watch"),
)


def services_of(status: StoreStatus) -> Services:
    return Services(status=status, **cast(Any, dict.fromkeys(NOT_ASKED)))


async def test_it_does_not_call_a_cursor_foreign():
    body = AckBody(device="phone", cursor="epoch.5")
    call: Any = SimpleNamespace(services=services_of(StoreStatus()), body=body)

    with pytest.raises(Refused) as caught:
        await acknowledge(call)

    assert (caught.value.problem.status, caught.value.problem.code) == (503, "store_unavailable")


async def test_one_that_has_reached_it_does():
    body = AckBody(device="phone", cursor="epoch.5")
    services = services_of(StoreStatus(available=False, epoch="another"))
    call: Any = SimpleNamespace(services=services, body=body)

    with pytest.raises(Refused) as caught:
        await acknowledge(call)

    assert caught.value.problem.status == 422
