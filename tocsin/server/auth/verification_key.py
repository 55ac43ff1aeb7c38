"""A key, and the algorithms it may be used with: the two are never apart.

Every confusion attack on tokens begins with the token choosing how its own key
is used: a public key fed to HMAC as if it were a secret, an algorithm called
`none`. Here the *key* says which algorithms it serves, decided by its type when it
is loaded (RFC 8725 §3.1), and a token can only pick among keys that serve the
algorithm in its header. There is no entry for `none`, so nothing serves it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from tocsin.server.auth.errors import AuthConfigurationError

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

RSA_BITS_MIN: Final = 2048
"""Bits. Below, RS256 is not safe (RFC 7518 §3.3)."""
RSA_BITS_MAX: Final = 8192
"""Bits. Above, one bad signature costs the node more than it costs its sender."""

SYMMETRIC: Final = frozenset({"HS256"})
_RSA: Final = frozenset({"RS256", "RS384", "RS512"})
_EDWARDS: Final = frozenset({"EdDSA"})
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

ASYMMETRIC: Final = _RSA | _EDWARDS | frozenset(_CURVES.values())
"""The algorithms of public keys. Not ES256K (no identity provider needs it), not PS256 (one RSA key
should not be used with two paddings, and the field uses RS256)."""

_PEM_BLOCK: Final = re.compile(
    rb"-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----"
)
_JWK_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
"""The members of a JSON Web Key of each kind (RFC 7518 §6, RFC 8037 §2). `oct` is absent: a shared
secret in a published set is not one."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that can check signatures. Its `repr` shows neither secret nor key.

    *kid* is None for keys that do not come from a JSON Web Key Set.
    """

    algorithms: frozenset[str]
    material: PublicKey | bytes = field(repr=False)
    kid: str | None = None


def key_from_secret(secret: str | bytes) -> VerificationKey:
    """The key for HS256. Raises `AuthConfigurationError` if it is empty or no secret at all.

    How long it must be depends on who can reach the server: the settings see to that.
    """
    material = secret.encode() if isinstance(secret, str) else secret
    if not material:
        raise AuthConfigurationError("jwt_secret is empty; `openssl rand -hex 32` makes a good one")
    if not _is_secret(material):
        raise AuthConfigurationError(
            "jwt_secret holds a PEM, SSH or JSON Web Key where a shared secret belongs;"
            " a public key goes into jwt_public_key"
        )
    return VerificationKey(SYMMETRIC, material)


def _is_secret(material: bytes) -> bool:
    """Whether PyJWT would take it for HMAC, asked now instead of at each token."""
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(material)
    except jwt.InvalidKeyError:
        return False
    return True


def keys_from_pem(pem: str | bytes) -> tuple[VerificationKey, ...]:
    """Every public key of a PEM file, one or more; several let keys be rotated.

    Raises `AuthConfigurationError` for a file without one, with a private key in
    it, or with a key of a kind or size that is not allowed.
    """
    text = pem.encode() if isinstance(pem, str) else pem
    if b"PRIVATE KEY-----" in text:
        raise AuthConfigurationError(
            "jwt_public_key holds a private key; give the server only its public half:"
            " `openssl pkey -in private.pem -pubout`"
        )
    blocks = _PEM_BLOCK.findall(text)
    if not blocks:
        raise AuthConfigurationError("jwt_public_key has no '-----BEGIN PUBLIC KEY-----' block")
    return tuple(_key_from_block(block) for block in blocks)


def _key_from_block(block: bytes) -> VerificationKey:
    try:
        key = serialization.load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        raise AuthConfigurationError("jwt_public_key holds a key that cannot be read") from None
    bound = _bind(key, None)
    if bound is None:
        raise AuthConfigurationError(
            "jwt_public_key must be RSA of 2048 to 8192 bits, EC on P-256, P-384 or P-521,"
            " or Ed25519"
        )
    return bound


def key_from_jwk(jwk: object) -> VerificationKey | None:
    """A member of a JSON Web Key Set (RFC 7517 §4), or None if it is not for us.

    Not for us: another kind, `use` other than `sig`, `key_ops` without `verify`, an
    `alg` that the key cannot serve, a shared secret, and a private key — whoever
    publishes that has lost it. One such member never spoils the set.
    """
    if not isinstance(jwk, dict) or "d" in jwk:
        return None
    members = _JWK_MEMBERS.get(str(jwk.get("kty")))
    if members is None or not all(isinstance(jwk.get(name), str) for name in members):
        return None
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig":
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    kid = jwk.get("kid")
    bound = _bind(_load_jwk(jwk), kid if isinstance(kid, str) else None)
    algorithm = jwk.get("alg")
    if bound is None or algorithm is None:
        return bound
    if not isinstance(algorithm, str) or algorithm not in bound.algorithms:
        return None
    return replace(bound, algorithms=frozenset({algorithm}))


def _load_jwk(jwk: dict[str, object]) -> object:
    public = {name: value for name, value in jwk.items() if isinstance(value, str)}
    try:
        match public["kty"]:
            case "RSA":
                return RSAAlgorithm.from_jwk(public)
            case "EC":
                return ECAlgorithm.from_jwk(public)
            case _:
                return OKPAlgorithm.from_jwk(public)
    except (jwt.PyJWTError, ValueError, UnsupportedAlgorithm):
        return None


def _bind(key: object, kid: str | None) -> VerificationKey | None:
    """Give a public key the algorithms of its type, or None if it may serve none."""
    match key:
        case rsa.RSAPublicKey() if RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
            return VerificationKey(_RSA, key, kid)
        case ec.EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return VerificationKey(frozenset({_CURVES[key.curve.name]}), key, kid)
        case ed25519.Ed25519PublicKey():
            return VerificationKey(_EDWARDS, key, kid)
        case _:
            return None
