"""Which keys are taken, from files and from sets, and for what."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from tests.server.auth.issuer_kit import SECRET, private_key, public_jwk, public_pem
from tocsin.server.auth.errors import AuthConfigurationError
from tocsin.server.auth.verification_key import key_from_jwk, key_from_secret, keys_from_pem


def pem_of(key) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def test_neither_secret_nor_key_is_shown():
    assert SECRET not in repr(key_from_secret(SECRET))
    assert "0x" not in repr(keys_from_pem(public_pem(private_key("RS256"))))


@pytest.mark.parametrize(
    "secret",
    [
        public_pem(private_key("ES256")),
        json.dumps(public_jwk(private_key("ES256"))),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Lr4GfO4mJbYq1b9nG0k6CJ2m7b0a0bqk7o1w9sZ3x me",
    ],
    ids=["PEM", "JWK", "SSH"],
)
def test_a_key_file_in_place_of_the_secret_is_a_configuration_error(secret):
    with pytest.raises(AuthConfigurationError, match="shared secret"):
        key_from_secret(secret)


def test_a_pem_file_may_hold_several_keys():
    kinds = ["RS256", "ES256", "EdDSA"]
    keys = keys_from_pem("\n\n".join(public_pem(private_key(kind)) for kind in kinds).encode())
    assert [kind in key.algorithms for kind, key in zip(kinds, keys, strict=True)] == [True] * 3


def test_a_private_key_in_the_file_is_a_configuration_error():
    private = private_key("ES256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(AuthConfigurationError, match="private key") as caught:
        keys_from_pem(private)
    assert private.decode().splitlines()[1] not in str(caught.value)


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN PUBLIC KEY-----", b"\xff\xfe"])
def test_a_file_without_a_key_is_a_configuration_error(text):
    with pytest.raises(AuthConfigurationError, match="BEGIN PUBLIC KEY"):
        keys_from_pem(text)


def test_a_broken_key_is_a_configuration_error():
    broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"
    with pytest.raises(AuthConfigurationError, match="cannot be read"):
        keys_from_pem(broken)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 1024),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: ed448.Ed448PrivateKey.generate(),
        lambda: dsa.generate_private_key(1024),
    ],
)
def test_a_key_of_a_kind_or_size_that_is_not_allowed_is_a_configuration_error(make):
    with pytest.raises(AuthConfigurationError, match="must be RSA"):
        keys_from_pem(pem_of(make()))


def test_a_published_key_is_taken_with_its_name():
    key = key_from_jwk(public_jwk(private_key("ES256"), "one", use="sig", key_ops=["verify"]))
    assert key is not None
    assert key.kid == "one"
    assert key.algorithms == {"ES256"}


def test_a_published_key_that_names_its_algorithm_serves_no_other():
    key = key_from_jwk(public_jwk(private_key("RS256"), alg="RS384"))
    assert key is not None
    assert key.algorithms == {"RS384"}


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"use": ["sig"]},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"alg": "RSA-OAEP"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": ["RS256"]},
        {"kty": "oct", "k": "c2VjcmV0" * 8},
        {"kty": ["RSA"]},
        {"kty": "EC"},
        {"n": 7},
        {"n": "AAAA"},
        {"e": "!!"},
        {"e": "Ag"},
        {"d": "AQAB"},
    ],
)
def test_a_published_key_that_is_not_for_us_is_passed_over(change):
    assert key_from_jwk(public_jwk(private_key("RS256")) | change) is None


def test_a_published_private_key_is_passed_over():
    private = private_key("RS256")
    assert isinstance(private, rsa.RSAPrivateKey)
    assert key_from_jwk(RSAAlgorithm.to_jwk(private, as_dict=True)) is None


def test_a_published_point_off_its_curve_is_passed_over():
    jwk = public_jwk(private_key("ES256"))
    assert key_from_jwk(jwk | {"y": jwk["x"]}) is None
    assert key_from_jwk(jwk | {"crv": "P-384"}) is None
    assert key_from_jwk(jwk | {"crv": "secp256k1"}) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
jwk_names = st.sampled_from(["kty", "n", "e", "crv", "x", "y", "use", "alg", "key_ops", "kid"])
kinds = st.sampled_from(["RS256", "ES256", "EdDSA"])


@given(kinds, st.dictionaries(jwk_names, json_values, max_size=3))
def test_any_published_jwk_is_taken_or_passed_over(kind, change):
    key = key_from_jwk(public_jwk(private_key(kind)) | change)
    assert key is None or key.algorithms


@given(json_values)
def test_arbitrary_json_is_passed_over(value):
    assert key_from_jwk(value) is None
