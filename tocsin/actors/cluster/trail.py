"""The trail: which of the users here may not have been told of a change, by its footprint.

Each transaction that writes logs leaves a footprint in the store (`store.footprints`). A look reads
those that were left since the look before, and compares: if a head is further than this node was
told, if the user joined a topic, or follows a topic with a new entry, or has other counters, then
the user is to be looked at. So a look costs by what has changed, and nothing for users who are
quiet.

Ids of transactions are in the order of their beginnings. A transaction that began before others may
commit behind them, so a look goes on not behind the last footprint that the one before has read,
but at the oldest transaction that may have been under way then. Footprints behind that are read
twice. A transaction that stays open for long makes every look read them again; beyond `PAGES_MAX`
pages all users are looked at instead, which is what looks did before there were footprints.

All users are looked at, too, whenever footprints cannot tell: at first; if the store has another
life, because ids from before mean nothing then; if footprints that this node has not read were
forgotten; and if a program wrote logs without saying which (a node of an earlier release).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

import structlog
import trio

from tocsin.actors.delivery.users import Users
from tocsin.actors.health import BusStatistics
from tocsin.actors.publishing.topics import Topics
from tocsin.persistence.store.footprints import Footprint, FootprintPage, ReadFootprints

logger = structlog.get_logger(__name__)

PAGE: Final = 100
"""Footprints in one query: some hundred KiB at most."""
PAGES_MAX: Final = 200
"""Queries of one look, after which a look at all users is cheaper."""
_HELD_MAX: Final = 60.0
"""Seconds after which an open transaction is complained of: many times longer than any of ours."""
_START: Final = -2
"""In front of the first part of a transaction."""


class TrailPlace(NamedTuple):
    """Footprints of transactions before the id *oldest*, in this *life* of the store, are known."""

    life: str | None
    oldest: int


class Found(NamedTuple):
    """The *users* to be looked at, `None` for all; then the trail may `move` to *place*."""

    users: list[str] | None
    place: TrailPlace


class Trail:
    """The footprints that this node has not read yet; *read* asks the store for a page."""

    def __init__(
        self,
        read: Callable[[ReadFootprints], Awaitable[FootprintPage]],
        users: Users,
        topics: Topics,
        statistics: BusStatistics,
    ) -> None:
        self._read = read
        self._users = users
        self._topics = topics
        self._statistics = statistics
        self._complained = False
        self._moved_at = trio.current_time()
        self.place: TrailPlace | None = None
        """Where the next look begins; `None` before the first."""

    async def follow(self) -> Found:
        """Read the footprints since the last `move`. Raises what *read* raises.

        Cancelling does no harm: the next call reads the same.
        """
        place = self.place
        after, limit = (0, 0) if place is None else (place.oldest, PAGE)
        page = first = await self._read(ReadFootprints((after, _START), limit))
        doubtful: dict[str, None] = {}
        everyone = place is None or not _goes_on(place, first)
        for number in range(PAGES_MAX):
            everyone = everyone or not self._compare(page.footprints, doubtful)
            if everyone or page.more is None:
                break
            if number == PAGES_MAX - 1:
                everyone = True
                break
            page = await self._read(ReadFootprints(page.more, PAGE))
        self._watch(first)
        users = None if everyone else list(doubtful)
        return Found(users, TrailPlace(first.life, first.oldest))

    def move(self, place: TrailPlace) -> None:
        """Begin the next look at *place*: the users that were found there have been looked at."""
        self.place = place

    def _compare(self, footprints: Iterable[Footprint | None], doubtful: dict[str, None]) -> bool:
        """Add users to *doubtful*; returns whether it is known what was written."""
        find, head_of = self._users.find, self._users.head_of
        for footprint in footprints:
            if footprint is None:
                return False
            for user, head in footprint.heads.items():
                told = head_of(user)
                # A user without a head here is just arriving, and may have read the store before.
                if (told is None or told < head) and find(user) is not None:
                    doubtful[user] = None
            for user in (*footprint.joined, *footprint.recounted):
                if find(user) is not None:
                    doubtful[user] = None
            for topic in footprint.topics:
                doubtful.update(dict.fromkeys(self._topics.users_of(topic)))
        return True

    def _watch(self, page: FootprintPage) -> None:
        """Complain of a transaction that has been under way since many looks ago."""
        now = trio.current_time()
        held = self.place is not None and page.oldest == self.place.oldest < page.newest
        if not held:
            self._moved_at, self._complained = now, False
        self._statistics.held = now - self._moved_at
        if self._statistics.held > _HELD_MAX and not self._complained:
            self._complained = True
            logger.warning(
                "transaction stays open in the database",
                seconds=round(self._statistics.held),
                effect="nodes read the same footprints again and again",
                remedy="end it; pg_stat_activity has it as the oldest backend_xid",
            )


def _goes_on(place: TrailPlace, page: FootprintPage) -> bool:
    """Whether *page* has all footprints since *place*."""
    return (
        page.life is not None
        and page.life == place.life
        and page.horizon <= place.oldest <= page.oldest
    )
