"""The claims that a rightly signed token needs."""

from __future__ import annotations

import pytest

from tests.server.auth.expect_kit import refusal
from tests.server.auth.issuer_kit import NOW, SECRET, claims, sign
from tocsin.server.auth.claims import CLOCK_LEEWAY
from tocsin.server.auth.errors import AuthCode
from tocsin.server.auth.principal import Principal
from tocsin.server.auth.tokens import TokenVerifier


def verifier(audience: str | None = None, issuer: str | None = None) -> TokenVerifier:
    return TokenVerifier(secret=SECRET, audience=audience, issuer=issuer)


async def accepted(token: str, now: float = NOW) -> Principal:
    return await verifier().verify(token, now)


async def refused(token: str, now: float = NOW) -> AuthCode:
    return await refusal(verifier().verify(token, now))


async def test_a_good_token_becomes_a_principal():
    principal = await accepted(sign(claims(iss="https://idp.example")))
    assert principal == Principal(
        user="alice",
        scopes=frozenset({"notify"}),
        credential="jwt:https%3A%2F%2Fidp.example:alice",
        expires_at=NOW + 600,
    )


async def test_an_expired_token_is_refused():
    assert await refused(sign(claims(exp=NOW - 1))) is AuthCode.TOKEN_EXPIRED


async def test_a_token_expires_at_its_very_second_without_leeway():
    token = sign(claims(exp=NOW + 60))
    await accepted(token, NOW + 59.999)
    assert await refused(token, NOW + 60) is AuthCode.TOKEN_EXPIRED


async def test_a_token_without_expiry_is_refused():
    assert await refused(sign(claims(exp=None))) is AuthCode.TOKEN_CLAIM_MISSING


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_from_the_future_is_refused_beyond_the_leeway(claim):
    near = sign(claims(**{claim: NOW + CLOCK_LEEWAY}))
    far = sign(claims(**{claim: NOW + CLOCK_LEEWAY + 1}))
    await accepted(near)
    assert await refused(far) is AuthCode.TOKEN_NOT_YET_VALID
    await accepted(far, NOW + 1)


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", ["1800000600", True, [1], {}, -1, 10**400, 253_402_300_800, float("inf"), float("nan")]
)
async def test_a_time_that_is_no_time_is_refused(claim, value):
    assert await refused(sign(claims(**{claim: value}))) is AuthCode.TOKEN_CLAIM_INVALID


async def test_a_null_expiry_is_not_an_expiry():
    assert await refused(sign(b'{"sub":"alice","exp":null}')) is AuthCode.TOKEN_CLAIM_INVALID


async def test_a_token_without_subject_is_refused():
    assert await refused(sign(claims(sub=None))) is AuthCode.TOKEN_CLAIM_MISSING


@pytest.mark.parametrize(
    "subject", [7, ["alice"], "", "a" * 256, "al ice", "alice\n", "a\u200bb", "\ud800", False]
)
async def test_a_subject_that_is_no_user_id_is_refused(subject):
    assert await refused(sign(claims(sub=subject))) is AuthCode.TOKEN_CLAIM_INVALID


@pytest.mark.parametrize(
    "subject",
    [
        *("a", "a" * 255, "Alice.B_c:d@e-f", "auth0|5f7c8ec7c33c6c004bbafe82", "ada+x@example.org"),
        *("https://idp.example/users/42", "Ädä", "😀" * 255),
    ],
)
async def test_a_subject_that_is_a_user_id_is_the_user(subject):
    assert (await accepted(sign(claims(sub=subject)))).user == subject


@pytest.mark.parametrize("name", ["email", "https://example.org/user", "a.b"])
async def test_another_claim_may_name_the_user(name):
    told = TokenVerifier(secret=SECRET, user_claim=name)
    principal = await told.verify(sign(claims(sub="alice", **{name: "ada@example.org"})), NOW)
    assert principal.user == "ada@example.org"


