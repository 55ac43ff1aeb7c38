"""The list of a worker's tasks, in a table that outlives the worker."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkList(Generic[K]):
    """Keys in the order in which they were added, each once; one worker takes and does them.

    A key that was taken stays on the list until it is `done`: if the worker fails with it in hand,
    the next incarnation takes it again. A key that is added while it is in hand is to be done once
    more.
    """

    __slots__ = ("_in_hand", "_waiting")

    def __init__(self) -> None:
        # A dictionary for its order, which is the same in every run.
        self._waiting: dict[K, None] = {}
        self._in_hand: tuple[K, ...] = ()

    def add(self, keys: Iterable[K]) -> None:
        """*keys* are to be done, behind those that wait already."""
        self._waiting.update(dict.fromkeys(keys))

    def take(self, count_max: int | None = None) -> tuple[K, ...]:
        """The first keys, *count_max* at most; those taken before and not done wait behind all."""
        self.done(self._in_hand)
        self._in_hand = tuple(islice(self._waiting, count_max))
        for key in self._in_hand:
            del self._waiting[key]
        return self._in_hand

    def done(self, left: Iterable[K] = ()) -> None:
        """The keys in hand are done, apart from *left*, which wait again, behind all others."""
        self._in_hand = ()
        self.add(left)

    def clear(self) -> None:
        """Nothing is to be done any more."""
        self._waiting.clear()
        self._in_hand = ()

    def __iter__(self) -> Iterator[K]:
        """All that is not done: in hand, then waiting."""
        return iter(dict.fromkeys((*self._in_hand, *self._waiting)))

    def __len__(self) -> int:
        """How many are not done; one that came again while it is in hand counts twice."""
        return len(self._in_hand) + len(self._waiting)
