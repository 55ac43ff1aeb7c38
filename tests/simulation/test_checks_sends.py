"""The complaints of the checks of escalation: sends, and the steps that they come from."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.checks.known.silences import Silences
from simulation.checks.notifications.sends import Sends
from simulation.checks.notifications.steps import Steps
from simulation.world.chance import Chance
from simulation.world.channels import Carrying, SimulatedChannels
from simulation.world.history import RequestStory
from simulation.world.plan import Plan
from simulation.world.timeline import Timeline
from tests.simulation.stage_kit import Stage
from tocsin.persistence.store.commands import Done
from tocsin.persistence.store.escalation_commands import (
    ClaimedSend,
    ClaimSends,
    Escalate,
    Escalated,
    SendsClaimed,
    SettledSend,
    SettleSends,
)
from tocsin.protocol.channels.carrying import Parcel

_SEND = """
    INSERT INTO sends (id, notification_id, user_id, channel, address, step, until, digest, state,
        next_at)
    VALUES (?, ?, 'u0', 'mail', 'home', 0, ?, 0, 'waiting', 0)
"""
_STEPS = '[{"after":1,"channel":"mail"}]'


class SendStage(Stage):
    """A stage with a send `s` of the notification `n` to u0, which nodes claim and carry."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.plan = Plan(users=1, nodes=2, escalations=1.0)
        self.channels = SimulatedChannels(self.plan, Timeline(), Chance(1))
        self.check = self.watched_by(Sends)
        self.steps = self.watched_by(Steps)
        self.notify("n", "title")
        self.enter("u0", "n", 1)
        self.send("s")

    def send(self, id_: str, until: str = "delivered") -> None:
        self.put(_SEND, id_, "n", until)

    def request(self, who: str, operation: str, body: Any) -> RequestStory:
        return RequestStory(who, "a", operation, {}, body, None, 1, self.now)

    def claim(self, host: str = "a", attempts: int = 1, ahead: int = 0) -> None:
        command = ClaimSends("mail", f"{host}/1", self.now_ms() + ahead, 10, 60_000)
        fields: dict[str, Any] = {"value": "", "fingerprint": "", "document": "{}"}
        claimed = ClaimedSend(
            id="s",
            notification="n",
            user="u0",
            address="home",
            attempts=attempts,
            digest=0,
            category="default",
            expires_at=None,
            **fields,
        )
        self.check.before([command])
        self.check.after([command], [SendsClaimed((claimed,), {}, False)])

    def carry(self, told: str, host: str = "a") -> None:
        carrying = Carrying("mail", host, Parcel("s", "u0", "home", "", (), 0), self.now)
        self.check._began(carrying)
        carrying.ended_at, carrying.told = self.now, told
        if told == "Accepted":
            carrying.taken_at = self.now

    def settle(self, state: str, host: str = "a", attempts: int = 1) -> None:
        settled = SettledSend("s", state, attempts, attempts, 0)
        self.check.after([SettleSends(f"{host}/1", (settled,), (), 0)], [Done()])
        self.put("UPDATE sends SET state = ?, attempts = ?", state, attempts)


@pytest.fixture
def stage() -> SendStage:
    return SendStage()


def test_a_send_that_is_claimed_carried_and_noted_is_as_promised(stage):
    stage.claim()
    stage.carry("TryLater")
    stage.settle("waiting")
    stage.now = 12.0
    stage.claim("b", attempts=2)
    stage.carry("Accepted", "b")
    stage.settle("sent", "b", attempts=2)
    stage.check.finish()

    assert stage.complaints == []
    assert stage.check.settled() is None


def test_a_send_that_waits_keeps_the_run_from_settling(stage):
    assert "waits" in stage.check.settled()


def test_a_claim_while_another_node_has_the_send_is_noticed(stage):
    stage.claim()
    stage.now = 59.0
    stage.claim("b", attempts=2)

    assert stage.complains("P2", "a has it since")


def test_a_claim_behind_a_dead_nodes_lease_is_as_promised(stage):
    stage.claim()
    stage.now = 61.0
    stage.claim("b", attempts=2)
    stage.carry("Accepted", "b")

    assert stage.complaints == []


def test_a_claim_by_a_clock_that_is_ahead_is_noticed(stage):
    stage.claim(ahead=5000)

    assert stage.complains("P2", "5000 ms ahead")


def test_a_claim_before_the_delay_behind_a_failure_is_noticed(stage):
    stage.claim()
    stage.carry("TryLater")
    stage.settle("waiting")
    stage.now = 5.0
    stage.claim(attempts=2)

    assert stage.complains("P2", "wait until 10.000")


def test_an_attempt_that_was_not_counted_is_noticed(stage):
    stage.claim()
    stage.carry("TryLater")
    stage.settle("waiting")
    stage.now = 12.0
    stage.claim(attempts=1)

    assert stage.complains("P2", "as attempt 1")


def test_a_send_that_was_taken_is_claimed_again_only_behind_trouble(stage):
    stage.claim()
    stage.carry("Accepted")
    stage.now = 61.0
    with stage.trouble("a", "killed"):
        stage.claim("b", attempts=2)
    assert stage.complaints == []

    stage.carry("Accepted", "b")
    stage.now = 130.0
    stage.claim("a", attempts=3)
    assert stage.complains("P2", "was taken at 61.000")


