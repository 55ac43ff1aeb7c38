"""Entries of the spool: what goes in comes out, and what is none is refused."""

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.actors.spool_kit import change, post, withdraw
from tests.persistence.desk_kit import START_OF_TIME
from tocsin.actors.spool.entries import UnreadableEntry, check, decode, encode, in_time
from tocsin.persistence.store.commands import Update
from tocsin.protocol.channels.escalation import EscalationStep
from tocsin.protocol.notifications.notification import EVERYONE, Patch
from tocsin.protocol.refusal import Refused

COMMANDS = [
    post("Hello", "ada", "bob", key="k", meaning=bytes(range(256))),
    post("Hello", topic=EVERYONE, deliver_at=START_OF_TIME + 1, collapse_key="c", body="ü\n"),
    change(post("Hello"), "Goodbye"),
    replace(
        change(post("Hello"), "x"),
        patch=Patch(
            body=None, data={"a": [1, None, 1.5, 2**70]}, expires_at="2030-01-01T00:00:00+01:00"
        ),
    ),
    withdraw(post("Hello")),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_comes_out_as_it_went_in(command):
    assert decode(encode(command)) == command


def test_a_plan_of_escalation_waits_with_its_post():
    plan = (EscalationStep(after=60, channel="email", unless="read"),)
    command = replace(post("ann"), escalation=plan)

    assert decode(encode(command)) == command


def test_an_unset_field_stays_unset():
    read = decode(encode(change(post("Hello"), "Goodbye")))
    assert isinstance(read, Update)
    assert read.patch.body is UNSET
    assert read.patch.data is UNSET


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"\xff", b"[]", b'{"v":1,"kind":"x","command":1}'),
        b'{"v":2,"kind":"publish","command":{}}',
        b'{"v":1,"kind":"withdraw","command":{}}',
        b'{"v":1,"kind":"publish","command":"\xff"}',
    ],
)
def test_a_payload_that_is_no_entry_is_refused(payload):
    with pytest.raises(UnreadableEntry):
        decode(payload)


def test_a_patch_that_fits_no_notification_is_refused_before_it_is_spooled():
    command = change(post("Hello"), "x")
    check(command)
    past = Patch(expires_at="1970-01-01T00:00:00Z")
    for patch in (Patch(), Patch(data="x" * 40_000), past):
        with pytest.raises(Refused):
            check(replace(command, patch=patch))


def test_an_expired_post_becomes_a_schedule_that_no_device_sees():
    command = post("Hello", expires_at=START_OF_TIME + 5)
    assert in_time(command, START_OF_TIME + 4) is command
    assert in_time(command, START_OF_TIME + 5) == replace(command, deliver_at=START_OF_TIME + 5)
