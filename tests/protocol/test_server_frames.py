"""Frames to clients have exactly the contract's fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.closing import Closing
from tocsin.protocol.frames.frames import (
    PONG,
    Reply,
    Resend,
    Reset,
    ServerFrame,
    Status,
    Synced,
    Welcome,
    encode_goodbye,
    encode_push,
    encode_server_frame,
)
from tocsin.protocol.log.push import Push
from tocsin.protocol.notifications.notification import (
    Change,
    Draft,
    Recipients,
    client_view,
    content_of,
)
from tocsin.protocol.problems import problem

COUNTS = st.integers(0, 2**53)


def written(frame: ServerFrame) -> Any:
    return json.loads(encode_server_frame(frame))


def a_notification(title: str = "Hello", data: Any = None) -> bytes:
    draft = Draft(to=Recipients(users=["ann"]), title=title, data=data)
    document = content_of(draft, "018bcfe5-6800-7000-8000-000000000000", 5).document
    return client_view(document, "unseen", None, None)


@given(
    sequence=COUNTS,
    previous=COUNTS,
    change=st.sampled_from(Change) | st.sampled_from([change.value for change in Change]),
    attempt=st.integers(1, 100),
    replay=st.booleans(),
    unread=COUNTS,
    unseen=COUNTS,
    title=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    data=st.none() | st.text(st.sampled_from('%{}"\\b\x00🔔'), max_size=10),
)
def test_a_push_has_the_fields_of_the_contract(
    sequence, previous, change, attempt, replay, unread, unseen, title, data
):
    notification = a_notification(title, data)
    push = Push(
        sequence=sequence,
        previous=previous,
        change=change,
        attempt=attempt,
        replay=replay,
        unread=unread,
        unseen=unseen,
        notification_id="018bcfe5-6800-7000-8000-000000000000",
        notification=notification,
        first_sent_at=0,
        deadline=0.0,
    )
    assert json.loads(encode_push(push)) == {
        "type": "push",
        "sequence": sequence,
        "previous": previous,
        "change": str(change),
        "attempt": attempt,
        "replay": replay,
        "unread": unread,
        "unseen": unseen,
        "notification": json.loads(notification),
    }


def test_welcome():
    frame = Welcome(
        user="ann",
        device="phone",
        connection="c1",
        node="n1",
        epoch="e1",
        cursor="e1.5",
        head=7,
        unread=2,
        unseen=1,
        resumed=True,
        heartbeat=25.0,
        window=64,
        resend=Resend(10.0, 5),
    )
    assert written(frame) == {
        "type": "welcome",
        "user": "ann",
        "device": "phone",
        "connection": "c1",
        "node": "n1",
        "epoch": "e1",
        "cursor": "e1.5",
        "head": 7,
        "unread": 2,
        "unseen": 1,
        "resumed": True,
        "heartbeat": 25.0,
        "window": 64,
        "resend": {"delay": 10.0, "limit": 5},
    }


def test_synced_reset_status_and_pong():
    assert written(Synced(5)) == {"type": "synced", "sequence": 5}
    assert written(Reset("horizon")) == {"type": "reset", "reason": "horizon"}
    assert written(Status("lost", "ok")) == {"type": "status", "bus": "lost", "store": "ok"}
    assert json.loads(PONG) == {"type": "pong"}


def test_a_reply_has_a_result_or_a_problem_under_the_clients_request():
    assert written(Reply("r1", ok=True, result={"changed": 0})) == {
        "type": "reply",
        "request": "r1",
        "ok": True,
        "result": {"changed": 0},
    }
    refused = problem("forbidden", "No.")
    assert written(Reply(7, ok=False, problem=refused)) == {
        "type": "reply",
        "request": 7,
        "ok": False,
        "problem": {
            "type": refused.type,
            "title": refused.title,
            "status": 403,
            "detail": "No.",
            "code": "forbidden",
        },
    }


@pytest.mark.parametrize("closing", Closing, ids=lambda closing: closing.word)
def test_goodbye_says_why_and_whether_to_come_back(closing):
    assert json.loads(encode_goodbye(closing, 1.23456)) == {
        "type": "goodbye",
        "code": int(closing),
        "reason": closing.word,
        "reconnect": closing.reconnect,
        "after": 1.235,
    }


def test_goodbye_says_what_was_wrong_and_not_without_end():
    assert json.loads(encode_goodbye(Closing.MALFORMED, 0, "No such frame."))["detail"] == (
        "No such frame."
    )
    assert json.loads(encode_goodbye(Closing.MALFORMED, 0, "é" * 1000))["detail"] == "é" * 256
    assert json.loads(encode_goodbye(Closing.MALFORMED, 0, "\ud800"))["detail"] == "?"
