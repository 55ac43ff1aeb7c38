"""A user's own settings: tickets, preferences, topics, devices."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.persistence.store.commands import NotFound, TooMany
from tocsin.persistence.store.key_commands import CreateTicket, StoredTicket
from tocsin.persistence.store.queries import ListDevices, ListSubscriptions, ReadPreferences
from tocsin.persistence.store.user_commands import RemoveDevice, SetPreferences
from tocsin.protocol.channels.preferences import ByChannel, ChannelPreferences
from tocsin.protocol.channels.quiet_hours import QuietHours, check_quiet_hours
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.notifications.notification import Category, DeviceId, Topic
from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import refuse
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api import answers
from tocsin.server.api.operation import (
    CACHING,
    NO_CONTENT,
    Answer,
    Call,
    Caller,
    Operations,
    UrlQuery,
    given,
)
from tocsin.server.api.topics import subscribe_one, unsubscribe_one
from tocsin.server.attachment import new_device
from tocsin.server.auth.tickets import Ticket, generate_ticket, ticket_for
from tocsin.server.marking import bring_all_up_to_date

_TICKET_BYTES_MAX: Final = 1024
"""Bytes of the body: a purpose and a device's name, generously."""

_INBOX: Final = "inbox"
"""Stands beside the channels of a category: the inbox, and so everything."""

operations = Operations("me")

_NAMES_MAX = 1000
"""Categories, and topics, in one request: more than a person ever chooses among."""


class PreferencesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The categories, topics and channels that are enabled; those not named are.

    A category may have a word for each channel, and one for the `inbox`.
    """

    categories: Annotated[dict[Category, bool | ByChannel], Meta(max_length=_NAMES_MAX)] = {}
    topics: Annotated[dict[Topic, bool], Meta(max_length=_NAMES_MAX)] = {}
    channels: ByChannel = {}
    quiet: QuietHours | None = None


class TicketRequest(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    rename={"purpose": "for"},
):
    """The purpose of the ticket; a *stream* may be of a *device* that has a name already."""

    purpose: Literal["connection", "stream"] = "connection"
    device: DeviceId | None = None


@operations.define(
    *("POST", "/v1/tickets", "Get a ticket for a WebSocket or a stream"),
    caller=Caller.USER,
    sends=(CACHING,),
    problems=("conflict",),
    body=TicketRequest,
    body_optional=True,
    body_bytes_max=_TICKET_BYTES_MAX,
    answers={201: answers.IssuedTicket},
)
async def create_ticket(call: Call[UrlQuery, TicketRequest | None]) -> Answer:
    """For browsers, which cannot send a header there: good once, not for long, and for the user's
    own inbox only. The token's scopes (`notify`, `admin`) do not come with it.

    For a `stream`, it lets that stream of that device come back until it expires, as an EventSource
    does by itself. Without a body it is for one `connection`, of any kind.
    """
    services, settings = call.services, call.services.settings
    wanted = call.body or TicketRequest()
    device, lifetime = wanted.device, settings.ticket_lifetime
    if wanted.purpose == "stream":
        device, lifetime = device or new_device(services), settings.stream_ticket_lifetime
    elif device is not None:
        wrong = [FieldError("$.device", "goes with `for: stream` only")]
        raise refuse("invalid", "A ticket for one connection names no device.", wrong)
    ticket = generate_ticket(services.world.entropy)
    stored = _stored(ticket.hash, ticket_for(call.principal, call.now_ms / 1000, lifetime, device))
    tickets_max = settings.user_tickets_max
    if isinstance(await services.write(CreateTicket(stored, call.now_ms, tickets_max)), TooMany):
        detail = f"You have {tickets_max} tickets; use them, or wait until they expire."
        raise refuse("conflict", detail, retry_after=settings.ticket_lifetime)
    issued = answers.IssuedTicket(
        ticket=ticket.text,
        expires_at=to_rfc3339(stored.expires_at),
        device=device or UNSET,
    )
    return Answer(issued, 201, {"Cache-Control": "no-store"})


@operations.define(
    *("GET", "/v1/me/preferences", "Show which categories and topics are enabled"),
    caller=Caller.USER,
    answers={200: answers.Preferences},
)
async def show_preferences(call: Call[UrlQuery, None]) -> Answer:
    """Names that are left out are enabled. A `critical` notification comes in any case."""
    return Answer(await _preferences(call))


@operations.define(
    *("PUT", "/v1/me/preferences", "Set which categories and topics are enabled"),
    caller=Caller.USER,
    body=PreferencesRequest,
    answers={200: answers.Preferences},
)
async def set_preferences(call: Call[UrlQuery, PreferencesRequest]) -> Answer:
    """Replaces what was set before, and holds for what is published from now on."""
    wanted = call.body
    if wanted.quiet is not None:
        check_quiet_hours(wanted.quiet)
    categories, by_channel = _parted(wanted.categories)
    channels = ChannelPreferences(wanted.channels, by_channel, wanted.quiet)
    await bring_all_up_to_date(call.services, (call.user,))
    await call.services.write(
        SetPreferences(call.user, categories, wanted.topics, call.now_ms, channels)
    )
    return Answer(await _preferences(call))


@operations.define(
    *("GET", "/v1/me/subscriptions", "List the user's topics"),
    caller=Caller.USER,
    answers={200: answers.Subscriptions},
)
async def list_subscriptions(call: Call[UrlQuery, None]) -> Answer:
    """By name, and whether the user's preferences let anything come from them."""
    found = await call.services.read(ListSubscriptions(call.user))
    enabled = (await _preferences(call)).topics
    return Answer(
        answers.Subscriptions(
            subscriptions=[
                answers.Subscription(topic=topic, enabled=enabled.get(topic, True))
                for topic in found.topics
            ]
        )
    )


