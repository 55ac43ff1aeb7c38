"""A connector: each message becomes one notification or one letter, whatever happens to it."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import trio

from tests.server.ingest.ingest_kit import WAIT, open_desk, until
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.persistence.brokers.memory import MemoryQueue
from tocsin.persistence.source import SourceAway, SourceRefused
from tocsin.persistence.store.ingest_commands import (
    ConnectorOrders,
    SetConnector,
)
from tocsin.server.connector_status import Connectors, IngestState
from tocsin.server.ingest.children import connector_children

BODY = b'{"to":{"users":["ada"]},"title":"x"}'
BODY_OF_ADS = b'{"to":{"users":["ada"]},"title":"x","category":"ads"}'


async def test_messages_become_notifications_in_their_order(tmp_path):
    async with open_desk(tmp_path) as desk:
        for number in range(300):
            desk.post(str(number))
        await desk.emptied()
        assert await desk.titles() == [str(number) for number in range(300)]
        counters = desk.connector.counters
        assert (counters.taken, counters.accepted, counters.refused) == (300, 300, 0)
        await until(lambda: desk.connector.state is IngestState.IDLE)
    assert desk.connector.state is IngestState.STOPPED


async def test_a_message_that_comes_again_is_not_posted_again(tmp_path):
    async with open_desk(tmp_path) as desk:
        for _ in range(3):
            desk.post("once", headers={"idempotency-key": "k1"})
        await desk.emptied()
        assert await desk.titles() == ["once"]
        assert desk.connector.counters.replayed == 2


async def test_a_message_without_a_key_is_counted(tmp_path):
    async with open_desk(tmp_path) as desk:
        desk.post("a", keyed=False)
        await desk.emptied()
        assert desk.connector.counters.unkeyed == 1


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        pytest.param(b"", {}, "malformed", id="empty"),
        pytest.param(b"null", {}, "invalid", id="null"),
        pytest.param(b"\xff\0", {}, "malformed", id="bytes"),
        pytest.param(b"[" * 100_000, {}, "invalid", id="deep"),
        pytest.param(b'{"to":{"users":["ada"]},"titel":"x"}', {}, "invalid", id="unknown-field"),
        pytest.param(BODY, {"idempotency-key": "a b"}, "invalid", id="key"),
        pytest.param(
            BODY,
            {"tocsin-action": "eat"},
            "invalid",
            id="action",
        ),
        pytest.param(b'{"title":"x"}', {"tocsin-action": "update"}, "invalid", id="no-id"),
        pytest.param(
            b'{"title":"x"}', {"tocsin-action": "update", "tocsin-id": "7"}, "invalid", id="bad-id"
        ),
        pytest.param(BODY_OF_ADS, {}, "forbidden", id="category"),
        pytest.param(b" " * (2 << 20), {}, "too_large", id="large"),
    ],
)
async def test_poison_becomes_a_letter_and_stops_nothing(tmp_path, body, headers, code):
    async with open_desk(tmp_path, categories=frozenset({"default"})) as desk:
        desk.post("before")
        desk.queue.put(body, headers)
        desk.post("after")
        await desk.emptied()
        assert await desk.titles() == ["before", "after"]
        assert await desk.problems() == [code]
        [letter] = await desk.letters()
        assert (letter.connector, dict(letter.headers)) == ("orders", headers)


async def test_a_key_that_means_something_else_becomes_a_letter(tmp_path):
    async with open_desk(tmp_path) as desk:
        desk.post("first", headers={"idempotency-key": "k1"})
        desk.post("second", headers={"idempotency-key": "k1"})
        await desk.emptied()
        assert await desk.titles() == ["first"]
        assert await desk.problems() == ["idempotency_key_reused"]


async def test_a_broker_message_that_waited_too_long_becomes_a_letter(tmp_path):
    now_ms = time.time_ns() // 1_000_000
    async with open_desk(tmp_path, age_max=60.0) as desk:
        desk.post("old", at=now_ms - 61_000)
        desk.post("new", at=now_ms - 1000)
        desk.post("of no time")
        desk.post("of the future", at=now_ms + 10**9)
        await desk.emptied()
        assert await desk.titles() == ["new", "of no time", "of the future"]
        assert await desk.problems() == ["too_old"]


async def test_a_post_that_expired_in_its_queue_is_stored_and_never_delivered(tmp_path):
    now_ms = time.time_ns() // 1_000_000
    async with open_desk(tmp_path) as desk:
        desk.post("stale", ttl=60, at=now_ms - 61_000)
        desk.post("fresh", ttl=60, at=now_ms - 1000)
        await desk.emptied()
        assert await desk.titles() == ["fresh"]
        assert desk.connector.counters.accepted == 2


async def test_a_message_can_change_and_withdraw_a_notification(tmp_path):
    async with open_desk(tmp_path) as desk:
        desk.post("first")
        await desk.emptied()
        [id_] = await desk.ids()
        desk.queue.put(b'{"title":"second"}', {"tocsin-action": "update", "tocsin-id": id_})
        await desk.emptied()
        assert await desk.titles() == ["second"]
        desk.queue.put(b"", {"tocsin-action": "withdraw", "tocsin-id": id_})
        await desk.emptied()
        view = await desk.view(id_)
        assert view.standing == "withdrawn"


async def test_a_change_that_comes_again_is_done_once(tmp_path):
    async with open_desk(tmp_path) as desk:
        desk.post("first")
        await desk.emptied()
        [id_] = await desk.ids()
        headers = {"tocsin-action": "update", "tocsin-id": id_, "idempotency-key": "c1"}
        for _ in range(3):
            desk.queue.put(b'{"title":"second"}', headers)
        await desk.emptied()
        view = await desk.view(id_)
        assert view.content.revision == 2


async def test_a_batch_that_is_cut_off_is_taken_again_and_posted_once(tmp_path):
    async with open_desk(tmp_path, batch=10) as desk:
        for number in range(100):
            desk.post(str(number))
            if number % 10 == 9:
                desk.queue.cut()
                await trio.sleep(0.01)  # waits for: a batch to be taken, or half of one
        await desk.emptied()
        # Messages stored before the cut are told as repetitions to the batch that comes again.
        counters = desk.connector.counters
        assert counters.accepted <= 100 <= counters.accepted + counters.replayed
        assert await desk.titles() == [str(number) for number in range(100)]


async def test_a_broker_that_is_away_is_tried_again(tmp_path):
    queue = MemoryQueue()
    queue.error = SourceAway("nobody answers")
    async with open_desk(tmp_path, queue=queue) as desk:
        await until(lambda: desk.connector.state is IngestState.AWAY)
        assert (desk.connector.reason, desk.connector.is_healthy) == ("nobody answers", False)
        desk.post("x")
        queue.error = None
        await desk.emptied()


@pytest.mark.parametrize(
    ("error", "state"),
    [(SourceRefused("no queue"), IngestState.REFUSED), (KeyError("bug"), IngestState.FAILED)],
)
async def test_a_fault_for_an_operator_is_reported_and_the_connector_stops_in_time(
    tmp_path, error, state
):
    queue = MemoryQueue()
    queue.error = error
    async with open_desk(tmp_path, queue=queue) as desk:
        await until(lambda: desk.connector.state is state)
        assert not desk.connector.is_healthy
        began = trio.current_time()
    assert trio.current_time() - began < WAIT / 2


async def test_two_connectors_of_an_ordered_queue_take_one_after_the_other(tmp_path):
    async with open_desk(tmp_path) as desk:
        await until(lambda: desk.connector.state is IngestState.IDLE)
        (tmp_path / "b").mkdir()
        async with open_desk(tmp_path / "b", queue=desk.queue) as other:
            await until(lambda: other.connector.state is IngestState.ELSEWHERE)
            assert other.connector.is_healthy


async def test_a_paused_connector_takes_nothing_until_it_is_resumed(tmp_path):
    async with open_desk(tmp_path, running=False) as desk:
        await desk.services.write(SetConnector("orders", ConnectorOrders(paused_at=1)))
        async with desk.run():
            await until(lambda: desk.connector.state is IngestState.PAUSED)
            desk.post("x")
            await trio.sleep(0.2)  # waits for: a batch that must not be taken
            assert len(desk.queue) == 1
            await desk.services.write(SetConnector("orders", ConnectorOrders()))
            await desk.emptied()
        assert await desk.titles() == ["x"]


async def test_while_the_store_is_away_nothing_is_taken(tmp_path):
    async with open_desk(tmp_path, running=False) as desk:
        desk.services.status.available = False
        async with desk.run():
            desk.post("x")
            await until(lambda: desk.connector.state is IngestState.HELD)
            assert desk.connector.counters.taken == 0
            desk.services.status.available = True
            await desk.emptied()


async def test_letters_are_kept_whole_up_to_a_bound(tmp_path):
    async with open_desk(tmp_path) as desk:
        desk.queue.put(b"\0" + b"x" * 100_000, {"correlation-id": "c\0"})
        await desk.emptied()
        [letter] = await desk.letters()
        assert letter.cut
        assert letter.correlation == "c\ufffd"
        assert json.loads(letter.problem)["status"] == 400


async def test_a_connector_that_crashes_again_and_again_ends_nothing_and_is_shown(tmp_path):
    queue = MemoryQueue()
    queue.error = SourceAway("gone")
    async with open_desk(tmp_path, queue=queue, running=False) as desk:
        crashes = 0

        def random() -> float:
            nonlocal crashes
            if queue.error is not None:
                crashes += 1
                raise ZeroDivisionError
            return 0.5

        connectors = Connectors([desk.connector.terms])
        [child] = connector_children(connectors, desk.services, random)
        [shown] = connectors.all
        hasty = replace(child.policy, delay_initial=0.001, delay_max=0.001)
        async with open_supervisor("", lambda: 0.0) as tree:
            tree.spawn(child.name, child.factory, policy=hasty)
            await until(lambda: crashes > 20)
            assert (shown.state, shown.is_healthy) == (IngestState.FAILED, False)
            queue.error = None
            desk.post("at last")
            await desk.emptied()
            assert await desk.titles() == ["at last"]
            await tree.stop(5.0)
