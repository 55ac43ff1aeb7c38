"""Signatures, algorithms and keys: who could have made this token."""

from __future__ import annotations

import hashlib
import hmac
import traceback

import pytest

from tests.server.auth.expect_kit import refusal
from tests.server.auth.issuer_kit import (
    NOW,
    SECRET,
    claims,
    encode,
    private_key,
    public_jwk,
    public_pem,
    sign,
    unsigned,
)
from tocsin.server.auth.errors import AuthCode, AuthConfigurationError, Unauthenticated
from tocsin.server.auth.principal import TOKEN_LENGTH_MAX
from tocsin.server.auth.tokens import HEADERS_MAX, TokenVerifier, mint
from tocsin.server.auth.verification_key import keys_from_pem

ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"]


def with_secret() -> TokenVerifier:
    return TokenVerifier(secret=SECRET)


def with_public_key(algorithm: str) -> TokenVerifier:
    return TokenVerifier(public_keys=keys_from_pem(public_pem(private_key(algorithm))))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_signed_with_the_private_half_is_accepted(algorithm):
    token = sign(claims(), private_key(algorithm), algorithm)
    assert (await with_public_key(algorithm).verify(token, NOW)).user == "alice"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_signed_with_another_key_is_refused(algorithm):
    token = sign(claims(), private_key(algorithm, 1), algorithm)
    attempt = with_public_key(algorithm).verify(token, NOW)
    assert await refusal(attempt) is AuthCode.TOKEN_SIGNATURE


async def test_a_forged_hmac_is_refused():
    token = sign(claims(), "x" * 40)
    assert await refusal(with_secret().verify(token, NOW)) is AuthCode.TOKEN_SIGNATURE


async def test_claims_changed_after_signing_are_refused():
    header, _, signature = sign(claims()).split(".")
    payload = sign(claims(sub="admin")).split(".")[1]
    attempt = with_secret().verify(f"{header}.{payload}.{signature}", NOW)
    assert await refusal(attempt) is AuthCode.TOKEN_SIGNATURE


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "hs256", "HS512", "\ud800"])
@pytest.mark.parametrize("signature", [b"", b"\0"])
async def test_no_algorithm_at_all_is_never_accepted(name, signature):
    token = unsigned({"alg": name, "typ": "JWT"}, signature)
    attempt = with_secret().verify(token, NOW)
    expected = AuthCode.TOKEN_ALGORITHM if signature else AuthCode.TOKEN_MALFORMED
    assert await refusal(attempt) is expected


@pytest.mark.parametrize("algorithm", [None, 7, ["HS256"], {"HS256": 1}])
async def test_an_algorithm_that_is_no_string_is_refused(algorithm):
    attempt = with_secret().verify(unsigned({"alg": algorithm}, b"x"), NOW)
    assert await refusal(attempt) is AuthCode.TOKEN_MALFORMED


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_public_key_is_never_taken_for_a_secret(algorithm):
    """The classic confusion: HS256 with the public PEM, which everybody has, as the secret."""
    pem = public_pem(private_key(algorithm))
    signing_input = unsigned({"alg": "HS256", "typ": "JWT"}).rsplit(".", 1)[0]
    for secret in (pem, pem.strip()):
        mac = hmac.new(secret.encode(), signing_input.encode(), hashlib.sha256).digest()
        token = f"{signing_input}.{encode(mac)}"
        attempt = with_public_key(algorithm).verify(token, NOW)
        assert await refusal(attempt) is AuthCode.TOKEN_ALGORITHM
        both = TokenVerifier(secret=SECRET, public_keys=keys_from_pem(pem))
        assert await refusal(both.verify(token, NOW)) is AuthCode.TOKEN_SIGNATURE


async def test_a_key_serves_only_the_algorithms_of_its_type():
    token = sign(claims(), private_key("ES384"), "ES384")
    assert await refusal(with_public_key("ES256").verify(token, NOW)) is AuthCode.TOKEN_ALGORITHM


async def test_a_pss_signature_is_not_accepted():
    token = sign(claims(), private_key("RS256"), "PS256")
    assert await refusal(with_public_key("RS256").verify(token, NOW)) is AuthCode.TOKEN_ALGORITHM


async def test_several_sources_serve_side_by_side():
    pems = public_pem(private_key("RS256")) + public_pem(private_key("RS256", 1))
    verifier = TokenVerifier(secret=SECRET, public_keys=keys_from_pem(pems))
    await verifier.verify(sign(claims()), NOW)
    await verifier.verify(sign(claims(), private_key("RS256"), "RS256"), NOW)
    await verifier.verify(sign(claims(), private_key("RS256", 1), "RS256"), NOW)


async def test_a_key_inside_the_token_is_not_looked_at():
    attacker = private_key("ES256", 1)
    token = sign(claims(), attacker, "ES256", jwk=public_jwk(attacker), jku="http://evil.example")
    assert await refusal(with_public_key("ES256").verify(token, NOW)) is AuthCode.TOKEN_SIGNATURE


async def test_a_token_of_another_type_is_refused():
    for kind in ("logout+jwt", "dpop+jwt", 7, ""):
        token = unsigned({"alg": "HS256", "typ": kind}, b"x")
        assert await refusal(with_secret().verify(token, NOW)) is AuthCode.TOKEN_TYPE


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
async def test_an_access_token_type_is_accepted(kind):
    await with_secret().verify(sign(claims(), typ=kind), NOW)


