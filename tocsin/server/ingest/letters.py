"""Letters of connectors: messages that can never be stored, kept with the reason."""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from tocsin.persistence.source import BrokerMessage
from tocsin.persistence.store.ingest_commands import IngestLetter
from tocsin.protocol.refusal import Refused
from tocsin.server.connector_status import ConnectorTerms

BODY_BYTES_MAX: Final = 64 * 1024
"""Bytes of a body that a letter keeps: more than any notification that could be stored has."""
PLACE_MAX: Final = 1024
"""Characters of a place that a letter keeps."""


def letter_of(
    taken: BrokerMessage, refused: Refused, terms: ConnectorTerms, now_ms: int
) -> IngestLetter:
    """The letter for *taken*, which was *refused* at *now_ms* (Unix ms)."""
    encoding, body = _written(taken.body[:BODY_BYTES_MAX])
    return IngestLetter(
        connector=terms.name,
        place=storable(taken.place)[:PLACE_MAX],
        idempotency_key=None if taken.key is None else storable(taken.key),
        correlation=None if taken.correlation is None else storable(taken.correlation),
        headers={storable(name): storable(text) for name, text in taken.headers.items()},
        encoding=encoding,
        body=body,
        cut=len(taken.body) > BODY_BYTES_MAX,
        problem=msgspec.json.encode(refused.problem).decode(),
        dead_at=now_ms,
    )


def message_of(letter: IngestLetter, body: bytes | None = None) -> BrokerMessage:
    """The message of *letter* as the connector took it, or with another *body*.

    Its time is not known any more: what an operator replays is as new.
    """
    kept = base64.b64decode(letter.body) if letter.encoding == "base64" else letter.body.encode()
    return BrokerMessage(
        place=letter.place,
        key=letter.idempotency_key,
        body=kept if body is None else body,
        token=None,
        headers=letter.headers,
        correlation=letter.correlation,
    )


def _written(body: bytes) -> tuple[str, str]:
    """The encoding of *body* in a letter, and its text in that."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    # Postgres keeps no NUL in a text.
    if "\0" in text:
        return "base64", base64.b64encode(body).decode()
    return "text", text


def storable(text: str) -> str:
    """*text* as both stores keep it: without NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
