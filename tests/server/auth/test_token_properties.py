"""Properties that hold for every token there could be."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.auth.issuer_kit import NOW, SECRET, claims, encode, private_key, public_pem, sign
from tocsin.server.auth.errors import Unauthenticated
from tocsin.server.auth.tokens import TokenVerifier
from tocsin.server.auth.verification_key import keys_from_pem

ALPHABET = string.ascii_letters + string.digits + "-_.=+/ \n\0é"
GOOD = {
    "HS256": sign(claims()),
    "RS256": sign(claims(), private_key("RS256"), "RS256"),
    "ES256": sign(claims(), private_key("ES256"), "ES256"),
    "EdDSA": sign(claims(), private_key("EdDSA"), "EdDSA"),
}
PEMS = "".join(public_pem(private_key(name)) for name in GOOD if name != "HS256")
VERIFIER = TokenVerifier(secret=SECRET, public_keys=keys_from_pem(PEMS))


async def is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        await VERIFIER.verify(token, NOW)


@pytest.mark.parametrize("algorithm", GOOD)
async def test_the_tokens_are_good_before_they_are_mutated(algorithm):
    await VERIFIER.verify(GOOD[algorithm], NOW)


@given(st.sampled_from(sorted(GOOD)), st.data())
async def test_no_token_verifies_with_a_character_changed(algorithm, data):
    good = GOOD[algorithm]
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.sampled_from([letter for letter in ALPHABET if letter != good[at]]))
    await is_refused(good[:at] + other + good[at + 1 :])


@given(st.sampled_from(sorted(GOOD)), st.data())
async def test_no_token_verifies_with_text_put_in_or_taken_out(algorithm, data):
    good = GOOD[algorithm]
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    mutated = good[:start] + data.draw(st.text(ALPHABET, max_size=8)) + good[end:]
    if mutated != good:
        await is_refused(mutated)


@given(st.permutations(range(3)), st.lists(st.sampled_from(sorted(GOOD)), min_size=3, max_size=3))
async def test_no_token_verifies_when_sewn_together_from_others(order, sources):
    parts = [GOOD[source].split(".")[place] for source, place in zip(sources, order, strict=True)]
    sewn = ".".join(parts)
    if sewn not in GOOD.values():
        await is_refused(sewn)


@given(st.text(max_size=200))
async def test_arbitrary_text_is_refused_and_nothing_worse(text):
    await is_refused(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
header_names = st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x5c", "zip"])
algorithms = st.sampled_from(["HS256", "RS256", "ES256", "EdDSA", "none", "HS384", "PS256"])


@given(st.dictionaries(header_names, json_values), st.none() | algorithms, st.binary(max_size=80))
async def test_no_header_at_all_makes_an_unsigned_token_good(header, algorithm, signature):
    if algorithm is not None:
        header["alg"] = algorithm
    payload = encode(json.dumps(claims()).encode())
    await is_refused(f"{encode(json.dumps(header).encode())}.{payload}.{encode(signature)}")


claim_names = st.sampled_from(["sub", "exp", "nbf", "iat", "iss", "aud", "scope", "scp"])


@given(st.dictionaries(claim_names, json_values))
async def test_any_signed_claims_are_a_sound_principal_or_refused(changed):
    try:
        principal = await VERIFIER.verify(sign({**claims(), **changed}), NOW)
    except Unauthenticated:
        return
    assert principal.user is not None
    assert principal.expires_at is not None
    assert principal.expires_at > NOW
    principal.credential.encode()
