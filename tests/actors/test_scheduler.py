"""The scheduler: what is due is done in time, what is old is forgotten, and never in a hurry."""

from contextlib import asynccontextmanager
from typing import Any

import trio

from tests.actors.clock_kit import pass_time, settle
from tests.persistence.desk_kit import content
from tocsin.actors.publishing.scheduler import (
    ExpiryKnown,
    ReleaseKnown,
    Scheduler,
    StoreBack,
    Upkeep,
)
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import Actor, open_supervisor
from tocsin.actors.storage.requests import Write
from tocsin.actors.world import World
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import Changed
from tocsin.persistence.store.upkeep_commands import (
    Expire,
    Expired,
    Purge,
    Purged,
    Release,
    Released,
)

EPOCH_MS = 1_700_000_000_000
DAY = 86_400
UPKEEP = Upkeep(
    idempotency=DAY,
    notifications=90 * DAY,
    archived=30 * DAY,
    expired=7 * DAY,
    dead_letters=True,
    receipts=7 * DAY,
)


def now_ms() -> int:
    return EPOCH_MS + int(trio.current_time() * 1000)


def at(seconds: float) -> int:
    return EPOCH_MS + round(seconds * 1000)


class Calendar(Actor[Any]):
    """Stands in for storage: knows when what expires, and notes what was asked when."""

    def __init__(self) -> None:
        self.due: list[int] = []
        self.expiries: list[float] = []
        self.expired: list[tuple[int, float]] = []
        self.purges: list[tuple[Purge, float]] = []
        self.scheduled: list[int] = []
        self.released: list[tuple[int, float]] = []
        self.to_purge = 0
        self.slices = 1
        self.lifetime: float | None = None
        self.error: Exception | None = None
        self.expire_error: Exception | None = None
        self.stuck = False
        self.latency = 0.0

    async def receive(self, message: Any) -> None:
        assert isinstance(message, Write)
        await pass_time(self.latency)
        command = message.command
        if isinstance(command, Expire):
            self.expiries.append(trio.current_time())
        error = self.error or (self.expire_error if isinstance(command, Expire) else None)
        if error is not None:
            message.reply.fail(error)
        elif isinstance(command, Expire):
            message.reply.set(self._expire(command))
        elif isinstance(command, Release):
            message.reply.set(self._release(command))
        elif isinstance(command, Purge):
            self.purges.append((command, trio.current_time()))
            rows = min(self.to_purge, command.limit)
            self.to_purge -= rows
            places = [("u", str(number)) for number in range(self.slices - 1)]
            place = places.index(command.devices_after) + 1 if command.devices_after[0] else 0
            through = places[place] if place < len(places) else None
            message.reply.set(Purged(rows, more=self.to_purge > 0, devices_through=through))

    def _expire(self, command: Expire) -> Expired:
        ripe = [] if self.stuck else [due for due in self.due if due <= command.now_ms]
        for due in ripe[: command.limit]:
            self.due.remove(due)
            self.expired.append((due, trio.current_time()))
        return Expired(min(len(ripe), command.limit), min(self.due, default=None))

    def _release(self, command: Release) -> Released:
        ripe = sorted(due for due in self.scheduled if due <= command.now_ms)[: command.limit]
        changes = []
        for due in ripe:
            self.scheduled.remove(due)
            self.released.append((due, trio.current_time()))
            expires_at = None if self.lifetime is None else due + round(self.lifetime * 1000)
            if expires_at is not None:
                self.due.append(expires_at)
            changes.append(Changed(content(expires_at=expires_at), (), "active", 1))
        return Released(tuple(changes), min(self.scheduled, default=None))


@asynccontextmanager
async def scheduled(calendar: Calendar):
    world = World(now_ms, lambda: 0.0, bytes)
    async with open_supervisor("", lambda: 0.0) as tree:
        storage = tree.spawn("storage", lambda: calendar)
        scheduler: Ref[Any] = tree.spawn("scheduler", lambda: Scheduler(storage, world, UPKEEP))
        yield scheduler
        await tree.stop(5)


async def test_notifications_in_the_store_are_expired_when_due(autojump_clock):
    calendar = Calendar()
    calendar.due = [at(10), at(10.5), at(200)]
    async with scheduled(calendar):
        await pass_time(250)
    assert [due for due, _ in calendar.expired] == [at(10), at(10.5), at(200)]
    for due, when in calendar.expired:
        assert 0 <= when - (due - EPOCH_MS) / 1000 < 0.15


async def test_a_sooner_expiry_brings_the_next_look_forward(autojump_clock):
    calendar = Calendar()
    calendar.due = [at(200)]
    async with scheduled(calendar) as scheduler:
        await pass_time(20)
        calendar.due.append(at(30))
        scheduler.tell(ExpiryKnown(at(30)))
        await pass_time(11)
        assert [due for due, _ in calendar.expired] == [at(30)]


async def test_a_later_expiry_changes_nothing(autojump_clock):
    calendar = Calendar()
    calendar.due = [at(30)]
    async with scheduled(calendar) as scheduler:
        await pass_time(20)
        scheduler.tell(ExpiryKnown(at(100)))
        await pass_time(11)
        assert [due for due, _ in calendar.expired] == [at(30)]


async def test_more_than_one_transaction_may_hold_is_expired_in_several(autojump_clock):
    calendar = Calendar()
    calendar.due = [at(10)] * 1200
    async with scheduled(calendar):
        await pass_time(11)
    assert len(calendar.expired) == 1200
    assert len(calendar.expiries) == 1 + 3


