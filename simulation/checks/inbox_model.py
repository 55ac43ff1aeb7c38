"""What can have become of one notification with one user, by what was asked and what was answered.

Nothing here knows a store, a clock or a cluster: a *deed* is something that was asked for, with the
times between which it was done, if it was. Deeds whose times overlap may have been done in any
order; what nobody was told of may have been done at any time, or not at all. So the answer is not
one place but all that are possible: small enough to convict, and never too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

_OPEN_MAX: Final = 6
"""Deeds at one time that are taken to be done each once: more are taken to be done perhaps."""


class Place(NamedTuple):
    """How a notification stands with a user: its state, and how it ended there, if it has.

    *state* is `absent` before it has come; *end* is `expired` or `purged`, or `called off` where it
    never comes.
    """

    state: str
    end: str = ""


ABSENT: Final = Place("absent")
UNSEEN: Final = Place("unseen")

Move = Callable[[Place], Sequence[Place]]
"""What may become of a place when a deed is done."""


class Deed(NamedTuple):
    """*move* is done once between *since* and *until*, in seconds; but if it is not *sure*, it may
    be done any number of times from *since* on, or never.
    """

    since: float
    until: float
    move: Move
    sure: bool = True


# --- What there is to do --------------------------------------------------------------------------

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
"""Only where it is named by its id."""


def arrives(place: Place) -> Sequence[Place]:
    """It is published; to whom has it already, or had it, as if for the first time."""
    return (place,) if place.end == "called off" else (UNSEEN,)


def marked(mark: str, *, by_id: bool) -> Move:
    """The user marks it; what has ended cannot be marked."""

    def mark_it(place: Place) -> Sequence[Place]:
        state = _MARKED.get((place.state, mark))
        if state is None and by_id:
            state = _BROUGHT_BACK.get((place.state, mark))
        return (place,) if state is None or place.end else (Place(state),)

    return mark_it


def withdrawn(*, of_topic: bool) -> Move:
    """Its producer withdraws it; who was not brought it from its topic by then is never told."""

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
    """Its time is over; what was withdrawn before stays so."""

    def expire(place: Place) -> Sequence[Place]:
        if place.end or place.state in ("absent", "withdrawn"):
            return (place,)
        over = Place(place.state, "expired")
        return (over, ABSENT) if of_topic else (over,)

    return expire


def purged(*, state: str | None = None, end: str | None = None) -> Move:
    """What is old is forgotten: all of it, or only in a *state*, or only what has come to an *end*.

    A state that is forgotten is remembered here: it is what a device that was told of it shows.
    """

    def purge(place: Place) -> Sequence[Place]:
        concerned = (
            place.state != "absent" and state in (None, place.state) and end in (None, place.end)
        )
        return (Place(place.state, "purged"),) if concerned else (place,)

    return purge


def revived(place: Place) -> Sequence[Place]:
    """Its dead letter is delivered once more: what had expired lives again."""
    return (Place(place.state),) if place.end == "expired" else (place,)


# --- What can have come of it ---------------------------------------------------------------------

_Config = tuple[Place, tuple[int, ...]]
"""A place, and which of the deeds that are under way have been done (their numbers, sorted)."""


def possible(deeds: Iterable[Deed], now: float = math.inf) -> list[Place]:
    """All places in which *deeds* can have left a notification by *now*, from `ABSENT` on."""
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
    """Those in which the deed *number* has been done, for it has been."""
    return {
        (place, tuple(each for each in done if each != number)): None
        for place, done in configs
        if number in done
    }


def _closed(
    configs: Mapping[_Config, None], under_way: Mapping[int, Move], perhaps: Sequence[Move]
) -> dict[_Config, None]:
    """*configs*, and all that can come of them before anything else begins or is over."""
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


# --- What was set, and may be so ------------------------------------------------------------------


class Setting(NamedTuple, Generic[T]):
    """*value* was set between two times; if it is not *sure*, perhaps, at any time from then."""

    value: T
    since: float
    until: float
    sure: bool = True


@dataclass(slots=True)
class Register(Generic[T]):
    """Something that is set again and again, as far as it can be known from outside."""

    initial: T
    settings: list[Setting[T]] = field(default_factory=list)

    def put(self, value: T, since: float, until: float | None) -> None:
        """It was set to *value* between two times; or, until `None`, may have been."""
        self.settings.append(
            Setting(value, since, math.inf if until is None else until, until is not None)
        )

    def values(self, since: float, until: float) -> list[T]:
        """All that it can have been at any time between *since* and *until*."""
        # What was surely over when another was begun, that was over by then, is no more.
        over = [each for each in self.settings if each.sure and each.until < since]
        last = max((each.since for each in over), default=-math.inf)
        found = [] if over else [self.initial]
        found += [
            each.value
            for each in self.settings
            if each.since <= until and not (each.sure and each.until < last)
        ]
        return found
