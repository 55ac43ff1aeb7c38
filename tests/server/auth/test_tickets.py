"""Tickets: once, soon, and no longer than the token they were traded for."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.auth.expect_kit import refusal
from tests.server.auth.issuer_kit import NOW
from tocsin.server.auth.authenticator import Authenticator
from tocsin.server.auth.errors import AuthCode, Forbidden, Unauthenticated
from tocsin.server.auth.key_ring import KeyRing
from tocsin.server.auth.principal import Principal, StreamGrant
from tocsin.server.auth.secret import digest
from tocsin.server.auth.tickets import Ticket, generate_ticket, redeem_ticket, ticket_for

ALICE = Principal("alice", frozenset({"notify"}), "jwt::alice", NOW + 600)


class Box:
    """The store's side: taking a ticket removes it."""

    def __init__(self) -> None:
        self.tickets: dict[bytes, Ticket] = {}
        self.asked = 0

    def issue(self, ticket: Ticket) -> str:
        new = generate_ticket(secrets.token_bytes)
        self.tickets[new.hash] = ticket
        return new.text

    async def take(self, key: bytes) -> Ticket | None:
        self.asked += 1
        found = self.tickets.get(key)
        if found is not None and found.device is None:
            del self.tickets[key]
        return found


@pytest.fixture
def box() -> Box:
    return Box()


async def test_a_ticket_opens_the_inbox_of_its_user_until_the_token_ends(box):
    text = box.issue(ticket_for(ALICE, NOW, 30))
    principal = await redeem_ticket(text, box.take, NOW + 29)
    assert principal == Principal("alice", frozenset(), "ticket:alice", NOW + 600)


async def test_a_ticket_works_once(box):
    text = box.issue(ticket_for(ALICE, NOW, 30))
    await redeem_ticket(text, box.take, NOW)
    assert await refusal(redeem_ticket(text, box.take, NOW)) is AuthCode.TICKET_UNKNOWN


async def test_a_ticket_that_was_never_issued_is_unknown(box):
    text = generate_ticket(secrets.token_bytes).text
    assert await refusal(redeem_ticket(text, box.take, NOW)) is AuthCode.TICKET_UNKNOWN


async def test_a_ticket_expires(box):
    text = box.issue(ticket_for(ALICE, NOW, 30))
    attempt = redeem_ticket(text, box.take, NOW + 30)
    assert await refusal(attempt) is AuthCode.TICKET_EXPIRED


async def test_a_ticket_does_not_outlive_its_token(box):
    ticket = ticket_for(ALICE, NOW + 590, 30)
    assert ticket.expires_at == NOW + 600
    attempt = redeem_ticket(box.issue(ticket), box.take, NOW + 600)
    assert await refusal(attempt) is AuthCode.TICKET_EXPIRED


async def test_a_ticket_whose_token_ended_first_is_refused(box):
    text = box.issue(Ticket("alice", NOW + 30, NOW + 10))
    attempt = redeem_ticket(text, box.take, NOW + 10)
    assert await refusal(attempt) is AuthCode.TOKEN_EXPIRED


async def test_a_ticket_of_a_principal_without_end_opens_a_session_without_end(box):
    ticket = ticket_for(Principal("bob", frozenset(), "x", None), NOW, 30)
    assert ticket.expires_at == NOW + 30
    assert (await redeem_ticket(box.issue(ticket), box.take, NOW)).expires_at is None


def test_an_api_key_gets_no_ticket():
    with pytest.raises(Forbidden) as caught:
        ticket_for(Principal(None, frozenset({"admin"}), "key:x", None), NOW, 30)
    assert caught.value.code is AuthCode.USER_MISSING


def test_a_ticket_is_not_shown():
    ticket = generate_ticket(secrets.token_bytes)
    assert ticket.text not in repr(ticket)
    assert repr(ticket.hash) not in repr(ticket)


@given(st.text(max_size=80) | st.text(max_size=60).map("tt_".__add__))
async def test_arbitrary_text_does_not_reach_the_store(text):
    box = Box()
    with pytest.raises(Unauthenticated) as caught:
        await redeem_ticket(text, box.take, NOW)
    assert caught.value.code is AuthCode.TICKET_MALFORMED
    assert box.asked == 0


async def test_the_ticket_of_a_stream_works_until_it_expires_and_says_what_for(box):
    text = box.issue(ticket_for(ALICE, NOW, 300, "web"))
    grant = StreamGrant(digest(text), "web", None)
    for later in (0, 1, 299):
        principal = await redeem_ticket(text, box.take, NOW + later)
        assert principal == Principal("alice", frozenset(), "ticket:alice", NOW + 600, grant)
    attempt = redeem_ticket(text, box.take, NOW + 300)
    assert await refusal(attempt) is AuthCode.TICKET_EXPIRED


async def test_the_ticket_of_a_stream_does_not_outlive_its_token(box):
    ticket = ticket_for(ALICE, NOW, 86_400, "web")
    assert ticket.expires_at == NOW + 600


async def test_the_ticket_of_a_stream_opens_no_websocket(box):
    async def find(_: str) -> None:
        return None

    door = Authenticator(None, KeyRing(find), box.take, lambda: NOW)
    text = box.issue(ticket_for(ALICE, NOW, 300, "web"))
    assert await refusal(door.from_socket_ticket(text)) is AuthCode.TICKET_ELSEWHERE
    assert (await door.from_ticket(text)).grant is not None

    plain = box.issue(ticket_for(ALICE, NOW, 300))
    assert (await door.from_socket_ticket(plain)).grant is None
