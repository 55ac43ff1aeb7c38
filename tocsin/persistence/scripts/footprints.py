"""Scripts of footprints: leaving them, reading them, forgetting them (`store.footprints`).

A transaction's footprint is gathered from its statements as they pass by, so that no script has to
think of it: `WRITING` has each statement that moves a head or adds to what a user follows. It is
written by the last statement of the transaction, which has no rows, and so costs no round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar, assert_never

import msgspec

from tocsin.persistence.scripts.lists import Answers, Numbered
from tocsin.persistence.scripts.statements import Rows, Script, run
from tocsin.persistence.store.commands import Done
from tocsin.persistence.store.footprints import (
    UNKNOWN,
    BeginLife,
    Footprint,
    FootprintPage,
    ForgetFootprints,
    ReadFootprints,
)
from tocsin.persistence.store.results import Result
from tocsin.protocol.notifications.notification import EVERYONE

T = TypeVar("T")
_Columns = Mapping[str, Sequence[Any]]

NAMES_MAX: Final = 200
"""Names in one row: some 8 KiB, so that a page of rows stays below a MiB."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Footprint).decode


class Track:
    """The heads, users and topics that a transaction has written so far."""

    __slots__ = ("heads", "joined", "recounted", "topics")

    def __init__(self) -> None:
        self.heads: dict[str, int] = {}
        # Dictionaries for their order, which is the same in every run.
        self.joined: dict[str, None] = {}
        self.recounted: dict[str, None] = {}
        self.topics: dict[str, None] = {}

    def footprints(self) -> Iterable[Footprint]:
        """The footprint in parts of at most `NAMES_MAX` names."""
        for heads in _chunks(self.heads.items()):
            yield Footprint(heads=dict(heads))
        for joined in _chunks(self.joined):
            yield Footprint(joined=tuple(joined))
        for recounted in _chunks(self.recounted):
            yield Footprint(recounted=tuple(recounted))
        for topics in _chunks(self.topics):
            yield Footprint(topics=tuple(topics))


def _advanced(track: Track, columns: _Columns, rows: Rows) -> None:
    taken = dict(zip(columns["user_id"], columns["taken"], strict=True))
    for row in rows:
        if taken[user := row[0]]:
            track.heads[user] = row[1]
        else:
            track.recounted[user] = None


def _published(track: Track, columns: _Columns, rows: Rows) -> None:
    heads = track.heads
    for row in rows:
        if (user := row[1]) is not None and row[2] > heads.get(user, 0):
            heads[user] = row[2]


def _brought(track: Track, columns: _Columns, rows: Rows) -> None:
    heads = track.heads
    for user, sequence in zip(columns["user_id"], columns["sequence"], strict=True):
        if sequence is not None and sequence > heads.get(user, 0):
            heads[user] = sequence


def _purged(track: Track, columns: _Columns, rows: Rows) -> None:
    for user, unread, unseen in zip(
        columns["user_id"], columns["unread"], columns["unseen"], strict=True
    ):
        if unread or unseen:
            track.recounted[user] = None


def _subscribed(track: Track, columns: _Columns, rows: Rows) -> None:
    for user, topic in zip(columns["user_id"], columns["topic"], strict=True):
        if topic != EVERYONE:
            track.joined[user] = None


def _appended(track: Track, columns: _Columns, rows: Rows) -> None:
    for topic, taken in zip(columns["topic"], columns["taken"], strict=True):
        if taken:
            track.topics[topic] = None


WRITING: Final[dict[str, Callable[[Track, _Columns, Rows], None]]] = {
    "users_advance": _advanced,
    "publish_few": _published,
    "topics_bring": _brought,
    "topics_advance": _appended,
    "subscriptions_save": _subscribed,
    "purge_users": _purged,
}
"""The statements that leave a footprint, and how it is read off their columns and rows."""


def leaving(script: Script[T]) -> Script[T]:
    """*script*, and behind it the footprint of what it has written."""
    track = Track()
    try:
        statement = next(script)
        while True:
            rows = yield statement
            if (tread := WRITING.get(statement.name)) is not None:
                tread(track, statement.columns, rows)
            statement = script.send(rows)
    except StopIteration as done:
        answer: T = done.value
    if footprints := [_encode(each).decode() for each in track.footprints()]:
        yield from run("footprints_insert", part=list(range(len(footprints))), footprint=footprints)
    return answer


def _chunks(names: Iterable[T]) -> Iterable[list[T]]:
    left = iter(names)
    while chunk := list(islice(left, NAMES_MAX)):
        yield chunk


def footprint_pages(queries: Numbered[ReadFootprints], answers: Answers) -> Script[None]:
    """Answer each query by a statement of its own: a node has one reader."""
    for index, query in queries:
        xid, part = query.after
        rows = yield from run(
            "footprints_read", after_xid=[xid], after_part=[part], rows_max=[query.limit]
        )
        answers[index] = _page(rows, query.limit)


def _page(rows: Rows, limit: int) -> FootprintPage:
    first, last = rows[0], rows[-1]
    found = [] if first.xid is None else rows
    return FootprintPage(
        life=first.life,
        horizon=first.horizon or 0,
        oldest=first.oldest,
        newest=first.newest,
        footprints=tuple([_footprint(row.footprint) for row in found]),
        more=(last.xid, last.part) if found and len(found) == limit else None,
    )


def _footprint(text: str | None) -> Footprint | None:
    return UNKNOWN if text is None else _decode(text)


def keep_footprints(
    commands: Sequence[tuple[int, BeginLife | ForgetFootprints]], results: list[Result]
) -> Script[None]:
    """Run commands about the footprints themselves."""
    for index, command in commands:
        match command:
            case BeginLife(life=life):
                yield from run("footprints_begin", life=[life])
            case ForgetFootprints(before=before, limit=limit):
                yield from run("footprints_horizon", horizon=[before])
                yield from run("footprints_forget", before=[before], rows_max=[limit])
            case _:
                assert_never(command)
        results[index] = Done()
