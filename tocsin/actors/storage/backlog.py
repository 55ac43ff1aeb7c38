"""The commands that wait to be written, and the choice of those for the next transaction.

No party is to feel how much the others have to write. So commands stand in *lanes*, one for each
party: the commands of a lane are committed in the order in which they came, and lanes take turns.
Small and large commands do not share a transaction, and take turns as well. A transaction has room
for `ROWS_MAX` rows, or for a single command of more rows. So a producer that posts to a few users
waits for the transaction under way and for its own, which is short, however many large posts of
other producers wait. The large posts take turns among themselves.

The backlog has no clock and no task.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import chain
from operator import itemgetter
from typing import Any, Final, Generic, Protocol, TypeVar

from tocsin.actors.storage.batch_weights import ROWS_MAX, Weights
from tocsin.actors.storage.lines import Line
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Publish, Update, Withdraw
from tocsin.persistence.store.upkeep_commands import Expire, Purge, Release
from tocsin.persistence.store.user_commands import (
    Acknowledge,
    Attach,
    MarkInbox,
    Materialise,
    RemoveDevice,
    SetPreferences,
    SetTopic,
    Subscribe,
    Unsubscribe,
)

SMALL: Final = 50
"""Rows of a small command, at most: it costs less than a transaction does by itself."""
_COMMANDS_MAX: Final = 1000
"""Commands in one transaction: enough for the price of a commit to vanish."""
_TURN: Final = 16
"""Commands that a lane may put in before the next lane has its turn."""


class Waiting(Protocol):
    """A request that waits for *command*; that of its *line*, if any, replaces its own lane."""

    command: Command[Any]
    line: Line | None


W = TypeVar("W", bound=Waiting)
_Lane = deque[tuple[int, W]]
"""Requests that wait, each with its number in the order of arrival."""


class Backlog(Generic[W]):
    """The lanes of waiting requests; *weights* says how many rows a command is. See the module."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._lanes: OrderedDict[str, _Lane[W]] = OrderedDict()
        """The lanes with waiting requests; the lane at the front has the next turn."""
        self._count = self._came = 0
        self._large = False

    def __len__(self) -> int:
        return self._count

    def add(self, waiting: W) -> None:
        """Put *waiting* at the end of its lane."""
        line = waiting.line
        name = lane_of(waiting.command) if line is None else line.lane
        if (lane := self._lanes.get(name)) is None:
            lane = self._lanes[name] = deque()
        lane.append((self._came, waiting))
        self._came += 1
        self._count += 1

    def take(self) -> list[W]:
        """Remove the requests for the next transaction; returns them in the order of arrival."""
        self._large = self._whose_turn()
        room = _Room(self._weights, large=self._large)
        taken: list[tuple[int, W]] = []
        served: set[str] = set()
        held: list[tuple[str, _Lane[W]]] = []
        while self._lanes and len(taken) < _COMMANDS_MAX:
            name, lane = self._lanes.popitem(last=False)
            turn = min(_TURN, _COMMANDS_MAX - len(taken))
            while lane and turn and room.fits(lane[0][1].command):
                taken.append(lane.popleft())
                turn -= 1
                served.add(name)
            if lane and turn:
                held.append((name, lane))
            elif lane:
                self._lanes[name] = lane
        self._lanes.update(each for each in held if each[0] in served)
        for name, lane in reversed(held):
            # A lane that found no room at all has the first turn next time.
            if name not in served:
                self._lanes[name] = lane
                self._lanes.move_to_end(name, last=False)
        self._count -= len(taken)
        taken.sort(key=itemgetter(0))
        return [waiting for _, waiting in taken]

    def _whose_turn(self) -> bool:
        """Whether the next transaction is for large commands: if the last was not, or all are."""
        heads = {self._weights.rows(lane[0][1].command) > SMALL for lane in self._lanes.values()}
        return not self._large if len(heads) == 2 else True in heads

    def clear(self) -> list[W]:
        """Remove all requests; returns them in the order of arrival."""
        everything = sorted(chain.from_iterable(self._lanes.values()), key=itemgetter(0))
        self._lanes.clear()
        self._count = 0
        return [waiting for _, waiting in everything]


class _Room:
    """The room in one transaction, which commands take up one by one."""

    def __init__(self, weights: Weights, *, large: bool) -> None:
        self._rows = weights.rows
        self._large = large
        self._taken = 0

    def fits(self, command: Command[Any]) -> bool:
        """Take the room that *command* needs; returns `False` if there is too little."""
        rows = self._rows(command)
        is_large = rows > SMALL
        if is_large != self._large or (self._taken and self._taken + rows > ROWS_MAX):
            return False
        self._taken += rows
        return True


def lane_of(command: Command[Any]) -> str:
    """The party whose commands keep their order: a credential, or the thing that is changed."""
    match command:
        case Publish():
            return f"by {command.credential}"
        case Update() | Withdraw():
            return f"about {command.notification}"
        case Attach() | Acknowledge() | MarkInbox() | SetPreferences() | RemoveDevice():
            return f"of {command.user}"
        case Materialise():
            return f"of {command.users[0]}"
        case Subscribe() | Unsubscribe() | SetTopic():
            return f"to {command.topic}"
        case Expire() | Release() | Purge():
            return "upkeep"
        case _:
            return ""
