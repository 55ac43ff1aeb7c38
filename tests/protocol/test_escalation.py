"""Plans of escalation: how a post names one, when its steps are due, and whom they concern."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from tocsin.protocol.channels.escalation import (
    NO_PLAN,
    NO_RULES,
    EscalationRules,
    EscalationStep,
    decode_plan,
    due_after,
    encode_plan,
    first_due,
    is_satisfied,
)
from tocsin.protocol.notifications.meaning import meaning
from tocsin.protocol.notifications.notification import Draft, Recipients
from tocsin.protocol.refusal import Refused

PUSH = EscalationStep(after=60, channel="webpush")
MAIL = EscalationStep(after=600, channel="email", unless="read")
RULES = EscalationRules(
    frozenset({"webpush", "email"}), {"alarm": (PUSH, MAIL)}, {"alarms": "alarm"}
)


def test_a_post_that_names_nothing_has_the_plan_of_its_category():
    assert RULES.resolve(UNSET, "alarms") == (PUSH, MAIL)
    assert RULES.resolve(UNSET, "builds") == NO_PLAN
    assert RULES.resolve(False, "alarms") == NO_PLAN
    assert RULES.resolve("alarm", "builds") == (PUSH, MAIL)
    assert RULES.resolve([MAIL], "alarms") == (MAIL,)


def test_without_channels_there_is_nothing_to_look_at():
    assert NO_RULES.resolve(UNSET, "alarms") is None
    assert NO_RULES.resolve(False, "alarms") is None


@pytest.mark.parametrize(
    ("wanted", "code", "path"),
    [
        ("other", "unknown_channel", "$.escalate"),
        (
            [PUSH, EscalationStep(after=90, channel="pager")],
            "unknown_channel",
            "$.escalate[1].channel",
        ),
        ([MAIL, PUSH], "invalid", "$.escalate[1].after"),
    ],
)
def test_a_plan_that_cannot_be_done_is_refused_with_its_place(wanted, code, path):
    with pytest.raises(Refused) as caught:
        RULES.resolve(wanted, "alarms")

    refusal = caught.value.refusal
    assert (refusal.code, [each.path for each in refusal.errors]) == (code, [path])


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        msgspec.json.encode([PUSH] * 6),
        b'[{"after":-1,"channel":"email"}]',
        b'[{"after":604801,"channel":"email"}]',
        b'[{"after":1,"channel":"E mail"}]',
        b'[{"after":1,"channel":"email","unless":"never"}]',
        b'[{"after":1,"channel":"email","if":"x"}]',
        b"true",
        b'""',
    ],
)
def test_a_plan_of_another_form_is_no_draft(text):
    draft = b'{"to":{"users":["ada"]},"title":"Hi","escalate":' + text + b"}"

    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(draft, type=Draft)


def test_a_draft_without_a_plan_means_what_it_has_always_meant():
    plain = Draft(to=Recipients(["ada"]), title="Hi")

    assert b"escalate" not in meaning(plain)
    assert b"escalate" in meaning(msgspec.structs.replace(plain, escalate=False))


@pytest.mark.parametrize(
    ("unless", "state", "delivered_at", "satisfied"),
    [
        ("delivered", "unseen", None, False),
        ("delivered", "unseen", 5, True),
        ("delivered", "archived", None, True),
        ("seen", "unseen", 5, False),
        ("seen", "seen", None, True),
        ("read", "seen", 5, False),
        ("read", "read", None, True),
        ("read", "archived", None, True),
    ],
)
def test_a_recipient_is_satisfied_by_the_word_or_more(unless, state, delivered_at, satisfied):
    assert is_satisfied(unless, state, delivered_at) == satisfied


@given(st.lists(st.integers(0, 7 * 86400), min_size=1, max_size=5))
def test_each_step_is_due_at_its_time_after_the_delivery(seconds):
    plan = tuple(EscalationStep(after=each, channel="email") for each in sorted(seconds))
    due_at: int | None = first_due(plan, 1000)
    times = []
    for step in range(len(plan)):
        assert due_at is not None
        times.append(due_at)
        due_at = due_after(plan, step, due_at)

    assert due_at is None
    assert times == [1000 + each * 1000 for each in sorted(seconds)]
    assert decode_plan(encode_plan(plan)) == plan
