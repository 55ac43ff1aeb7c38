"""The trail: looks by footprints, and when these cannot tell."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from tests.actors.clock_kit import pass_time
from tocsin.actors.cluster.trail import PAGES_MAX, Trail, TrailPlace
from tocsin.actors.delivery.attendance import Attendance
from tocsin.actors.delivery.users import Users
from tocsin.actors.health import BusStatistics
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.world import World
from tocsin.persistence.store.footprints import Footprint, FootprintPage, ReadFootprints


class Online(Users):
    """The users *here*, with the heads that this node was told."""

    def __init__(self, **here: int | None) -> None:
        super().__init__(
            Attendance("a", World(lambda: 0, lambda: 0.5, random.randbytes)), capacity=9
        )
        self.here = here

    def names(self) -> list[str]:
        return list(self.here)

    def find(self, user: str):
        return Ref(f"/{user}", Mailbox(1)) if user in self.here else None

    def head_of(self, user: str) -> int | None:
        return self.here.get(user)


class Stage:
    """A trail, and the pages that the store gives."""

    def __init__(self, **here: int | None) -> None:
        self.users = Online(**here)
        self.topics = Topics(self.users.names)
        self.statistics = BusStatistics()
        self.pages: list[FootprintPage] = []
        self.asked: list[ReadFootprints] = []
        self.trail = Trail(self.read, self.users, self.topics, self.statistics)

    async def read(self, query: ReadFootprints) -> FootprintPage:
        self.asked.append(query)
        return self.pages[0] if len(self.pages) == 1 else self.pages.pop(0)

    async def look(self, *footprints: Footprint | None, **more: object) -> Sequence[str] | None:
        """Look at *footprints*, and move on."""
        self.pages = [a_page(*footprints, **more)]
        found = await self.trail.follow()
        self.trail.move(found.place)
        return found.users


def a_page(*footprints: Footprint | None, **more: object) -> FootprintPage:
    page = FootprintPage(life="life", horizon=0, oldest=100, newest=100, footprints=footprints)
    return structs.replace(page, **more)


@pytest.fixture
async def stage() -> Stage:
    """Three users, one of whom has just arrived, at a trail that has begun."""
    stage = Stage(ann=5, bob=7, new=None)
    assert await stage.look() is None  # the first look is at all users
    return stage


async def test_nothing_new_concerns_no_user(stage):
    assert await stage.look() == []


async def test_a_head_that_this_node_was_not_told_of_concerns_its_user(stage):
    assert await stage.look(Footprint(heads={"ann": 6, "bob": 7, "away": 3})) == ["ann"]


async def test_a_user_who_is_arriving_may_have_read_the_store_before(stage):
    assert await stage.look(Footprint(heads={"new": 1})) == ["new"]


async def test_a_user_who_joined_and_those_in_a_topic_with_a_new_entry_are_looked_at(stage):
    stage.topics.present("bob", ["news"])
    assert await stage.look(Footprint(joined=("ann", "away"))) == ["ann"]
    assert await stage.look(Footprint(topics=("news", "other"))) == ["bob"]
    assert await stage.look(Footprint(topics=("*",))) == ["ann", "bob", "new"]


async def test_a_user_whose_counters_changed_is_looked_at(stage):
    assert await stage.look(Footprint(recounted=("ann", "away"))) == ["ann"]


async def test_a_look_goes_on_at_the_oldest_transaction_that_was_under_way(stage):
    await stage.look(oldest=120, newest=150)
    await stage.look(oldest=160, newest=160)

    assert [query.after[0] for query in stage.asked[1:]] == [100, 120]


async def test_a_look_reads_all_pages_and_goes_on_where_the_first_one_says(stage):
    late = Footprint(heads={"ann": 6})
    stage.pages = [
        a_page(more=(110, 0), oldest=120, newest=120),
        a_page(late, more=(112, 1), oldest=130, newest=130),
        a_page(oldest=140, newest=140),
    ]
    found = await stage.trail.follow()

    assert (found.users, found.place) == (["ann"], TrailPlace("life", 120))
    assert [query.after for query in stage.asked[-2:]] == [(110, 0), (112, 1)]


async def test_a_look_that_is_not_moved_behind_is_repeated(stage):
    stage.pages = [a_page(Footprint(heads={"ann": 6}), oldest=120, newest=120)]
    first = await stage.trail.follow()
    again = await stage.trail.follow()

    assert first == again
    assert stage.asked[-1] == stage.asked[-2]


@pytest.mark.parametrize(
    "more",
    [
        {"life": "another"},
        {"life": None},
        {"horizon": 101, "oldest": 120},
        {"oldest": 99},
        {"footprints": (None,)},
    ],
    ids=["another life", "no life", "forgotten", "an id of before", "unknown"],
)
async def test_all_users_are_looked_at_where_footprints_cannot_tell(stage, more):
    assert await stage.look(**more) is None


async def test_all_users_are_looked_at_where_that_is_cheaper(stage):
    assert await stage.look(more=(110, 0)) is None
    assert len(stage.asked) == 1 + PAGES_MAX


async def test_a_transaction_that_stays_open_is_complained_of_once(autojump_clock):
    stage = Stage(ann=5)
    await stage.look()
    with capture_logs() as logs:
        for _ in range(10):
            await stage.look(newest=200)
            await pass_time(15)
        assert stage.statistics.held > 60
        await stage.look(oldest=200, newest=200)

    assert [log["event"] for log in logs] == ["transaction stays open in the database"]
    assert stage.statistics.held == 0


async def test_a_store_in_which_nothing_happens_is_not_complained_of(autojump_clock):
    stage = Stage(ann=5)
    with capture_logs() as logs:
        for _ in range(10):
            await stage.look()
            await pass_time(15)

    assert logs == []
