"""Escalation on nodes: once whoever claims, after what dies, and not after an acknowledgment."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tests.actors.clock_kit import pass_time
from tests.actors.escalation_stage_kit import ScriptedCarrier, open_scene
from tests.persistence.desk_kit import START_OF_TIME
from tocsin.protocol.channels.carrying import (
    Accepted,
    AddressGone,
    ChannelDown,
    Rejected,
    TryLater,
)
from tocsin.protocol.channels.escalation import EscalationStep
from tocsin.protocol.channels.send_retry import LEASE, RETRY_DELAYS

IN_A_MINUTE = (EscalationStep(after=60, channel="email"),)


async def test_a_step_is_carried_when_it_is_due(autojump_clock):
    carrier = ScriptedCarrier()
    async with open_scene() as scene:
        await scene.node(carrier)
        made = await scene.post("ada", plan=IN_A_MINUTE)
        await pass_time(59)
        assert carrier.carried == []
        await pass_time(20)

        [(at, parcel)] = carrier.carried
        assert 60 <= at < 76
        assert (parcel.user, parcel.value) == ("ada", "ada@example.org")
        assert await scene.states(made) == ["sent"]


async def test_an_acknowledgment_that_lingers_here_stops_the_step(autojump_clock):
    carrier = ScriptedCarrier()
    async with open_scene() as scene:
        node = await scene.node(carrier)
        made = await scene.post("ada", "bob", plan=IN_A_MINUTE)
        await pass_time(59.9)
        node.acknowledge("ada", made)
        await pass_time(30)

        assert carrier.users == ["bob"]


async def test_a_send_satisfied_between_due_and_claim_is_not_carried(autojump_clock):
    carrier = ScriptedCarrier(lambda parcel: 5.0)
    async with open_scene() as scene:
        node = await scene.node(carrier, concurrency=1)
        users = [f"u{number}" for number in range(8)]
        made = await scene.post(*users)
        node.look()
        await pass_time(2)
        node.acknowledge("u7", made)
        await pass_time(120)

        states = await scene.sends(made)
        assert {each.user: each.state for each in states}["u7"] in ("moot", "sent")
        assert sorted(carrier.users) == sorted(each.user for each in states if each.state == "sent")
        assert Counter(each.state for each in states)["moot"] == 1


async def test_two_nodes_carry_each_send_once(autojump_clock):
    carriers = [ScriptedCarrier(lambda parcel: 1.0), ScriptedCarrier(lambda parcel: 1.0)]
    async with open_scene() as scene:
        nodes = [await scene.node(each) for each in carriers]
        users = [f"u{number:03}" for number in range(300)]
        made = await scene.post(*users)
        for node in nodes:
            node.look()
        await pass_time(120)

        assert sorted(carriers[0].users + carriers[1].users) == users
        assert all(each.users for each in carriers)
        assert set(await scene.states(made)) == {"sent"}


async def test_a_quick_channel_is_given_many_sends_at_a_claim(autojump_clock):
    carrier = ScriptedCarrier(lambda parcel: 0.002)
    async with open_scene() as scene:
        node = await scene.node(carrier, concurrency=2)
        made = await scene.post(*(f"u{number:03}" for number in range(400)))
        before = scene.store.statements_run
        node.look()
        await pass_time(30)

        assert set(await scene.states(made)) == {"sent"}
        # 904 of them; one by one, it would be 1 623.
        assert scene.store.statements_run - before < 1200
        assert carrier.under_way_max == 2


async def test_a_send_that_waited_too_long_for_its_turn_is_given_back_and_sent_once(autojump_clock):
    """The carriers were quick, so much was claimed; then they hang for as long as they may."""
    carrier = ScriptedCarrier(lambda parcel: 0.002 if len(carrier.carried) < 300 else 14.0)
    async with open_scene() as scene:
        node = await scene.node(carrier, concurrency=2)
        users = [f"u{number:03}" for number in range(330)]
        made = await scene.post(*users)
        node.look()
        await pass_time(5)
        other = ScriptedCarrier()
        (await scene.node(other)).look()
        await pass_time(300)

        assert sorted(carrier.users + other.users) == users
        assert other.users, "nothing was given back"
        assert set(await scene.states(made)) == {"sent"}
        assert {each.attempts for each in await scene.sends(made)} == {1}


async def test_a_node_that_dies_leaves_its_sends_to_another(autojump_clock):
    dying, living = ScriptedCarrier(lambda parcel: 10.0), ScriptedCarrier()
    async with open_scene() as scene:
        node = await scene.node(dying)
        users = [f"u{number:02}" for number in range(20)]
        made = await scene.post(*users)
        node.look()
        await pass_time(1)
        other = await scene.node(living)
        node.kill()
        other.look()
        await pass_time(LEASE - 10)
        claimed = len(users) - len(living.users)
        assert claimed > 0
        await pass_time(30)

        # Each person has it; only what the dead node had in hand may have gone twice.
        assert sorted(living.users) == users
        assert set(dying.users) <= set(users)
        assert set(await scene.states(made)) == {"sent"}
        attempts = Counter(each.attempts for each in await scene.sends(made))
        assert attempts == {1: len(users) - claimed, 2: claimed}


async def test_a_send_that_fails_is_tried_again_at_its_times_and_given_up(autojump_clock):
    carrier = ScriptedCarrier(lambda parcel: TryLater("451 later"))
    async with open_scene() as scene:
        node = await scene.node(carrier)
        made = await scene.post("ada")
        node.look()
        await pass_time(sum(RETRY_DELAYS) + 60)

        times = [at for at, _ in carrier.carried]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert [round(pause) for pause in pauses] == [round(delay) for delay in RETRY_DELAYS]
        [send] = await scene.sends(made)
        assert (send.state, send.attempts, send.reason) == ("dead", 6, "451 later")


async def test_no_more_parcels_are_carried_at_a_time_than_the_channel_takes(autojump_clock):
    carrier = ScriptedCarrier(lambda parcel: 1.0)
    async with open_scene() as scene:
        node = await scene.node(carrier, concurrency=3)
        made = await scene.post(*(f"u{number:02}" for number in range(20)))
        node.look()
        await pass_time(60)

        assert carrier.under_way_max == 3
        assert set(await scene.states(made)) == {"sent"}


async def test_a_channel_that_is_down_is_paused_and_probed_by_one(autojump_clock):
    down = [True]
    carrier = ScriptedCarrier(lambda parcel: ChannelDown("refused") if down[0] else Accepted())
    async with open_scene() as scene:
        node = await scene.node(carrier, concurrency=2)
        made = await scene.post(*(f"u{number:02}" for number in range(10)))
        node.look()
        await pass_time(100)
        seen = [node.line.state]
        # Two at the start, and then one each at growing pauses.
        tried = len(carrier.carried)
        assert tried <= 2 + 5
        assert {each.attempts for each in await scene.sends(made)} == {0}

        down[0] = False
        await pass_time(400)
        assert [*seen, node.line.state] == ["away", "ok"]
        assert set(await scene.states(made)) == {"sent"}
        assert len(carrier.carried) == tried + 10


async def test_a_bug_in_a_carrier_costs_its_parcel_an_attempt_and_nothing_else(autojump_clock):
    carrier = ScriptedCarrier(
        lambda parcel: ZeroDivisionError() if parcel.user == "ada" else Accepted()
    )
    async with open_scene() as scene:
        node = await scene.node(carrier)
        made = await scene.post("ada", "bob")
        node.look()
        await pass_time(5)

        states = {each.user: (each.state, each.reason) for each in await scene.sends(made)}
        assert states == {"ada": ("waiting", "internal error"), "bob": ("sent", None)}


async def test_a_carrier_that_hangs_is_ended_before_its_lease_is(autojump_clock):
    carrier = ScriptedCarrier(lambda parcel: 1000.0)
    async with open_scene() as scene:
        node = await scene.node(carrier, concurrency=1)
        made = await scene.post("a", "b", "c", "d")
        node.look()
        await pass_time(300)

        begun: dict[str, list[float]] = {}
        for at, parcel in carrier.carried:
            begun.setdefault(parcel.user, []).append(at)
        assert len(begun) == 4
        assert carrier.under_way_max == 1
        for times in begun.values():
            # Carrying ended after 15 s, and the first pause is 10 s.
            assert all(later - earlier >= 25 for earlier, later in pairwise(times))
        attempts = {each.user: each.attempts for each in await scene.sends(made)}
        assert all(len(times) <= attempts[user] for user, times in begun.items())


@pytest.mark.parametrize(
    ("carried", "state", "verdict"),
    [
        (Accepted(), "sent", "passed"),
        (AddressGone("410"), "dead", "gone"),
        (AddressGone("550 5.1.1", at_once=False), "dead", "failed"),
        (Rejected("554\r\nspam"), "dead", None),
        (TryLater("451"), "waiting", None),
        (TryLater("failed", attempts_max=1), "dead", None),
        (ChannelDown("away"), "waiting", None),
    ],
)
async def test_each_answer_of_a_carrier_has_its_verdict(carried, state, verdict, autojump_clock):
    async with open_scene() as scene:
        node = await scene.node(ScriptedCarrier(lambda parcel: carried))
        made = await scene.post("ada")
        node.look()
        await pass_time(3)

        [send] = await scene.sends(made)
        assert send.state == state
        assert "\n" not in (send.reason or "")
        assert node.line.dead_addresses == ({} if verdict in (None, "passed") else {verdict: 1})


async def test_a_digest_is_one_parcel_in_order(autojump_clock):
    gathering = (EscalationStep(after=0, channel="email", digest=60),)
    carrier = ScriptedCarrier()
    async with open_scene() as scene:
        node = await scene.node(carrier)
        made = []
        for _ in range(3):
            made.append(await scene.post("ada", plan=gathering))
            node.look()
            await pass_time(10)
        node.acknowledge("ada", made[1])
        await pass_time(60)

        [(at, parcel)] = carrier.carried
        assert 60 <= at < 77
        assert [each.id for each in parcel.notifications] == [made[0], made[2]]
        assert parcel.now_ms >= START_OF_TIME + 60_000