async def test_the_subject_is_nobody_where_another_claim_names_the_user():
    told = TokenVerifier(secret=SECRET, user_claim="a.b")
    token = sign(claims(sub="alice", a={"b": "ada"}))
    assert await refusal(told.verify(token, NOW)) is AuthCode.TOKEN_CLAIM_MISSING
    token = sign(claims(sub="alice", **{"a.b": ["ada"]}))
    assert await refusal(told.verify(token, NOW)) is AuthCode.TOKEN_CLAIM_INVALID


async def test_a_credential_is_as_long_as_an_index_takes_and_still_tells_users_apart():
    issuer = "日" * 256
    named = [
        (await accepted(sign(claims(iss=issuer, sub="日" * 254 + last)))).credential
        for last in "abb"
    ]
    assert named[0] != named[1] == named[2]
    assert len(named[0].encode()) <= 1024


async def test_only_scopes_that_exist_are_kept():
    principal = await accepted(sign(claims(scope="openid notify  root admin")))
    assert principal.scopes == {"notify", "admin"}


async def test_a_token_without_scope_has_none():
    assert (await accepted(sign(claims(scope=None)))).scopes == frozenset()


@pytest.mark.parametrize(
    "said",
    [
        {"scope": ["openid", "notify", "admin"]},
        {"scope": None, "scp": "notify admin User.Read"},
        {"scope": None, "scp": ["notify", "offline_access", "admin"]},
        {"scope": "notify", "scp": ["admin"]},
    ],
)
async def test_scopes_may_be_a_list_and_may_stand_in_scp(said):
    assert (await accepted(sign(claims(**said)))).scopes == {"notify", "admin"}


async def test_a_word_of_a_list_of_scopes_is_one_word():
    assert (await accepted(sign(claims(scope=["notify admin"])))).scopes == frozenset()


@pytest.mark.parametrize("name", ["scope", "scp"])
@pytest.mark.parametrize("said", [7, {"admin": True}, ["admin", 7], [["admin"]]])
async def test_scopes_that_are_no_words_are_refused(name, said):
    assert await refused(sign(claims(**{name: said}))) is AuthCode.TOKEN_CLAIM_INVALID


@pytest.mark.parametrize("issuer", [None, "https://evil.example", "https://idp.example/"])
async def test_another_issuer_is_refused_if_one_is_configured(issuer):
    attempt = verifier(issuer="https://idp.example").verify(sign(claims(iss=issuer)), NOW)
    assert await refusal(attempt) is AuthCode.TOKEN_ISSUER


async def test_the_configured_issuer_is_accepted():
    token = sign(claims(iss="https://idp.example"))
    await verifier(issuer="https://idp.example").verify(token, NOW)


@pytest.mark.parametrize("issuer", [7, "a\nb", "\ud800", "i" * 257])
async def test_an_issuer_that_cannot_be_kept_is_refused(issuer):
    assert await refused(sign(claims(iss=issuer))) is AuthCode.TOKEN_CLAIM_INVALID


@pytest.mark.parametrize("audience", [None, "other", ["other"], [], 7, {"tocsin": 1}, "tocsin2"])
async def test_another_audience_is_refused_if_one_is_configured(audience):
    attempt = verifier(audience="tocsin").verify(sign(claims(aud=audience)), NOW)
    assert await refusal(attempt) is AuthCode.TOKEN_AUDIENCE


@pytest.mark.parametrize("audience", ["tocsin", ["other", "tocsin"]])
async def test_the_configured_audience_is_accepted_alone_or_in_a_list(audience):
    await verifier(audience="tocsin").verify(sign(claims(aud=audience)), NOW)


async def test_an_audience_nobody_asked_for_does_no_harm():
    await accepted(sign(claims(aud="someone")))


async def test_issuer_and_subject_cannot_be_shifted_into_each_other():
    one = await accepted(sign(claims(iss="a", sub="b:c")))
    other = await accepted(sign(claims(iss="a:b", sub="c")))
    assert one.credential != other.credential


@pytest.mark.parametrize("payload", [b"[]", b"7", b"", b"{", b"\xff", b"[" * 5000])
async def test_a_payload_that_is_no_object_is_refused(payload):
    token = sign(payload)
    assert await refused(token) is AuthCode.TOKEN_MALFORMED
