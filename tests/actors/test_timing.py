"""How long changes take, and what becomes of the pushes: what is timed, and what is not."""

from __future__ import annotations

import msgspec
import trio

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import a_cluster
from tests.actors.node_kit import NOW_MS
from tests.actors.user_kit import a_change, a_house, an_entry
from tocsin.actors.delivery.messages import DeviceAnswered, HeadMoved
from tocsin.actors.delivery.timing import DEPARTURES_MAX, Timing
from tocsin.actors.runtime.histogram import Histogram
from tocsin.persistence.store.commands import Publish
from tocsin.protocol.frames import frames
from tocsin.protocol.notifications.notification import Content

HELLO = Content(
    id="n1", revision=1, category="default", topic=None, created_at=1, updated_at=1,
    expires_at=None, document='{"id":"n1","title":"hello"}',
)  # fmt: skip
ACK = frames.Ack(ids=["n1"])


def seen(spread: Histogram) -> tuple[int, float]:
    """How many were observed, and their sum."""
    return spread.count, round(spread.total, 3)


async def test_a_push_and_its_acknowledgment_are_timed_from_the_departure(autojump_clock):
    async with a_house() as house:
        phone = await house.arrive()
        await house.storage.answer_attach()
        house.timing.departed("n1")
        await pass_time(0.5)
        await house.tell(a_change(1))
        await pass_time(1)
        await house.tell(DeviceAnswered(phone.connection, ACK))

        counted = house.timing.by_transport["websocket"]
        assert seen(house.timing.pushes["local"]) == (1, 0.5)
        assert seen(counted.acks) == (1, 1.5)
        assert (counted.pushes, counted.acknowledged, counted.refused) == (1, 1, 0)


async def test_a_change_of_another_node_is_timed_by_itself(autojump_clock):
    async with a_house() as house:
        await house.arrive()
        await house.storage.answer_attach()
        house.timing.departed_elsewhere("n1", trio.current_time() - 0.2)
        await house.tell(a_change(1))

        assert seen(house.timing.pushes["bus"]) == (1, 0.2)
        assert house.timing.pushes["local"].count == 0


async def test_a_push_that_is_read_by_a_device_that_is_there_is_timed_as_such(autojump_clock):
    async with a_house() as house:
        await house.arrive()
        await house.storage.answer_attach()
        house.timing.departed("n1")
        await pass_time(2)
        await house.tell(HeadMoved(1))
        await house.storage.answer_page(1)

        assert seen(house.timing.pushes["store"]) == (1, 2.0)


async def test_a_push_to_a_device_that_was_away_is_counted_and_not_timed(autojump_clock):
    async with a_house() as house:
        house.timing.departed("n1")
        await house.arrive()
        await house.storage.answer_attach(head=1)
        await house.storage.answer_page(1)

        assert house.timing.by_transport["websocket"].pushes == 1
        assert [spread.count for spread in house.timing.pushes.values()] == [0, 0, 0]


async def test_resends_and_dead_letters_have_their_causes(autojump_clock):
    async with a_house() as house:
        phone = await house.arrive()
        await house.storage.answer_attach()
        await house.tell(a_change(1))
        nack = frames.Nack("n1", "cannot show it", 1.0)
        await house.tell(DeviceAnswered(phone.connection, nack))
        await pass_time(3)
        counted = house.timing.by_transport["websocket"]
        assert (counted.refused, counted.resends_refused, counted.resends_unanswered) == (1, 1, 0)
        await pass_time(100)
        assert counted.resends_unanswered > 0
        assert counted.pushes == 1


async def test_a_nack_of_the_last_attempt_is_a_dead_letter(autojump_clock):
    async with a_house() as house:
        phone = await house.arrive()
        await house.storage.answer_attach()
        await house.tell(a_change(1))
        for _ in range(5):
            nack = frames.Nack("n1", "cannot show it", 0.0)
            await house.tell(DeviceAnswered(phone.connection, nack))
            await pass_time(0.01)
        counted = house.timing.by_transport["websocket"]
        assert (counted.dead_refused, counted.dead_unanswered) == (1, 0)


async def test_an_entry_whose_attempts_are_used_up_is_dead_of_silence(autojump_clock):
    async with a_house() as house:
        await house.arrive()
        await house.storage.answer_attach(head=1)
        used_up = msgspec.structs.replace(an_entry(1), attempts=5)
        await house.storage.answer_page_of(used_up)
        assert house.timing.by_transport["websocket"].dead_unanswered == 1


async def test_the_answer_to_a_producer_is_timed_if_the_departure_is_known(autojump_clock):
    timing = Timing()
    timing.departed("n1")
    await pass_time(0.3)
    timing.answered("n1", None, "batch")
    timing.answered("unknown", None, "batch")
    assert seen(timing.requests["batch"]) == (1, 0.3)
    assert seen(timing.requests["http"]) == (0, 0.0)


async def test_the_latest_departure_counts_and_old_ones_are_forgotten(autojump_clock):
    timing = Timing()
    timing.departed_elsewhere("n", 5.0)
    timing.departed_elsewhere("n", 4.0)
    departure = timing.find("n")
    assert departure is not None
    assert departure.at == 5.0
    for number in range(DEPARTURES_MAX):
        timing.departed(str(number))
    assert timing.find("n") is not None, "of the generation before"
    for number in range(DEPARTURES_MAX):
        timing.departed(f"later {number}")
    assert timing.find("n") is None


async def test_a_push_on_another_node_is_timed_from_the_post_by_the_clock_of_that_node(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        first, second = cluster["a"], cluster["b"]
        phone = await second.device()
        await first.ask(Publish(HELLO, ("ada",), "shop"))
        await pass_time(0.2)

        assert phone.titles == ["hello"]
        spread = second.state.timing.pushes["bus"]
        assert spread.count == 1
        assert 0.0 <= spread.total <= 0.2
        assert first.state.timing.requests["http"].count == 1


async def test_a_scheduled_notification_does_not_depart_when_it_is_posted(autojump_clock):
    async with a_cluster("a") as cluster:
        node = cluster["a"]
        await node.ask(Publish(HELLO, ("ada",), "shop", deliver_at=NOW_MS + 60_000))
        assert node.state.timing.find("n1") is None
