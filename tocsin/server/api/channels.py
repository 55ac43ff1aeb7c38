"""Channels to people other than devices: addresses of people on them, and sends."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.actors.escalation.configured import ChannelLine, ChannelState, ChannelTerms
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.escalation_commands import (
    Address,
    RemoveAddress,
    SendLine,
    SetAddress,
)
from tocsin.persistence.store.queries import ListAddresses, ListSends
from tocsin.protocol.channels.webpush import PushSubscription
from tocsin.protocol.outbound import OutboundFailed
from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.secret_box import SecretBox, SecretUnreadable, address_context
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api.answers import Answering, Timestamp
from tocsin.server.api.letter_lines import events_of
from tocsin.server.api.operation import (
    NO_CONTENT,
    Answer,
    Call,
    Caller,
    Operations,
    UrlQuery,
    given,
)

operations = Operations("channels")

ADDRESSES_MAX: Final = 16
"""Addresses of a person on one channel: a few browsers, a few mailboxes. Of more the oldest go."""
_AFTER_PATTERN: Final = r"^[0-9a-f-]{36}\.[0-9]{1,9}\.[0-9]\.[0-9a-f]{24}$(?!\n)"


class AddressRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a person is on a channel, in the channel's own form."""

    address: Annotated[str, Meta(min_length=1, max_length=1024)]


class SendsQuery(UrlQuery, frozen=True, kw_only=True):
    """Which sends."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: Annotated[str, Meta(pattern=_AFTER_PATTERN)] | UnsetType = UNSET


class ChannelInfo(Answering, frozen=True, kw_only=True):
    """A channel; browsers need the *key* of one of the kind `webpush`."""

    name: str
    kind: str
    key: str | None


class ChannelList(Answering, frozen=True, kw_only=True):
    """The channels of this server, by name."""

    channels: list[ChannelInfo]


class AddressLine(Answering, frozen=True, kw_only=True):
    """An address; of a browser's only where it is registered, and never its secrets."""

    channel: str
    name: str
    address: str
    created_at: Timestamp
    dead_reason: str | None


class AddressList(Answering, frozen=True, kw_only=True):
    """A person's addresses, by channel and name."""

    addresses: list[AddressLine]


class SendEvent(Answering, frozen=True, kw_only=True):
    """An attempt at a send, or what an operator did with one that was given up."""

    at: Timestamp
    event: Literal["sent", "retry", "dead", "replayed", "discarded"]
    attempt: int | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET


class SendRecord(Answering, frozen=True, kw_only=True):
    """A send: one step of one notification, for one address of one person."""

    user: str
    channel: str
    address: str
    step: int
    state: Literal["waiting", "sent", "moot", "off", "dead"]
    attempts: int
    next_at: Timestamp | None
    sent_at: Timestamp | None
    reason: str | None
    history: list[SendEvent]


class SendList(Answering, frozen=True, kw_only=True):
    """Sends; pass *next* as `after`."""

    sends: list[SendRecord]
    next: str | None


class ChannelAtWork(Answering, frozen=True, kw_only=True):
    """A channel as this node finds it; *waiting* is of all nodes, at the last look."""

    name: str
    kind: str
    state: ChannelState
    waiting: int
    outcomes: dict[str, int]
    last_error: str | None


class ChannelsAtWork(Answering, frozen=True, kw_only=True):
    """The channels of this node, by name."""

    node: str
    channels: list[ChannelAtWork]


@operations.define(
    *("GET", "/v1/channels", "List the channels"),
    caller=Caller.USER,
    answers={200: ChannelList},
)
async def list_channels(call: Call[UrlQuery, None]) -> Answer:
    """Ways by which the person is reached when no device of theirs is."""
    lines = call.services.channels.lines.values()
    listed = [
        ChannelInfo(name=each.terms.name, kind=each.terms.kind, key=each.terms.key)
        for each in lines
    ]
    return Answer(ChannelList(channels=listed))


@operations.define(
    *("GET", "/v1/me/channels", "List one's own addresses"),
    caller=Caller.USER,
    answers={200: AddressList},
)
async def list_own_addresses(call: Call[UrlQuery, None]) -> Answer:
    """By channel and name, and why one is not used any more."""
    return Answer(await _addresses(call, call.user))


@operations.define(
    *("PUT", "/v1/me/channels/{channel}/{name}", "Register a browser for Web Push"),
    caller=Caller.USER,
    body=PushSubscription,
    answers={204: None},
)
async def register_browser(
    call: Call[UrlQuery, PushSubscription], channel: str, name: str
) -> Answer:
    """The browser's `PushSubscription` as it is. The same one under another name moves."""
    terms = _terms(call, channel, by_user=True)
    value = _checked(terms, msgspec.json.encode(call.body).decode(), "$.keys")
    endpoint = call.body.endpoint
    try:
        await call.services.outbound.check(endpoint)
    except OutboundFailed as failed:
        wrong = [FieldError("$.endpoint", failed.reason)]
        raise refuse("invalid", f"Nothing can be pushed there: {failed}", wrong) from None
    await _set(call, call.user, terms, name, value)
    return NO_CONTENT


@operations.define(
    *("DELETE", "/v1/me/channels/{channel}/{name}", "Remove one of one's own addresses"),
    caller=Caller.USER,
    answers={204: None},
)
async def remove_own_address(call: Call[UrlQuery, None], channel: str, name: str) -> Answer:
    """Nothing more goes there; what waits for it is moot."""
    return await _remove(call, call.user, channel, name)


@operations.define(
    *("GET", "/v1/users/{user}/channels", "List the addresses of a user"),
    caller=Caller.NOTIFY,
    answers={200: AddressList},
)
async def list_addresses(call: Call[UrlQuery, None], user: str) -> Answer:
    """By channel and name, and why one is not used any more."""
    return Answer(await _addresses(call, user))