async def test_a_node_that_is_told_nothing_looks_every_fifteen_seconds(autojump_clock):
    calendar = Calendar()
    async with scheduled(calendar):
        await pass_time(3650)
    assert calendar.expiries == list(range(0, 3651, 15))


async def test_the_purge_runs_every_ten_minutes(autojump_clock):
    calendar = Calendar()
    async with scheduled(calendar):
        await pass_time(1300)
    assert [when for _, when in calendar.purges] == [0, 600, 1200]
    purge, when = calendar.purges[2]
    assert purge == Purge(
        idempotency_before=at(when - DAY),
        tickets_before=at(when),
        archived_before=at(when - 30 * DAY),
        expired_before=at(when - 7 * DAY),
        created_before=at(when - 90 * DAY),
        removed_before=at(when - 600),
        receipts_before=at(when - 7 * DAY),
        limit=1000,
    )


async def test_more_old_rows_than_one_transaction_may_hold_are_forgotten_in_several(autojump_clock):
    calendar = Calendar()
    calendar.to_purge = 2500
    async with scheduled(calendar):
        await pass_time(5)
    assert [calendar.to_purge, len(calendar.purges)] == [0, 3]


async def test_devices_are_gone_through_slice_by_slice_and_then_from_the_first_again(
    autojump_clock,
):
    calendar = Calendar()
    calendar.slices = 3
    async with scheduled(calendar):
        await pass_time(605)
    assert [(purge.devices_after, round(when)) for purge, when in calendar.purges] == [
        (("", ""), 0),
        (("u", "0"), 2),
        (("u", "1"), 4),
        (("", ""), 604),
    ]


async def test_scheduled_notifications_are_published_when_due(autojump_clock):
    calendar = Calendar()
    calendar.scheduled = [at(10), at(400)]
    async with scheduled(calendar) as scheduler:
        await pass_time(20)
        calendar.scheduled.append(at(30))
        scheduler.tell(ReleaseKnown(at(30)))
        await pass_time(400)
    assert [due for due, _ in calendar.released] == [at(10), at(30), at(400)]
    for due, when in calendar.released:
        assert 0 <= when - (due - EPOCH_MS) / 1000 < 0.15


async def test_a_notification_published_late_expires_in_time_all_the_same(autojump_clock):
    calendar = Calendar()
    calendar.scheduled = [at(10)]
    calendar.lifetime = 5
    async with scheduled(calendar):
        await pass_time(16)
    assert [due for due, _ in calendar.expired] == [at(15)]


async def test_many_that_are_due_at_once_are_published_in_several_transactions(autojump_clock):
    calendar = Calendar()
    calendar.scheduled = [at(10)] * 250
    async with scheduled(calendar):
        await pass_time(11)
    assert len(calendar.released) == 250


async def test_while_the_store_is_away_it_is_asked_every_few_seconds(autojump_clock):
    calendar = Calendar()
    calendar.due = [at(3)]
    calendar.error = StoreUnavailable("away")
    async with scheduled(calendar):
        await pass_time(61)
        assert len(calendar.expiries) <= 13
        calendar.error = None
        await pass_time(5)
        assert [due for due, _ in calendar.expired] == [at(3)]
        assert len(calendar.purges) == 1


async def test_due_work_is_done_as_soon_as_the_store_is_there(autojump_clock):
    calendar = Calendar()
    calendar.due, calendar.scheduled = [at(0.2), at(3)], [at(0.3)]
    calendar.error = StoreUnavailable("starting")
    async with scheduled(calendar) as scheduler:
        await pass_time(1)
        calendar.error = None
        scheduler.tell(StoreBack())
        await pass_time(0.01)

        assert [due for due, _ in calendar.expired] == [at(0.2)]
        assert [due for due, _ in calendar.released] == [at(0.3)]
        assert len(calendar.purges) == 1
        await pass_time(2.1)
        assert [due for due, _ in calendar.expired] == [at(0.2), at(3)]


async def test_an_expiry_that_fails_does_not_keep_the_purge_from_its_turn(autojump_clock):
    calendar = Calendar()
    calendar.expire_error = StoreFailed("poison")
    async with scheduled(calendar):
        await pass_time(61)
    assert len(calendar.purges) == 1
    assert len(calendar.expiries) <= 13


async def test_a_due_notification_that_does_not_expire_is_not_asked_for_without_end(autojump_clock):
    calendar = Calendar()
    calendar.due = [at(1)]
    calendar.stuck = True
    async with scheduled(calendar):
        await pass_time(11)
    assert len(calendar.expiries) <= 102


async def test_it_outlives_the_storage_actor(autojump_clock):
    calendar = Calendar()
    world = World(now_ms, lambda: 0.0, bytes)
    async with open_supervisor("", lambda: 0.0) as tree:
        storage = tree.spawn("storage", lambda: calendar)
        tree.spawn("scheduler", lambda: Scheduler(storage, world, UPKEEP))
        await settle()
        await tree.stop_child("storage", 1)
        await pass_time(1000)
        assert next(tree.snapshot(1)).restarts == 0
        await tree.stop(1)


async def test_an_expiry_known_while_the_store_is_slow_is_not_forgotten(autojump_clock):
    calendar = Calendar()
    calendar.latency = 2.0
    async with scheduled(calendar) as scheduler:
        await pass_time(1)
        for _ in range(10):
            calendar.due.append(at(20))
            scheduler.tell(ExpiryKnown(at(20)))
        await pass_time(25)
        assert len(calendar.expired) == 10
