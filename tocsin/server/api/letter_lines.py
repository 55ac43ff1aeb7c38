"""Dead letters of all kinds as lines of one list."""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.persistence.store.ingest_commands import IngestLetter
from tocsin.persistence.store.letter_commands import ReceiptLetter, SendLetter
from tocsin.persistence.store.queries import DeadLetter
from tocsin.protocol.channels.send_retry import RETRY_DELAYS
from tocsin.protocol.problems import Problem
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api import answers


def delivery_fields(letter: DeadLetter) -> dict[str, Any]:
    """Of a notification that a device, or no device, got."""
    fields = msgspec.structs.asdict(letter)
    del fields["history"]
    first_sent_at = letter.first_sent_at
    fields["first_sent_at"] = None if first_sent_at is None else to_rfc3339(first_sent_at)
    fields["dead_at"] = to_rfc3339(letter.dead_at)
    return fields


def ingest_fields(letter: IngestLetter) -> dict[str, Any]:
    """Of a message that a connector took."""
    problem = msgspec.json.decode(letter.problem, type=Problem)
    return {
        "id": letter.id,
        "kind": "ingest",
        "notification": None,
        "user": None,
        "device": None,
        "cause": "refused",
        "reason": f"{problem.code}: {problem.detail}",
        "attempts": 1,
        "first_sent_at": None,
        "dead_at": to_rfc3339(letter.dead_at),
        "status": letter.status,
        "connector": letter.connector,
        "place": letter.place,
    }


def send_fields(letter: SendLetter) -> dict[str, Any]:
    """Of a send on a channel that was given up."""
    return {
        "id": letter.id,
        "kind": "send",
        "notification": letter.notification,
        "user": letter.user,
        "device": None,
        "cause": "attempts" if letter.attempts > len(RETRY_DELAYS) else "refused",
        "reason": letter.reason,
        "attempts": letter.attempts,
        "first_sent_at": None,
        "dead_at": to_rfc3339(letter.dead_at),
        "status": letter.status,
        "channel": letter.channel,
        "address": letter.address,
    }


def receipt_fields(found: ReceiptLetter) -> dict[str, Any]:
    """Of a receipt that a receiver refused."""
    letter = found.letter
    receipt = msgspec.json.decode(letter.receipt)
    return {
        "id": found.id,
        "kind": "receipt",
        "notification": receipt.get("notification"),
        "user": letter.user,
        "device": receipt.get("device"),
        "cause": "refused",
        "reason": letter.reason,
        "attempts": 1,
        "first_sent_at": None,
        "dead_at": to_rfc3339(letter.at),
        "status": letter.status,
        "webhook": found.sink,
        "place": str(letter.position),
    }


def ingest_letter(letter: IngestLetter) -> answers.Letter:
    """With the message as it was taken."""
    return answers.Letter(
        **ingest_fields(letter),
        history=_events(letter.history),
        content=None,
        message=answers.KeptMessage(
            idempotency_key=letter.idempotency_key,
            correlation=letter.correlation,
            headers=dict(letter.headers),
            encoding="base64" if letter.encoding == "base64" else "text",
            body=letter.body,
            cut=letter.cut,
        ),
        problem=msgspec.json.decode(letter.problem, type=Problem),
    )


def delivery_letter(letter: DeadLetter, document: bytes | str | None) -> answers.Letter:
    """With the notification, as long as that is kept."""
    content = None if document is None else answers.written(document)
    return answers.Letter(
        **delivery_fields(letter), history=_events(letter.history), content=content
    )


def send_letter(letter: SendLetter) -> answers.Letter:
    """With each attempt, and the notification."""
    content = None if letter.document is None else answers.written(letter.document.encode())
    return answers.Letter(**send_fields(letter), history=_events(letter.history), content=content)


def receipt_letter(found: ReceiptLetter) -> answers.Letter:
    """With the receipt."""
    receipt: Any = answers.written(found.letter.receipt.encode())
    return answers.Letter(**receipt_fields(found), history=[], content=None, receipt=receipt)


def events_of(history: str) -> list[dict[str, Any]]:
    """The events of a *history*, which is JSON, with their times as RFC 3339."""
    found: list[dict[str, Any]] = msgspec.json.decode(history)
    return [each | {"at": to_rfc3339(each["at"])} for each in found]


def _events(history: str) -> Any:
    """`LetterEvent`s, with whatever else they say."""
    return events_of(history)
