"""Answers to broker messages whose commands were spooled, and that the store refuses in the end.

The connector has acknowledged such a message when it was in the spool, so nothing but the drain can
answer it any more. The answer is a settled line among the letters of the connector, without the
body: the entry itself was set aside in the spool, or is a change that came too late. There is one
line for each message, so the producer hears `refused` once.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from tocsin.actors.spool.entries import Spoolable
from tocsin.persistence.store import StoreFailed
from tocsin.persistence.store.commands import KeyReused, NotActive, NotFound, PatchRefused
from tocsin.persistence.store.ingest_commands import IngestLetter
from tocsin.protocol.refusal import Refused, refuse

Refusing = KeyReused | NotFound | NotActive | PatchRefused | StoreFailed
"""The answers of the store to a spooled command that it has not done."""


def letter_of_spooled(command: Spoolable, said: Refusing, now_ms: int) -> IngestLetter | None:
    """The letter that answers the message that asked for *command*, as of *now_ms* (Unix ms).

    `None` if no connector took it, or nothing is to be answered.
    """
    if (origin := command.origin) is None:
        return None
    return IngestLetter(
        connector=origin.connector,
        place=origin.place,
        idempotency_key=origin.key,
        correlation=origin.correlation,
        headers={},
        encoding="text",
        body="",
        cut=True,
        problem=msgspec.json.encode(_refusal(said).problem).decode(),
        dead_at=now_ms,
    )


def _refusal(said: Refusing) -> Refused:
    match said:
        case KeyReused():
            detail = "Its key came with another message or request before; use a new one."
            return refuse("idempotency_key_reused", detail)
        case NotFound():
            return refuse("not_found", "There is no notification with this id.")
        case NotActive(standing=standing):
            return refuse("conflict", f"The notification was {standing} when its turn came.")
        case PatchRefused(error=error):
            assert isinstance(error, Refused)
            return error
        case StoreFailed():
            return refuse("internal_error", "The store refuses it; it was set aside in the spool.")
        case _:
            assert_never(said)
