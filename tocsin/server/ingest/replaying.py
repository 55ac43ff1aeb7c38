"""Replaying a letter of a connector: what it asks for is carried out, as if it came once more."""

from __future__ import annotations

from typing import Final

from tocsin.persistence.store.ingest_commands import (
    IngestLetter,
    SettleIngest,
)
from tocsin.protocol.refusal import Refused, refuse
from tocsin.server.ingest.letters import message_of
from tocsin.server.ingest.orders import order_of
from tocsin.server.ingest.posting import carry_out, principal_of
from tocsin.server.producing.publishing import Publishing
from tocsin.server.services import Services

REPLAYED: Final = "replayed"
DISCARDED: Final = "discarded"
_DEAD: Final = "dead"


async def replay(
    services: Services, publishing: Publishing, letter: IngestLetter, body: bytes | None
) -> None:
    """Carry out what *letter* asks for, or another *body* in its place; then it is settled.

    It has the key of the message, so a repetition does nothing new. Raises `Refused`, also with
    what the message is refused for again. Cancelled, it may have been carried out.
    """
    if letter.status != _DEAD:
        raise refuse("conflict", f"It is {letter.status}, so it cannot be replayed.")
    connector = services.connectors.find(letter.connector)
    if connector is None:
        raise refuse("conflict", "The settings of this node have no such connector any more.")
    if letter.cut and body is None:
        raise refuse("conflict", "Its body was too long to be kept whole; send one along.")
    now_ms = services.world.now_ms()
    order = order_of(
        message_of(letter, body),
        connector.terms,
        now_ms,
        services.settings.body_bytes_max,
        old=True,
    )
    [outcome] = await carry_out(publishing, principal_of(connector.terms), [order])
    if isinstance(outcome, Refused):
        raise outcome
    await services.write(SettleIngest(letter.id, REPLAYED, now_ms))


async def discard(services: Services, letter: IngestLetter) -> None:
    """Settle *letter* without carrying it out; again is no error. Raises `Refused`.

    Cancelled, it may have been settled.
    """
    await services.write(SettleIngest(letter.id, DISCARDED, services.world.now_ms()))
