"""From a message of a broker to what it asks for: a post, an update or a withdrawal.

The body is that of the same request over HTTP, and is read and checked as there. The headers that
mean something are

    idempotency-key    the key; it wins over the one that the broker has for the message
    tocsin-action      `publish`, if it is missing; `update` or `withdraw`
    tocsin-id          the notification that an update or a withdrawal is about
"""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.persistence.source import BrokerMessage
from tocsin.persistence.store.commands import Origin, Update, Withdraw
from tocsin.protocol.notifications.notification import Draft, Patch
from tocsin.protocol.problems import FieldError
from tocsin.protocol.receipts.receipt import RECEIPT_ID
from tocsin.protocol.refusal import refuse
from tocsin.protocol.traceparent import TRACEPARENT
from tocsin.server.connector_status import ConnectorTerms
from tocsin.server.decoding import NotificationId, check, decode
from tocsin.server.ingest.letters import PLACE_MAX, storable
from tocsin.server.producing.publishing import Waited, check_key

_KEY: Final = "idempotency-key"
_ACTION: Final = "tocsin-action"
_ID: Final = "tocsin-id"
_ACTIONS: Final = ("publish", "update", "withdraw")
_AHEAD: Final = 60_000
"""Milliseconds that a broker's clock may be ahead of ours; a time beyond is not believed."""


class PostOrder(msgspec.Struct, frozen=True):
    """Publish *draft* with *key*, if there is one."""

    draft: Draft
    key: str | None
    waited: Waited


class ChangeOrder(msgspec.Struct, frozen=True):
    """Carry out *command*."""

    command: Update | Withdraw


Order = PostOrder | ChangeOrder


def order_of(
    taken: BrokerMessage,
    terms: ConnectorTerms,
    now_ms: int,
    body_bytes_max: int,
    *,
    old: bool = False,
) -> Order:
    """The order that *taken* is; raises `Refused` as the same request over HTTP would.

    A message that is older than the connector's *age_max* is refused as `too_old`, unless an *old*
    one will do, because an operator asks for it.
    """
    key = key_of_message(taken)
    if len(taken.body) > body_bytes_max:
        raise refuse("too_large", f"A message has at most {body_bytes_max} bytes.")
    posted_ms = _posted(taken, now_ms)
    if not old and _is_too_old(posted_ms, terms, now_ms):
        raise refuse("too_old", "It waited in its queue for longer than `age_max`.")
    action = taken.headers.get(_ACTION, "publish")
    if action == "publish":
        draft = decode(Draft, taken.body)
        _check_category(draft.category, terms)
        trace, origin = taken.headers.get(TRACEPARENT), _origin(taken, terms, key)
        return PostOrder(draft, key, Waited(posted_ms, terms.key_longer_ms, trace, origin))
    if action not in _ACTIONS:
        raise _wrong(_ACTION, f"is not one of {', '.join(_ACTIONS)}")
    return ChangeOrder(_change(action, taken, terms, now_ms))


def key_of_message(taken: BrokerMessage) -> str | None:
    """The idempotency key of *taken*; raises `Refused` for one that cannot be used."""
    given = taken.headers.get(_KEY)
    if given is not None:
        check_key(given)
    return given or taken.key


def _change(
    action: str, taken: BrokerMessage, terms: ConnectorTerms, now_ms: int
) -> Update | Withdraw:
    name = taken.headers.get(_ID)
    if name is None:
        raise _wrong(_ID, f"is missing, which an {_ACTION} of {action!r} needs")
    notification = check(NotificationId, name)
    key = key_of_message(taken)
    once = None if key is None else f"{terms.credential}/{key}"
    origin = _origin(taken, terms, key)
    if action == "withdraw":
        return Withdraw(notification, now_ms, once=once, origin=origin)
    patch = decode(Patch, taken.body)
    if isinstance(patch.category, str):
        _check_category(patch.category, terms)
    return Update(notification=notification, patch=patch, now_ms=now_ms, once=once, origin=origin)


def _origin(taken: BrokerMessage, terms: ConnectorTerms, key: str | None) -> Origin | None:
    """The origin of *taken*; `None` for a receipt, which is not answered by receipts."""
    if RECEIPT_ID in taken.headers:
        return None
    correlation = None if taken.correlation is None else storable(taken.correlation)
    return Origin(terms.name, storable(taken.place)[:PLACE_MAX], key, correlation)


def _posted(taken: BrokerMessage, now_ms: int) -> int | None:
    """When the broker got *taken* (Unix ms), if it says so and its clock can be believed."""
    if taken.at is None or not 0 < taken.at <= now_ms + _AHEAD:
        return None
    return min(taken.at, now_ms)


def _is_too_old(posted_ms: int | None, terms: ConnectorTerms, now_ms: int) -> bool:
    if terms.age_max is None or posted_ms is None:
        return False
    return now_ms - posted_ms > terms.age_max * 1000


def _check_category(category: str, terms: ConnectorTerms) -> None:
    if terms.categories and category not in terms.categories:
        raise refuse("forbidden", f"The connector {terms.name} may not post this category.")


def _wrong(header: str, message: str) -> Exception:
    return refuse("invalid", f"The header {header} {message}.", [FieldError(header, message)])
