"""SMTP against a real server that answers as the recipient's name says."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import msgspec
import pytest
import trio

from servers.machine import free_port
from servers.mail import MailServer
from tests.carriers.test_mail import parcel, postmark
from tocsin.carriers.smtp import MailServer as Server
from tocsin.carriers.smtp import SmtpCarrier
from tocsin.outbound.tls import client_context
from tocsin.protocol.channels.carrying import (
    Accepted,
    AddressGone,
    Carried,
    ChannelDown,
    Parcel,
    Rejected,
    TryLater,
)


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    server = MailServer(tmp_path_factory.mktemp("mail")).start()
    yield server
    server.stop()


def carrier(mail: MailServer, **changes: object) -> SmtpCarrier:
    tls = client_context(str(mail.files.authority))
    fields: dict[str, object] = {"host": "127.0.0.1", "port": mail.port, "security": "starttls"}
    return SmtpCarrier(Server(**{**fields, "tls": tls, **changes}), postmark(), 2)  # type: ignore[arg-type]


def to(name: str) -> Parcel:
    return msgspec.structs.replace(parcel("Hello"), value=f"{name}@example.org")


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("ada", Accepted, ""),
        ("full", TryLater, "452 4.2.2"),
        ("gone", AddressGone, "550 5.1.1"),
        ("policy", Rejected, "550 5.7.1"),
        ("spam", Rejected, "554 5.7.1"),
        ("busy", TryLater, "451 4.3.0"),
        ("cut", TryLater, "no answer"),
    ],
)
async def test_each_answer_is_what_it_means(mail, name, kind, reason):
    carried: Carried = await carrier(mail).carry(to(name))

    assert isinstance(carried, kind), carried
    assert reason in getattr(carried, "reason", "")
    if isinstance(carried, AddressGone):
        assert not carried.at_once


async def test_the_reason_does_not_repeat_the_address(mail):
    carried = await carrier(mail).carry(to("quoted"))

    assert isinstance(carried, AddressGone)
    assert carried.reason == "550 5.1.1 <(address)>: no such user"


async def test_a_server_that_never_answers_is_left_when_that_is_cancelled(mail):
    used = carrier(mail)
    # Twice as many as the carrier has threads: those of the cancelled ones have ended.
    for _ in range(8):
        with trio.move_on_after(0.3) as scope:
            await used.carry(to("slow"))
        assert scope.cancelled_caught

    with trio.fail_after(9):
        assert await used.carry(to("ada")) == Accepted()


async def test_a_server_that_is_away_is_the_channels_trouble(mail):
    carried = await carrier(mail, port=free_port()).carry(to("ada"))

    assert isinstance(carried, ChannelDown)
    assert not carried.refused


@pytest.mark.parametrize(
    "changes",
    [
        {"tls": ssl.create_default_context()},
        {"security": "none"},
        {"user": "tocsin", "password": "wrong"},
    ],
    ids=["certificate", "no tls", "login"],
)
async def test_a_fault_for_an_operator_is_reported_as_refused(mail, changes):
    carried = await carrier(mail, **changes).carry(to("ada"))

    assert isinstance(carried, ChannelDown), carried
    assert carried.refused


async def test_a_listener_that_says_nothing_does_not_hold_the_carrier(mail):
    with socket.create_server(("127.0.0.1", 0)) as silent, trio.move_on_after(0.5) as scope:
        await carrier(mail, port=silent.getsockname()[1]).carry(to("ada"))
    assert scope.cancelled_caught
