"""An issuer of tokens, good and bad, as the tests need them."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NOW = 1_800_000_000.0
SECRET = "correct-horse-battery-staple-and-a-bit-more"

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def private_key(algorithm: str, generation: int = 0) -> PrivateKey:
    """A key for an algorithm, made once per test run; another `generation`, another key."""
    match algorithm:
        case "RS256" | "RS384" | "RS512":
            return rsa.generate_private_key(65537, 2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ES512":
            return ec.generate_private_key(ec.SECP521R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            raise ValueError(algorithm)


def public_pem(key: PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_jwk(key: PrivateKey, kid: str | None = None, **more: object) -> dict[str, Any]:
    match key.public_key():
        case rsa.RSAPublicKey() as public:
            jwk = RSAAlgorithm.to_jwk(public, as_dict=True)
            del jwk["key_ops"]
        case ec.EllipticCurvePublicKey() as public:
            jwk = ECAlgorithm.to_jwk(public, as_dict=True)
        case ed25519.Ed25519PublicKey() as public:
            jwk = OKPAlgorithm.to_jwk(public, as_dict=True)
    named = {} if kid is None else {"kid": kid}
    return {**jwk, **named, **more}


def claims(**changed: object) -> dict[str, object]:
    """The claims of a good token. A claim set to None is left out."""
    good: dict[str, object] = {"sub": "alice", "iat": NOW, "exp": NOW + 600, "scope": "notify"}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def sign(
    payload: dict[str, object] | bytes,
    key: PrivateKey | str = SECRET,
    algorithm: str = "HS256",
    **header: object,
) -> str:
    """A token signed as it says."""
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return jwt.PyJWS().encode(text, key, algorithm=algorithm, headers=dict(header))


def unsigned(header: dict[str, object], signature: bytes = b"") -> str:
    """A token that nobody signed, with any header at all."""
    parts = [json.dumps(header).encode(), json.dumps(claims()).encode(), signature]
    return ".".join(encode(part) for part in parts)


def published(generation: int) -> dict[str, Any]:
    """The public half of one of a provider's keys, under its name."""
    return public_jwk(private_key("ES256", generation), f"kid-{generation}")


def token(generation: int, **header: object) -> str:
    """A good token signed with one of a provider's keys."""
    named = {"kid": f"kid-{generation}", **header}
    return sign(claims(), private_key("ES256", generation), "ES256", **named)


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
