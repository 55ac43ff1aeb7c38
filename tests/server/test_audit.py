"""Every act of an operator leaves a line with their name, however it ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from tocsin.protocol.refusal import refuse
from tocsin.server.api.audit import audited
from tocsin.server.api.operation import Caller, Operation
from tocsin.server.api.operators import dead_letters, nodes, spool

CALL: Any = SimpleNamespace(
    principal=SimpleNamespace(credential="key:abc"), address="192.0.2.1", request_id="r-1"
)
ACTS: list[Operation] = [
    each
    for module in (nodes, spool, dead_letters)
    for each in module.operations.all
    if each.caller is Caller.ADMIN and each.method != "GET"
]


def test_a_line_says_who_did_what_to_whom_from_where():
    with capture_logs() as lines, audited(CALL, "user disconnected", user="ada"):
        pass
    assert lines == [
        {
            "event": "user disconnected",
            "log_level": "info",
            "outcome": "done",
            "credential": "key:abc",
            "address": "192.0.2.1",
            "request_id": "r-1",
            "user": "ada",
        }
    ]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (refuse("not_found", "It is not there."), "not_found"),
        (refuse("store_unavailable", "Away."), "store_unavailable"),
        (RuntimeError("ours"), "unknown"),
    ],
)
def test_an_attempt_is_audited_with_its_outcome(error, outcome):
    with capture_logs() as lines, pytest.raises(type(error)), audited(CALL, "tried"):
        raise error
    assert lines[0]["outcome"] == outcome


async def test_a_call_that_was_cut_off_may_have_been_carried_out():
    with capture_logs() as lines, trio.CancelScope() as scope, audited(CALL, "tried"):
        scope.cancel()
        await trio.lowlevel.checkpoint()
    assert lines[0]["outcome"] == "unknown"


class Refusing:
    """A node that refuses whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise refuse("store_unavailable", name)


def test_there_are_acts():
    assert {each.name for each in ACTS} == {
        *("disconnect_user", "replay_entry", "discard_entry"),
        *("replay_dead_letter", "discard_dead_letter"),
    }


@pytest.mark.parametrize("operation", ACTS, ids=lambda operation: operation.name)
async def test_every_act_of_an_operator_leaves_a_line(operation):
    call: Any = SimpleNamespace(
        **vars(CALL), services=Refusing(), now_ms=0, query=SimpleNamespace(vouched=False)
    )
    [name] = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    with capture_logs() as lines, pytest.raises(Exception, match="store_unavailable"):
        await operation.handler(call, **{name: "7-7"})
    assert [(line["outcome"], line[name]) for line in lines] == [("store_unavailable", "7-7")]
