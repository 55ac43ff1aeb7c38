"""The log gives the reason for which a service does not work, once and not each second."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from tocsin.actors.reasons import Reasons


@pytest.fixture
def log():
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def reasons(log):
    return Reasons(structlog.get_logger(), "bus")


def told(log):
    return [(line["event"], line.get("error")) for line in log]


def test_a_reason_is_told_once_however_often_it_is_tried(reasons, log):
    for _ in range(3):
        reasons.tell("refused")
    assert told(log) == [("bus lost", "refused")]


def test_another_reason_is_told_as_well_and_again_after_it_worked(reasons, log):
    for reason in ("refused", "wrong password", "refused"):
        reasons.tell(reason)
    reasons.ready()
    reasons.tell("refused")
    assert told(log) == [
        ("bus lost", "refused"),
        ("bus still lost", "wrong password"),
        ("bus ready", None),
        ("bus lost", "refused"),
    ]


def test_reasons_that_always_differ_do_not_fill_the_log(reasons, log):
    for number in range(1000):
        reasons.tell(f"attempt {number}")
    assert len(log) == 5
