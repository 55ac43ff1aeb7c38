"""A model of one notification in one user's inbox: all places in which requests can have left it.

The model knows no store, clock or cluster. A *deed* is something that was requested, with the times
between which it was done. Deeds whose times overlap may have been done in any order; a request
without an answer may have been done at any later time, or never. So the result is a set of possible
places. A place outside it is surely wrong, and a right place is never outside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

_OPEN_MAX: Final = 6
"""The most overlapping deeds whose orders are all tried; further ones count as perhaps done, which
only makes the set larger."""


class Place(NamedTuple):
    """The state of a notification with a user, and its end, if it has ended.

    *state* is `absent` until it comes. *end* is `expired` or `purged`; or `called off` if it was
    withdrawn before it came, and so never comes.
    """

    state: str
    end: str = ""


ABSENT: Final = Place("absent")
UNSEEN: Final = Place("unseen")

Move = Callable[[Place], Sequence[Place]]
"""The places that a place may become when a deed is done."""


class Deed(NamedTuple):
    """*move* was done once between *since* and *until*, in seconds.

    If it is not *sure*, it was done any number of times from *since* on, or never.
    """

    since: float
    until: float
    move: Move
    sure: bool = True


# --- Moves ----------------------------------------------------------------------------------------

_MARKED: Final[Mapping[tuple[str, str], str]] = {
    ("unseen", "seen"): "seen",
    ("unseen", "read"): "read",
    ("seen", "read"): "read",
    ("read", "unread"): "seen",
    ("unseen", "archived"): "archived",
    ("seen", "archived"): "archived",
    ("read", "archived"): "archived",
}
_BROUGHT_BACK: Final[Mapping[tuple[str, str], str]] = {
    ("archived", "read"): "read",
    ("archived", "unread"): "seen",
}
"""Only by a mark that names the notification's id."""


def arrives(place: Place) -> Sequence[Place]:
    """It is published. For a user who has it, or had it, a collapsed post makes it unseen again."""
    return (place,) if place.end == "called off" else (UNSEEN,)


def marked(mark: str, *, by_id: bool) -> Move:
    """The user marks it; a notification that has ended cannot be marked."""

    def mark_it(place: Place) -> Sequence[Place]:
        state = _MARKED.get((place.state, mark))
        if state is None and by_id:
            state = _BROUGHT_BACK.get((place.state, mark))
        return (place,) if state is None or place.end else (Place(state),)

    return mark_it


def withdrawn(*, of_topic: bool) -> Move:
    """Its producer withdraws it; a user whom it has not reached from its topic never gets it."""

    never = Place("absent", "called off")

    def withdraw(place: Place) -> Sequence[Place]:
        if place == ABSENT:
            return (never,)
        if place.end:
            return (place,)
        gone = Place("withdrawn")
        return (gone, never) if of_topic else (gone,)

    return withdraw


def expired(*, of_topic: bool) -> Move:
    """Its `ttl` is over; a withdrawn notification stays withdrawn."""

    def expire(place: Place) -> Sequence[Place]:
        if place.end or place.state in ("absent", "withdrawn"):
            return (place,)
        over = Place(place.state, "expired")
        return (over, ABSENT) if of_topic else (over,)

    return expire


def purged(*, state: str | None = None, end: str | None = None) -> Move:
    """The store forgets it: in any place, or only in a *state*, or only after an *end*.

    The model keeps the state, because a device that was told of it goes on showing it.
    """

    def purge(place: Place) -> Sequence[Place]:
        concerned = (
            place.state != "absent" and state in (None, place.state) and end in (None, place.end)
        )
        return (Place(place.state, "purged"),) if concerned else (place,)

    return purge


def revived(place: Place) -> Sequence[Place]:
    """Its dead letter is replayed, so an expired notification lives again."""
    return (Place(place.state),) if place.end == "expired" else (place,)


# --- Possible places ------------------------------------------------------------------------------

_Config = tuple[Place, tuple[int, ...]]
"""A place, and the numbers (sorted) of the overlapping deeds that have been done."""


def possible(deeds: Iterable[Deed], now: float = math.inf) -> list[Place]:
    """All places in which *deeds* can have left a notification by *now*; it begins as `ABSENT`."""
    numbered = dict(enumerate(each for each in deeds if each.since <= now))
    moments = [(deed.since, 0, number) for number, deed in numbered.items()]
    moments += [(min(deed.until, now), 1, number) for number, deed in numbered.items() if deed.sure]
    configs: dict[_Config, None] = {(ABSENT, ()): None}
    under_way: dict[int, Move] = {}
    perhaps: list[Move] = []
    for _, is_end, number in sorted(moments):
        deed = numbered[number]
        if is_end:
            if under_way.pop(number, None) is not None:
                configs = _without(configs, number)
        elif deed.sure and len(under_way) < _OPEN_MAX:
            under_way[number] = deed.move
        else:
            perhaps.append(deed.move)
        configs = _closed(configs, under_way, perhaps)
    return list(dict.fromkeys(place for place, _ in configs))


def _without(configs: Mapping[_Config, None], number: int) -> dict[_Config, None]:
    """The *configs* in which the deed *number* is done; its time is over, so it must be."""
    return {
        (place, tuple(each for each in done if each != number)): None
        for place, done in configs
        if number in done
    }


def _closed(
    configs: Mapping[_Config, None], under_way: Mapping[int, Move], perhaps: Sequence[Move]
) -> dict[_Config, None]:
    """*configs*, and all that can follow from them before another deed begins or ends."""
    found = dict(configs)
    waiting = list(configs)
    while waiting:
        place, done = waiting.pop()
        following = [(after, done) for move in perhaps for after in move(place)]
        for number, move in under_way.items():
            if number not in done:
                with_it = tuple(sorted((*done, number)))
                following += [(after, with_it) for after in move(place)]
        for config in following:
            if config not in found:
                found[config] = None
                waiting.append(config)
    return found


# --- Settings -------------------------------------------------------------------------------------


class Setting(NamedTuple, Generic[T]):
    """*value* was set between the two times; if it is not *sure*, perhaps, and after *since*."""

    value: T
    since: float
    until: float
    sure: bool = True


@dataclass(slots=True)
class Register(Generic[T]):
    """A value that is set again and again, as far as it can be known from outside."""

    initial: T
    settings: list[Setting[T]] = field(default_factory=list)

    def put(self, value: T, since: float, until: float | None) -> None:
        """It was set to *value* between the two times; if *until* is `None`, perhaps after
        *since*."""
        self.settings.append(
            Setting(value, since, math.inf if until is None else until, until is not None)
        )

    def values(self, since: float, until: float) -> list[T]:
        """All values that it can have had at some time between *since* and *until*."""
        # A setting is replaced if a later one surely began after its end and was surely over before
        # *since*.
        over = [each for each in self.settings if each.sure and each.until < since]
        last = max((each.since for each in over), default=-math.inf)
        found = [] if over else [self.initial]
        found += [
            each.value
            for each in self.settings
            if each.since <= until and not (each.sure and each.until < last)
        ]
        return found