@operations.define(
    *("PUT", "/v1/me/subscriptions/{topic}", "Subscribe to a topic"),
    caller=Caller.USER,
    problems=("conflict", "topic_closed"),
    answers={204: None},
)
async def subscribe(call: Call[UrlQuery, None], topic: str) -> Answer:
    """The user gets what is published from now on; again is no error. Not into a closed topic."""
    await subscribe_one(call, topic, call.user, by_user=True)
    return NO_CONTENT


@operations.define(
    *("DELETE", "/v1/me/subscriptions/{topic}", "Leave a topic"),
    caller=Caller.USER,
    answers={204: None},
)
async def unsubscribe(call: Call[UrlQuery, None], topic: str) -> Answer:
    """The user's notifications stay, still updated and withdrawn; again is no error."""
    await unsubscribe_one(call, topic, call.user)
    return NO_CONTENT


class DevicesQuery(UrlQuery, frozen=True, kw_only=True):
    """Which of the user's devices."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: DeviceId | UnsetType = UNSET


@operations.define(
    *("GET", "/v1/me/devices", "List the user's devices"),
    caller=Caller.USER,
    query=DevicesQuery,
    answers={200: answers.DeviceList},
)
async def list_devices(call: Call[DevicesQuery, None]) -> Answer:
    """By name, with what each has acknowledged; pass `next` as `after`."""
    query = ListDevices(call.user, call.query.limit, given(call.query.after))
    found = await call.services.read(query)
    epoch = call.services.status.epoch
    return Answer(
        answers.DeviceList(
            devices=[
                answers.DeviceLine(
                    device=each.device,
                    cursor=str(Cursor(epoch, each.acknowledged)),
                    last_seen=to_rfc3339(each.last_seen),
                )
                for each in found.devices
            ],
            next=found.devices[-1].device if found.more else None,
        )
    )


@operations.define(
    *("DELETE", "/v1/me/devices/{device}", "Forget a device"),
    caller=Caller.USER,
    answers={204: None},
)
async def remove_device(call: Call[UrlQuery, None], device: str) -> Answer:
    """Its connection ends. If it comes back, it comes as one that was never seen."""
    removed = await call.services.write(RemoveDevice(call.user, device))
    if isinstance(removed, NotFound):
        raise refuse("not_found", "You have no device with this name.")
    return NO_CONTENT


async def _preferences(
    call: Call[Any, Any],
) -> answers.Preferences:
    found = await call.services.read(ReadPreferences(call.user))
    categories: dict[str, bool | dict[str, bool]] = {**found.categories}
    for category, words in found.channels.categories.items():
        inbox = {} if category not in found.categories else {_INBOX: found.categories[category]}
        categories[category] = {**inbox, **words}
    return answers.Preferences(
        categories=dict(sorted(categories.items())),
        topics=dict(sorted(found.topics.items())),
        channels=dict(sorted(found.channels.channels.items())) or UNSET,
        quiet=found.channels.quiet or UNSET,
    )


def _parted(
    categories: dict[str, bool | dict[str, bool]],
) -> tuple[dict[str, bool], dict[str, dict[str, bool]]]:
    """The words about categories as a whole, which are those about the inbox, and those about
    their channels."""
    whole: dict[str, bool] = {}
    by_channel: dict[str, dict[str, bool]] = {}
    for category, word in categories.items():
        if isinstance(word, bool):
            whole[category] = word
            continue
        if (inbox := word.get(_INBOX)) is not None:
            whole[category] = inbox
        if named := {name: enabled for name, enabled in word.items() if name != _INBOX}:
            by_channel[category] = named
    if sum(map(len, by_channel.values())) > _NAMES_MAX:
        wrong = [FieldError("$.categories", f"more than {_NAMES_MAX} words about channels")]
        raise refuse("invalid", "These are too many preferences.", wrong)
    return whole, by_channel


def _stored(ticket_hash: bytes, kept: Ticket) -> StoredTicket:
    """The ticket in the store's words and units."""
    principal_expires_at = kept.principal_expires_at
    return StoredTicket(
        hash=ticket_hash,
        user=kept.user,
        expires_at=round(kept.expires_at * 1000),
        principal_expires_at=None
        if principal_expires_at is None
        else int(principal_expires_at * 1000),
        device=kept.device,
    )