@pytest.mark.parametrize(
    ("fact", "until", "is_moot"),
    [
        ("delivered_at = 1", "delivered", True),
        ("delivered_at = 1", "seen", False),
        ("state = 'seen'", "seen", True),
        ("state = 'seen'", "read", False),
        ("state = 'read'", "read", True),
        ("state = 'withdrawn'", "read", True),
    ],
)
def test_a_claim_of_a_send_that_was_moot_before_is_noticed(stage, fact, until, is_moot):
    stage.put("UPDATE sends SET until = ?", until)
    stage.put(f"UPDATE inbox SET {fact}")
    stage.claim()

    assert stage.complaints == (["P2 was claimed by a: it was moot before"] if is_moot else [])


def test_a_claim_behind_a_mark_that_was_answered_is_noticed(stage):
    post = {"title": "title", "escalate": [{"after": 0.0, "channel": "mail"}]}
    stage.put("INSERT INTO escalations (notification_id, revision, steps, due_at) "
              "VALUES ('n', 1, ?, 0)", _STEPS)  # fmt: skip
    stage.told(stage.request("p0", "publish", post), 201, {"id": "n"})
    stage.told(stage.request("u0/d0", "mark", {"state": "seen", "ids": ["n"]}), 200)
    stage.now = 1.0
    stage.claim()

    assert stage.complains("P2", "a request answered at 0.000 satisfies its person")


def test_a_parcel_that_no_claim_covers_is_noticed(stage):
    stage.carry("Accepted")

    assert stage.complains("P2", "unclaimed")


def test_a_parcel_that_is_carried_twice_for_one_claim_is_noticed(stage):
    stage.claim()
    stage.carry("TryLater")
    stage.carry("TryLater")

    assert stage.complains("P2", "twice for one claim")


def test_a_send_that_is_noted_as_sent_and_was_not_taken_is_noticed(stage):
    stage.claim()
    stage.carry("TryLater")
    stage.settle("sent")
    stage.check.finish()

    assert stage.complains("P1", "no channel has taken it")


QUIET = {"quiet": {"from": "23:59", "to": "00:01", "timezone": "UTC"}}


@pytest.mark.parametrize(
    ("body", "priority", "word"),
    [
        ({"channels": {"mail": False}}, "critical", "switched the channel off"),
        ({"channels": {"push": False}}, "normal", None),
        ({"categories": {"default": False}}, "normal", "muted default"),
        ({"categories": {"default": False}}, "critical", None),
        (QUIET, "high", "quiet"),
        (QUIET, "critical", None),
        ({"quiet": {**QUIET["quiet"], "channels": ["push"]}}, "high", None),
    ],
)
def test_the_silences_of_a_person_are_known(stage, body, priority, word):
    silences = Silences()
    request = stage.request("u0/d0", "set_preferences", body)
    silences.asked(request)
    request.status, request.answered_at = 200, 1.0
    command = ClaimSends("mail", "a/1", 30_000, 10, 60_000)
    claimed = ClaimedSend("s", "n", "u0", "home", "", "", 1, 0, "default", "{}", None)

    told = silences.judge(claimed, command, priority, 30.0)
    assert (told is None) if word is None else (word in str(told))
    request.status = None  # It may have been done or not.
    assert silences.judge(claimed, command, priority, 30.0) is None


# --- Steps --------------------------------------------------------------------------------------


@pytest.fixture
def due(stage: SendStage) -> SendStage:
    """A plan whose step is due now, for u0, who has an address; and without a send of it."""
    stage.put("DELETE FROM sends")
    stage.put(
        "INSERT INTO escalations (notification_id, revision, steps, due_at) VALUES ('n', 1, ?, 0)",
        _STEPS,
    )
    stage.put(
        "INSERT INTO addresses (user_id, channel, name, value, fingerprint, created_at)"
        " VALUES ('u0', 'mail', 'home', '', '', 0)"
    )
    stage.steps.before([Escalate(1000)])
    return stage


def over(stage: SendStage) -> None:
    stage.put("DELETE FROM escalations")
    stage.steps.after([Escalate(1000)], [Escalated(0, 1, (), None)])


def test_a_step_that_left_a_person_out_is_noticed(due):
    over(due)

    assert due.complains("P1", "nothing goes to [('u0', 'home')]")


def test_a_person_who_was_satisfied_meanwhile_is_left_out_as_promised(due):
    due.put("UPDATE inbox SET delivered_at = 1")
    over(due)

    assert due.complaints == []


def test_a_step_with_two_sends_to_one_address_is_noticed(due):
    due.send("n.1.0.x")
    due.send("n.1.0.y")
    over(due)

    assert due.complains("P2", "has 2 sends")


def test_a_plan_that_never_began_is_noticed(stage):
    post = {"title": "title", "escalate": [{"after": 1.0, "channel": "mail"}]}
    stage.told(stage.request("p0", "publish", post), 201, {"id": "n"})

    assert stage.complains("P1", "none began")


def test_a_plan_that_is_left_keeps_the_run_from_settling(due):
    assert due.steps.settled() == "step 0 of n has not been done"