async def test_a_critical_extension_is_refused():
    headers: list[dict[str, object]] = [
        {"crit": ["b64"], "b64": True},
        {"b64": True},
        {"crit": ["x"]},
        {"crit": []},
    ]
    for header in headers:
        token = unsigned({"alg": "HS256", **header}, b"x")
        assert await refusal(with_secret().verify(token, NOW)) is AuthCode.TOKEN_MALFORMED


async def test_a_token_may_be_as_long_as_the_limit_and_no_longer():
    fitting = sign(claims(x="y" * 5000))
    assert len(fitting) < TOKEN_LENGTH_MAX
    await with_secret().verify(fitting, NOW)
    too_long = sign(claims(x="y" * 6200))
    assert len(too_long) > TOKEN_LENGTH_MAX
    assert await refusal(with_secret().verify(too_long, NOW)) is AuthCode.TOKEN_TOO_LONG


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "\ud800.a.b"),
        *(" ", "a.b.c\n", "\0" * 9),
        "W10.W10.W10",
        encode(b"[" * 5000) + ".e30.e30",
        encode(b'{"alg":"HS256","kid":7}') + ".e30.e30",
    ],
)
async def test_text_that_is_no_token_is_refused_as_malformed(text):
    assert await refusal(with_secret().verify(text, NOW)) is AuthCode.TOKEN_MALFORMED


@pytest.mark.parametrize("change", [lambda t: t + "=", lambda t: t + "\n", lambda t: " " + t])
async def test_one_token_has_one_spelling(change):
    attempt = with_secret().verify(change(sign(claims())), NOW)
    assert await refusal(attempt) is AuthCode.TOKEN_MALFORMED


async def test_a_refusal_shows_nothing_of_the_token():
    marker = "zebra" * 4
    bad = [f"{marker}.{marker}.{marker}", sign(claims(sub=f"{marker} x")), sign(marker.encode())]
    for token in bad:
        with pytest.raises(Unauthenticated) as caught:
            await with_secret().verify(token, NOW)
        assert marker not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__context__ is None


def test_a_verifier_without_any_source_is_a_mistake():
    with pytest.raises(ValueError, match="needs a secret"):
        TokenVerifier()


@pytest.mark.parametrize("secret", ["", b""])
def test_an_empty_secret_is_a_configuration_error(secret):
    with pytest.raises(AuthConfigurationError, match="is empty"):
        TokenVerifier(secret=secret)


async def test_a_minted_token_is_accepted_by_the_verifier():
    token = mint(SECRET, "alice", {"notify", "admin"}, NOW + 0.5, 60, "me", "tocsin")
    verifier = TokenVerifier(secret=SECRET, issuer="me", audience="tocsin")
    principal = await verifier.verify(token, NOW + 0.5)
    assert principal.user == "alice"
    assert principal.scopes == {"notify", "admin"}
    assert principal.expires_at == NOW + 61


async def test_a_minted_token_names_its_user_where_the_server_looks():
    token = mint(SECRET, "Ädä|1", (), NOW, 60, user_claim="https://example.org/user")
    verifier = TokenVerifier(secret=SECRET, user_claim="https://example.org/user")
    assert (await verifier.verify(token, NOW)).user == "Ädä|1"


async def test_a_minted_token_needs_neither_scope_nor_issuer():
    assert (await with_secret().verify(mint(SECRET, "a", (), NOW, 1), NOW)).scopes == frozenset()


@pytest.mark.parametrize(
    ("user", "scopes", "lifetime"),
    [
        ("al ice", [], 60),
        ("alice\n", [], 60),
        ("a", ["root"], 60),
        ("a", [], 0),
        ("a", [], -1),
        ("a", [], float("nan")),
        ("a", [], float("inf")),
    ],
)
def test_a_token_that_could_not_be_used_is_not_minted(user, scopes, lifetime):
    with pytest.raises(ValueError, match=r"user id|scope|lifetime"):
        mint(SECRET, user, scopes, NOW, lifetime)


def test_a_token_is_not_minted_with_a_secret_that_the_server_refuses():
    with pytest.raises(AuthConfigurationError):
        mint("", "alice", [], NOW, 60)


@pytest.mark.parametrize("part", [1, 2], ids=["payload", "signature"])
@pytest.mark.parametrize("wrong", ["A", "AB=", "AB", "", "é", "a b"])
async def test_a_part_that_is_not_base64url_is_refused_behind_a_known_header_too(part, wrong):
    """`AB` has bits behind its last byte, and so is one of several spellings."""
    verifier = with_secret()
    token = sign(claims())
    await verifier.verify(token, NOW)
    parts = token.split(".")
    parts[part] = wrong
    assert await refusal(verifier.verify(".".join(parts), NOW)) is AuthCode.TOKEN_MALFORMED


async def test_a_header_that_is_known_opens_nothing_by_itself():
    verifier = with_secret()
    await verifier.verify(sign(claims()), NOW)
    forged = sign(claims(sub="admin"), "x" * 40)
    assert await refusal(verifier.verify(forged, NOW)) is AuthCode.TOKEN_SIGNATURE


async def test_headers_by_the_hundred_are_not_all_kept():
    verifier = with_secret()
    for number in range(3 * HEADERS_MAX):
        await verifier.verify(sign(claims(), kid=f"k{number}"), NOW)
    assert len(verifier._headers) <= HEADERS_MAX
