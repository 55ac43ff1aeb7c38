"""A device that polls takes each answer as a browser would take it."""

from types import SimpleNamespace
from typing import Any, cast

from simulation.clients.devices import Device
from simulation.clients.polls import PollSession
from simulation.world.chance import Chance
from tests.simulation.stage_kit import Stage


def test_a_reset_in_the_first_answer_of_a_session_clears_the_screen():
    device = a_device_that_shows("n1")

    answered(device, changes=[push(3, "n2")], reset=True, reason="horizon")

    assert list(device.shown) == ["n2"]
    assert device.cursor == "epoch.3"


def test_a_first_answer_without_a_reset_leaves_the_screen_as_it_is():
    device = a_device_that_shows("n1")

    answered(device, changes=[push(3, "n2")])

    assert list(device.shown) == ["n1", "n2"]


def a_device_that_shows(identity: str) -> Device:
    """A device that shows one notification and has acknowledged it."""
    stage: Any = Stage()
    stage.timeline = SimpleNamespace(now=0.0)
    stage.note = stage.token = lambda *_: "n/a"
    stage.chance = lambda *whom: Chance(1, *whom)
    device = Device(stage, "u0", "d0")
    device.screen.begin(0)
    device.screen.show(push(1, identity))
    device.screen.acknowledge_through(1)
    return device


def answered(device: Device, **answer: Any) -> None:
    """The first poll of a session of *device* is answered with *answer*."""
    host = SimpleNamespace(name="a", process_number=1)
    session = PollSession(device, cast(Any, host), 1, device.cursor)
    frame = {"type": "changes", "cursor": "epoch.3", "more": False, "unread": 1, "unseen": 1}
    session.heard(frame | answer, 0.0)


def push(sequence: int, identity: str) -> dict[str, Any]:
    notification = {"id": identity, "title": "p0-1", "state": "unseen", "revision": 1}
    return {
        "type": "push",
        "sequence": sequence,
        "previous": 0,
        "change": "created",
        "attempt": 1,
        "unread": 1,
        "unseen": 1,
        "notification": notification,
    }
