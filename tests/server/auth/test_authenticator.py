"""The one door, from what a client brings to who it is."""

from __future__ import annotations

import inspect
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.auth.expect_kit import refusal
from tests.server.auth.issuer_kit import NOW, SECRET, claims, sign
from tocsin.server.auth import authenticator, tokens
from tocsin.server.auth.authenticator import Authenticator
from tocsin.server.auth.errors import FAILURES, AuthCode, Unauthenticated, failure_kind
from tocsin.server.auth.key_ring import KeyRing
from tocsin.server.auth.keys import StoredKey, generate_key
from tocsin.server.auth.principal import TOKEN_LENGTH_MAX, Principal
from tocsin.server.auth.tickets import Ticket, generate_ticket, ticket_for
from tocsin.server.auth.tokens import TokenVerifier

KEY = generate_key(secrets.token_bytes)
STORED = StoredKey(KEY.id, KEY.hash, frozenset({"notify"}), "ci", NOW)
TOKEN = sign(claims())


async def find(key_id: str) -> StoredKey | None:
    return STORED if key_id == KEY.id else None


async def no_ticket(key: bytes) -> Ticket | None:
    return None


def door(*, tokens: bool = True, take=no_ticket, now: float = NOW) -> Authenticator:
    verifier = TokenVerifier(secret=SECRET) if tokens else None
    return Authenticator(verifier, KeyRing(find), take, lambda: now)


async def test_a_bearer_token_is_a_user():
    assert (await door().from_header(f"Bearer {TOKEN}")).user == "alice"


async def test_a_bearer_key_is_a_producer():
    principal = await door().from_header(f"Bearer {KEY.text}")
    assert (principal.user, principal.credential) == (None, f"key:{KEY.id}")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR  "])
async def test_the_scheme_may_be_written_in_any_case(scheme):
    await door().from_header(f"{scheme} {TOKEN}")


@pytest.mark.parametrize("value", [None, ""])
async def test_no_header_is_a_missing_token(value):
    assert await refusal(door().from_header(value)) is AuthCode.TOKEN_MISSING


@pytest.mark.parametrize("value", ["Basic YTpi", "Digest", "Token abc", "tk_abc Bearer"])
async def test_another_scheme_is_refused(value):
    expected = {"tk_abc Bearer": AuthCode.AUTHORIZATION_MALFORMED}
    code = await refusal(door().from_header(value))
    assert code is expected.get(value, AuthCode.AUTHORIZATION_SCHEME)


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ",
        f" Bearer {TOKEN}",
        f"Bearer {TOKEN} ",
        f"Bearer\t{TOKEN}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Bearer {TOKEN}, Bearer {TOKEN}",
        f"Bearer {TOKEN}\r\nX-Admin: 1",
        f"Bearer {TOKEN}\n",
        f"Bearer {TOKEN}\0",
        f'Bearer "{TOKEN}"',
        f"Bearer: {TOKEN}",
        "Bearer tökèn",
    ],
)
async def test_a_header_that_is_not_scheme_and_token_is_refused(value):
    assert await refusal(door().from_header(value)) is AuthCode.AUTHORIZATION_MALFORMED


async def test_a_header_beyond_its_bound_is_refused():
    for value in ("Bearer " + "a" * (TOKEN_LENGTH_MAX + 1), "Bearer" + " " * 9000 + "a"):
        assert await refusal(door().from_header(value)) is AuthCode.TOKEN_TOO_LONG


async def test_an_expired_token_is_expired_by_our_wall_clock():
    assert await refusal(door(now=NOW + 600).from_token(TOKEN)) is AuthCode.TOKEN_EXPIRED


async def test_an_empty_token_is_missing():
    assert await refusal(door().from_token("")) is AuthCode.TOKEN_MISSING


async def test_a_token_where_only_keys_are_configured_is_refused():
    assert await refusal(door(tokens=False).from_token(TOKEN)) is AuthCode.TOKEN_UNSUPPORTED
    await door(tokens=False).from_token(KEY.text)


async def test_a_ticket_opens_the_door():
    new = generate_ticket(secrets.token_bytes)
    alice = Principal("alice", frozenset(), "jwt::alice", NOW + 600)

    async def take(key: bytes) -> Ticket | None:
        return ticket_for(alice, NOW, 30) if key == new.hash else None

    principal = await door(take=take).from_ticket(new.text)
    assert (principal.user, principal.expires_at) == ("alice", NOW + 600)


async def test_a_token_is_not_a_ticket_and_a_ticket_is_not_a_token():
    ticket = generate_ticket(secrets.token_bytes).text
    assert await refusal(door().from_ticket(TOKEN)) is AuthCode.TICKET_MALFORMED
    assert await refusal(door().from_ticket(KEY.text)) is AuthCode.TICKET_MALFORMED
    assert await refusal(door().from_token(ticket)) is AuthCode.TOKEN_MALFORMED


DOOR = door()
OURS = "".join(map(inspect.getsource, (authenticator, tokens)))
"""The sentences of refusals: chance finds their words too, and a word of ours is not told on."""


@given(st.text(max_size=120) | st.text(max_size=80).map("Bearer ".__add__))
async def test_an_arbitrary_header_is_refused_and_nothing_worse(value):
    with pytest.raises(Unauthenticated) as caught:
        await DOOR.from_header(value)
    short = value.strip() == "" or len(value) < 12
    assert short or value in OURS or value not in caught.value.detail


@given(st.text(max_size=120) | st.text(max_size=80).map("tk_".__add__))
async def test_an_arbitrary_token_is_refused_and_nothing_worse(text):
    with pytest.raises(Unauthenticated):
        await DOOR.from_token(text)


async def test_a_refused_credential_is_counted_once_and_by_its_kind():
    late = door(now=NOW + 10_000_000)
    for value in (None, "Basic YTpi", "Bearer x", f"Bearer {TOKEN}"):
        await refusal(late.from_header(value))
    await refusal(late.from_token(generate_key(secrets.token_bytes).text))
    await refusal(late.from_socket_ticket(generate_ticket(secrets.token_bytes).text))
    counted = {kind: count for kind, count in late.failures.items() if count}
    assert counted == {"missing": 1, "malformed": 2, "expired": 1, "key": 1, "ticket": 1}


def test_every_code_has_a_kind_that_is_known():
    assert {failure_kind(code) for code in AuthCode} == set(FAILURES)
