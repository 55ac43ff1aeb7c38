"""Calls for the console alone: samples of a node, a user, and explanations."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from tocsin.actors.delivery.attendance import PresenceUnavailable
from tocsin.actors.samples import INTERVAL, Sample
from tocsin.persistence.bus import Connected
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.queries import (
    Deliveries,
    DeviceInfo,
    FindHead,
    FindInboxItem,
    FindNotification,
    ListDevices,
    ReadDeliveries,
)
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api.answers import InboxList
from tocsin.server.api.inbox import InboxQuery, inbox_list, inbox_page
from tocsin.server.api.operation import Answer, Call, Caller, Operations, UrlQuery
from tocsin.server.api.operators import inspecting_answers as answers
from tocsin.server.api.operators.explaining import Facts, explain, explain_device
from tocsin.server.decoding import NotificationId
from tocsin.server.metrics.process import resident_memory
from tocsin.server.services import Services

operations = Operations("operators")

SAMPLED: Final = (
    *("at", "sessions", "users", "live", "transactions", "commands", "reads"),
    *("refused", "busy", "lag", "memory", "spool", "store", "bus"),
)
"""The columns of a sample: time (Unix ms), counts, and 0 or 1 for what works."""
_DEVICES_MAX: Final = 200
"""Devices of a user that are shown; `user_devices_known_max` is of that size."""


def sample(services: Services) -> Sample:
    """A sample of *services* at this moment; the lag in seconds, memory in bytes."""
    store = services.status.statistics
    spooler = services.spooler
    return (
        services.world.now_ms(),
        services.connections.session_count,
        len(services.users),
        len(services.notifications),
        store.transactions,
        store.commands,
        store.reads,
        sum(services.refusals.counts.values()),
        round(services.loop.busy, 4),
        round(services.loop.late, 6),
        resident_memory(),
        0 if spooler is None else spooler.waiting,
        int(services.status.available),
        int(services.bus.available),
    )


def named_sample(services: Services) -> dict[str, float]:
    """The sample of this moment, by column."""
    return dict(zip(SAMPLED, sample(services), strict=True))


class SamplesQuery(UrlQuery, frozen=True, kw_only=True):
    """Which samples."""

    after: Annotated[int, Meta(ge=0, le=2**53)] = 0


@operations.define(
    *("GET", "/v1/admin/samples", "Show what this node did in the last quarter of an hour"),
    caller=Caller.ADMIN,
    query=SamplesQuery,
    answers={200: answers.SampleList},
)
async def list_samples(call: Call[SamplesQuery, None]) -> Answer:
    """A row each second, the oldest first; pass the last row's time as `after` for what is new.

    Transactions, commands, reads and refusals are counts since the start of the node.
    """
    rows = call.services.samples.after(call.query.after)
    return Answer(
        answers.SampleList(
            node=call.services.settings.node,
            interval=INTERVAL,
            columns=list(SAMPLED),
            rows=[list(row) for row in rows],
        )
    )


@operations.define(
    *("GET", "/v1/admin/users/{user}", "Show a user: log, devices, connections"),
    caller=Caller.ADMIN,
    answers={200: answers.UserLine},
)
async def show_user(call: Call[UrlQuery, None], user: str) -> Answer:
    """A user of whom nothing is known has an empty log and no devices."""
    services = call.services
    head = await services.read(FindHead(user))
    found = await services.read(ListDevices(user, _DEVICES_MAX))
    connected = await _connected(services, user)
    return Answer(
        answers.UserLine(
            user=user,
            head=head.head,
            unread=head.counters.unread,
            unseen=head.counters.unseen,
            devices=[
                _seen(each, head.head, (connected or {}).get(each.device)) for each in found.devices
            ],
            presence_known=connected is not None,
        )
    )


def _seen(device: DeviceInfo, head: int, connected: Connected | None) -> answers.SeenDevice:
    return answers.SeenDevice(
        device=device.device,
        acknowledged=device.acknowledged,
        behind=max(0, head - device.acknowledged),
        last_seen=to_rfc3339(device.last_seen),
        node=None if connected is None else connected.node,
        since=None if connected is None else to_rfc3339(connected.since),
    )


@operations.define(
    *("GET", "/v1/admin/users/{user}/inbox", "Show a user's inbox to an operator"),
    caller=Caller.ADMIN,
    query=InboxQuery,
    answers={200: InboxList},
)
async def show_users_inbox(call: Call[InboxQuery, None], user: str) -> Answer:
    """As `/v1/inbox` shows it to the user, and nothing of it is changed: entries of topics that no
    device of the user has asked for yet are not in it."""
    page = await call.services.read(inbox_page(call, user))
    return Answer(inbox_list(page, call.services.status.epoch))


class ExplainQuery(UrlQuery, frozen=True, kw_only=True):
    """Which notification."""

    notification: NotificationId


@operations.define(
    *("GET", "/v1/admin/users/{user}/explain", "Say why a user's devices do not have it"),
    caller=Caller.ADMIN,
    query=ExplainQuery,
    answers={200: answers.Explanation},
)
async def explain_to_operator(call: Call[ExplainQuery, None], user: str) -> Answer:
    """A sentence about the notification and the user, and one for each of the user's devices."""
    facts = await _facts(call.services, user, call.query.notification)
    devices = [] if facts.view is None or facts.item is None else facts.devices
    return Answer(
        answers.Explanation(
            says=explain(facts),
            devices=[
                answers.DeviceExplanation(device=each.device, says=explain_device(each, facts))
                for each in devices
            ],
        )
    )


async def _facts(services: Services, user: str, notification: str) -> Facts:
    view = await services.read(FindNotification(notification))
    item = await services.read(FindInboxItem(user, notification, services.world.now_ms()))
    found = await services.read(ListDevices(user, _DEVICES_MAX))
    # Lines stand by user and device: those of this user begin behind the empty device.
    ledger = await services.read(ReadDeliveries(notification, _DEVICES_MAX, (user, "")))
    lines = ledger.lines if isinstance(ledger, Deliveries) else ()
    return Facts(
        view=None if isinstance(view, NotFound) else view,
        item=None if isinstance(item, NotFound) else item,
        devices=found.devices,
        lines={each.device: each for each in lines if each.user == user},
        connected=await _connected(services, user),
    )


async def _connected(services: Services, user: str) -> dict[str, Connected] | None:
    try:
        found = await services.attendance.devices_of(user)
    except PresenceUnavailable:
        return None
    return {each.device: each for each in found}