@operations.define(
    *("PUT", "/v1/users/{user}/channels/{channel}/{name}", "Set an address of a user"),
    caller=Caller.NOTIFY,
    body=AddressRequest,
    answers={204: None},
)
async def set_address(
    call: Call[UrlQuery, AddressRequest], user: str, channel: str, name: str
) -> Answer:
    """The backend knows to whom a mail address belongs. A dead address lives again."""
    terms = _terms(call, channel, by_user=False)
    await _set(call, user, terms, name, _checked(terms, call.body.address, "$.address"))
    return NO_CONTENT


@operations.define(
    *("DELETE", "/v1/users/{user}/channels/{channel}/{name}", "Remove an address of a user"),
    caller=Caller.NOTIFY,
    answers={204: None},
)
async def remove_address(call: Call[UrlQuery, None], user: str, channel: str, name: str) -> Answer:
    """Nothing more goes there; what waits for it is moot."""
    return await _remove(call, user, channel, name)


@operations.define(
    *("GET", "/v1/notifications/{notification}/sends", "Show the sends of a notification"),
    caller=Caller.NOTIFY,
    query=SendsQuery,
    answers={200: SendList},
)
async def list_sends(call: Call[SendsQuery, None], notification: str) -> Answer:
    """By which channel, how often it was tried, and the reason where it was not or failed."""
    query = ListSends(notification, call.query.limit, given(call.query.after))
    page = await call.services.read(query)
    if isinstance(page, NotFound):
        raise refuse("not_found", "There is no notification with this id.")
    return Answer(
        SendList(
            sends=[_send(each) for each in page.sends],
            next=page.sends[-1].id if page.more else None,
        )
    )


@operations.define(
    *("GET", "/v1/admin/channels", "Show the channels at work"),
    caller=Caller.ADMIN,
    answers={200: ChannelsAtWork},
)
async def show_channels(call: Call[UrlQuery, None]) -> Answer:
    """As this node finds them: whether they can be used, and what became of sends here."""
    services = call.services
    listed = [_at_work(each) for each in services.channels.lines.values()]
    return Answer(ChannelsAtWork(node=services.settings.node, channels=listed))


async def _addresses(call: Call[Any, Any], user: str) -> AddressList:
    found = await call.services.read(ListAddresses(user))
    box = call.services.channels.box
    return AddressList(addresses=[_address(each, user, box) for each in found.addresses])


async def _set(call: Call[Any, Any], user: str, terms: ChannelTerms, name: str, value: str) -> None:
    fingerprint = hashlib.sha256(value.encode()).hexdigest()[:32]
    command = SetAddress(
        user,
        terms.name,
        name,
        call.services.channels.box.seal(value, address_context(user, terms.name, name)),
        fingerprint,
        call.now_ms,
        ADDRESSES_MAX,
        # A browser has one subscription, whoever is signed in there now.
        exclusive=terms.by_user,
    )
    await call.services.write(command)


async def _remove(call: Call[Any, Any], user: str, channel: str, name: str) -> Answer:
    if isinstance(await call.services.write(RemoveAddress(user, channel, name)), NotFound):
        raise refuse("not_found", "There is no address of this name on this channel.")
    return NO_CONTENT


def _terms(call: Call[Any, Any], channel: str, *, by_user: bool) -> ChannelTerms:
    """The terms of *channel*; raises `Refused` unless the caller may register addresses on it."""
    line = call.services.channels.lines.get(channel)
    if line is None:
        raise refuse("not_found", "This server has no channel of this name.")
    if line.terms.by_user != by_user:
        whose = "the users themselves" if line.terms.by_user else "a backend, with scope notify"
        raise refuse("forbidden", f"Addresses on this channel are registered by {whose}.")
    return line.terms


def _checked(terms: ChannelTerms, text: str, path: str) -> str:
    try:
        return terms.checked(text)
    except ValueError as error:
        raise _unusable(path, str(error)) from None


def _unusable(path: str, words: str) -> Refused:
    return refuse("invalid", f"The address {words}.", [FieldError(path, words)])


def _address(address: Address, user: str, box: SecretBox) -> AddressLine:
    try:
        context = address_context(user, address.channel, address.name)
        value = box.open(address.value, context)
    except SecretUnreadable as error:
        value = f"unreadable: {error}"
    return AddressLine(
        channel=address.channel,
        name=address.name,
        address=_shown(value),
        created_at=to_rfc3339(address.created_at),
        dead_reason=address.dead_reason,
    )


def _shown(value: str) -> str:
    """*value* without secrets: of a subscription, the origin of its endpoint."""
    if not value.startswith("{"):
        return value
    parts = urlsplit(msgspec.json.decode(value, type=PushSubscription).endpoint)
    return f"{parts.scheme}://{parts.netloc}"


def _send(line: SendLine) -> SendRecord:
    state: Any = line.state
    history: Any = events_of(line.history)
    return SendRecord(
        user=line.user,
        channel=line.channel,
        address=line.address,
        step=line.step,
        state=state,
        attempts=line.attempts,
        next_at=to_rfc3339(line.next_at) if line.state == "waiting" else None,
        sent_at=None if line.sent_at is None else to_rfc3339(line.sent_at),
        reason=line.reason,
        history=history,
    )


def _at_work(line: ChannelLine) -> ChannelAtWork:
    return ChannelAtWork(
        name=line.terms.name,
        kind=line.terms.kind,
        state=line.state,
        waiting=line.waiting,
        outcomes=dict(sorted(line.outcomes.items())),
        last_error=line.breaker.reason,
    )
