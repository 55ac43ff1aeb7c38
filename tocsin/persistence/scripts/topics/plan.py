"""Plans in memory how pending entries of topics become entries in the logs of users.

Several pending entries may be about one notification. They have one effect, at the place of the
first entry:

- A user who does not have the notification gets it, if it still lives and the user has not muted
  it; otherwise it came and went without a trace.
- A user who has it gets its end, if it was withdrawn or has expired; otherwise its newest revision,
  unseen again if it was published anew and the user has not muted it.

Rows come by user, and for each user in the order of the new entries: by time, topic and position,
which is one order for all users. So a user's sequences ascend through the list of fan-outs,
although each fan-out is for many users.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec

from tocsin.persistence.scripts.logs.plan import RENEWED
from tocsin.persistence.scripts.statements import Row
from tocsin.protocol.log.news import Position, RecipientState
from tocsin.protocol.notifications.marking import counted
from tocsin.protocol.notifications.notification import Change, Standing, State

Pair = tuple[str, str]
"""A notification and a user."""
Place = tuple[int, str, int, str]
"""Time, topic and position of an entry, and its change: the order of fan-outs."""

_ANNOUNCING = frozenset({Change.CREATED, RENEWED})


class Group(msgspec.Struct):
    """One change of one notification in the logs of many users."""

    notification: str
    change: Change
    positions: list[Position] = []
    states: dict[str, RecipientState] = {}


class Saved(NamedTuple):
    """An existing inbox row that moves, or, if *taken* is 0, expires *at* a time (Unix ms)."""

    notification: str
    user: str
    sequence: int
    change: Change
    state: str | None
    taken: int
    unread: int
    unseen: int
    at: int


class Bringing(msgspec.Struct):
    """The rows to write.

    *sequences* has an item for each pending row: the sequence of the inbox row that it becomes, or
    `None`. *heads* are of the users whose logs get entries.
    """

    sequences: list[int | None] = []
    heads: dict[str, int] = {}
    groups: dict[Place, Group] = {}
    saved: list[Saved] = []


class _Effect(NamedTuple):
    change: Change
    taken: int
    unread: int
    unseen: int
    state: str | None


def limited(rows: Sequence[Row], rows_max: int) -> tuple[Sequence[Row], set[str]]:
    """The first *rows_max* rows of each user, and the users that have more."""
    if len(rows) <= rows_max:
        return rows, set()
    kept: list[Row] = []
    behind = set()
    for user, group in groupby(rows, attrgetter("user_id")):
        mine = list(group)
        kept += mine[:rows_max]
        if len(mine) > rows_max:
            behind.add(user)
    return kept, behind


def changed_pairs(rows: Sequence[Row]) -> dict[Pair, set[str]]:
    """The changes of notifications after they were created, by notification and user."""
    pairs: dict[Pair, set[str]] = defaultdict(set)
    for row in rows:
        if row.change != Change.CREATED:
            pairs[row.notification_id, row.user_id].add(row.change)
    return pairs


def plan(
    rows: Sequence[Row], changes: Mapping[Pair, set[str]], kept: Mapping[Pair, RecipientState]
) -> Bringing:
    """Plan the effects of pending *rows*. *changes* are their changes of older notifications,
    *kept* the states of those that the users have.
    """
    bringing = Bringing()
    sequences, groups, heads = bringing.sequences, bringing.groups, bringing.heads
    present = None
    done: set[str] = set()
    head = unread = unseen = 0
    for row in rows:
        user, id_ = row.user_id, row.notification_id
        if user != present:
            present, head, unread, unseen = user, row.head, row.unread, row.unseen
            done = set()
        sequence = None
        if id_ not in done:
            had = kept.get((id_, user)) if kept else None
            if had is not None:
                done.add(id_)
                effect = _effect(changes[id_, user], had, row.wanted)
                head += effect.taken
                unread += effect.unread
                unseen += effect.unseen
                place = (row.at, row.topic, row.position, effect.change)
                _change(bringing, effect, place, id_, Position(user, head, unread, unseen), had)
            elif row.wanted and row.change in _ANNOUNCING:
                done.add(id_)
                head += 1
                unread += 1
                unseen += 1
                sequence = heads[user] = head
                place = (row.at, row.topic, row.position, Change.CREATED)
                if (group := groups.get(place)) is None:
                    group = groups[place] = Group(id_, Change.CREATED)
                group.positions.append(Position(user, head, unread, unseen))
        sequences.append(sequence)
    return bringing


def _effect(changes: set[str], had: RecipientState, wanted: bool) -> _Effect:
    """The effect of *changes* on a notification that a user has in the state *had*."""
    unread, unseen = counted(had.state)
    if Change.WITHDRAWN in changes:
        return _Effect(Change.WITHDRAWN, 1, -unread, -unseen, State.WITHDRAWN)
    if Standing.EXPIRED in changes:
        return _Effect(Change.STATE, 0, -unread, -unseen, None)
    if RENEWED in changes and wanted:
        return _Effect(Change.UPDATED, 1, 1 - unread, 1 - unseen, State.UNSEEN)
    return _Effect(Change.UPDATED, 1, 0, 0, None)


def _change(
    bringing: Bringing,
    effect: _Effect,
    place: Place,
    notification: str,
    position: Position,
    had: RecipientState,
) -> None:
    """Note the effect on an existing row. An expiry takes no sequence and makes no fan-out."""
    user = position.user
    change, taken, unread, unseen, state = effect
    bringing.saved.append(
        Saved(notification, user, position.sequence, change, state, taken, unread, unseen, place[0])
    )
    if not taken:
        return
    bringing.heads[user] = position.sequence
    group = bringing.groups.setdefault(place, Group(notification, change))
    group.positions.append(position)
    if state is None and had.state != State.UNSEEN:
        group.states[user] = had
