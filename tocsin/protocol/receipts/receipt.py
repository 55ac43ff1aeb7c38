"""Receipts: facts about notifications that a producer may want to hear of.

They form one log for the whole cluster, in the order of commits. A sink has a cursor into it, as a
device has one into its user's log.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from tocsin.protocol.values import to_rfc3339

BATCH_MAX: Final = 100
"""Receipts in one request to a receiver: some 30 KiB."""
SCANNED_MAX: Final = 5000
"""Positions of the log that one look goes through, however little of it a filter lets pass."""


class ReceiptKind(StrEnum):
    """The facts that become receipts; `docs/connections.md` has the table."""

    DELIVERED = "delivered"
    READ = "read"
    EXPIRED = "expired"
    DEAD = "dead"
    SENT = "sent"
    FAILED = "failed"
    SINK_DISABLED = "sink_disabled"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Fact(NamedTuple):
    """A fact that a transaction has made true *at* a time (Unix ms).

    *user* is `None` for a notification of a topic that expired, and both are for what is about no
    notification. *detail* is JSON.
    """

    kind: ReceiptKind
    notification: str | None
    user: str | None
    at: int
    device: str | None = None
    channel: str | None = None
    detail: str | None = None


Facts = list[Fact]


class Receipt(msgspec.Struct, frozen=True):
    """A fact at its *position* in the log; *at* is Unix ms, *detail* is JSON."""

    position: int
    kind: str
    notification: str | None
    category: str | None
    user: str | None
    device: str | None
    channel: str | None
    at: int
    detail: str | None


class Filter(msgspec.Struct, frozen=True):
    """The receipts that a follower wants: kinds, and categories unless there are none named."""

    events: tuple[str, ...]
    categories: tuple[str, ...] = ()

    @property
    def events_text(self) -> str:
        """The kinds between commas, as the store keeps them."""
        return between_commas(self.events)

    @property
    def categories_text(self) -> str:
        """The categories between commas, or `""` for all."""
        return between_commas(self.categories)


EVERYTHING: Final = Filter(tuple([kind.value for kind in ReceiptKind]))
RECEIPT_ID: Final = "receipt-id"
"""The header of a broker message that is a receipt."""
ANSWERS: Final = frozenset({ReceiptKind.ACCEPTED, ReceiptKind.REFUSED})
"""The kinds that answer broker messages, for their producers."""
USUAL: Final = Filter(tuple([kind.value for kind in ReceiptKind if kind not in ANSWERS]))
"""The kinds for a follower that names none. Answers to broker messages have to be asked for: each
is a receipt for each message, and a sink could carry them into the queue of a connector."""


def names_in(text: str) -> tuple[str, ...]:
    """The names in *text*, in which they stand between commas."""
    return tuple(each for each in text.split(",") if each)


def receipt_fields(receipt: Receipt, epoch: str) -> dict[str, Any]:
    """*receipt* as it goes over the wire: the same for a webhook, a poll and a stream."""
    return {
        "id": f"{epoch}-{receipt.position}",
        "kind": receipt.kind,
        "at": to_rfc3339(receipt.at),
        "notification": receipt.notification,
        "category": receipt.category,
        "user": receipt.user,
        "device": receipt.device,
        "channel": receipt.channel,
        "detail": None if receipt.detail is None else msgspec.Raw(receipt.detail.encode()),
    }


def correlation_of(receipt: Receipt) -> str | None:
    """The producer's name for the broker message that *receipt* answers, if it gave one."""
    if receipt.kind not in ANSWERS or receipt.detail is None:
        return None
    named = msgspec.json.decode(receipt.detail, type=_Answer)
    return named.correlation or None


class _Answer(msgspec.Struct):
    correlation: str | None = None


def between_commas(names: Sequence[str]) -> str:
    """*names* between commas, as the store keeps and looks for them; `""` for none."""
    return f",{','.join(names)}," if names else ""


def receipt_json(receipt: Receipt, epoch: str) -> str:
    """*receipt* as JSON, as it goes over the wire."""
    return msgspec.json.encode(receipt_fields(receipt, epoch)).decode()
