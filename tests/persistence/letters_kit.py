"""Steps that tests of dead letters repeat."""

from __future__ import annotations

import json
from typing import Any

from tests.persistence.desk_kit import Desk, positions
from tocsin.persistence.store.commands import Changed
from tocsin.persistence.store.queries import DeadLetter, Letters, ListLetters
from tocsin.persistence.store.upkeep_commands import LetterReplayed, ReplayLetter

LIFETIME = 1000


async def letters(desk: Desk, status: str | None = "dead", **more: Any) -> tuple[DeadLetter, ...]:
    return (await desk.ask(ListLetters(100, status=status, **more), Letters)).letters


async def died(desk: Desk, device: str = "phone", user: str = "ann") -> Changed:
    """A notification that *device* of *user* was given up for."""
    made = await desk.publish(user)
    [position] = positions(made)
    line = (user, device, made.content.id, position.sequence)
    await desk.sent(*line, attempts=20, dead="unresponsive")
    return made


def events(letter: DeadLetter) -> list[tuple[str, int]]:
    return [(event["event"], event["at"]) for event in json.loads(letter.history)]


async def replay(desk: Desk, letter: DeadLetter) -> LetterReplayed:
    return await desk.one(ReplayLetter(letter.id, desk.now_ms), LetterReplayed)
