"""JSON Web Tokens: from text that anyone may have sent to a principal.

The order is the defence. Length and alphabet come first, so that nothing is parsed
that is not a token's shape. Then the header, which is still the attacker's own
words: it may *choose among* the keys we hold (`alg`, `kid`) and nothing else — no
`jwk`, `jku` or `x5u` in it is ever looked at (RFC 8725 §3.10). Then the signature,
and only then the claims.

Sources: RFC 7519 (JWT), RFC 7515 (JWS), RFC 8725 (best current practice).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import jwt
import trio

from tocsin.protocol.user_ids import USER_ID_CHARACTERS_MAX, is_user_id
from tocsin.server.auth.claims import SUBJECT, Expectations, principal_from_claims
from tocsin.server.auth.errors import AuthCode, Unauthenticated
from tocsin.server.auth.principal import SCOPES, TOKEN_LENGTH_MAX, Principal
from tocsin.server.auth.verification_key import (
    ASYMMETRIC,
    SYMMETRIC,
    VerificationKey,
    key_from_secret,
)

if TYPE_CHECKING:
    from tocsin.server.auth.jwks import KeySet

CANDIDATES_MAX: Final = 4
"""A token without `kid` is tried with every key that serves its algorithm. More than this many, and
a forged one would cost us more than it costs its sender."""

REMEMBERED: Final = 30.0
"""Seconds that a verified token is believed without looking again, and how many are: a backend
sends the same one with each request, and checking a signature costs more than all the rest of
authentication. It is also how long a key that was taken out of a key set still works."""
REMEMBERED_MAX: Final = 1024
"""Tokens that need not be verified again; beyond it the oldest is forgotten."""

HEADERS_MAX: Final = 64
"""Headers that need not be judged again. An issuer has one for each key; strangers may send any."""
HEADER_LENGTH_MAX: Final = 512
"""Characters of such a header, as it is spelled in a token."""

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""Compact serialisation (RFC 7515 §7.1), without the padding and the stray characters that lenient
decoders skip: one token has one spelling."""

_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""RFC 8725 §3.11: a token made for another purpose by the same issuer (a logout token, a proof of
possession) says so in `typ`, and is not one of ours."""

_JWS: Final = jwt.PyJWS(algorithms=sorted(SYMMETRIC | ASYMMETRIC))


@dataclass(frozen=True, slots=True)
class _Header:
    algorithm: str
    kid: str | None


class TokenVerifier:
    """Verifies tokens against one or more sources of keys at once.

    *secret* is the HS256 secret, *public_keys* come from `keys_from_pem`, *key_set*
    follows a JWKS URL. A token whose algorithm no source serves is refused. Raises
    `AuthConfigurationError` for a bad secret, `ValueError` without any source.
    """

    def __init__(
        self,
        *,
        secret: str | bytes | None = None,
        public_keys: Sequence[VerificationKey] = (),
        key_set: KeySet | None = None,
        audience: str | None = None,
        issuer: str | None = None,
        user_claim: str = SUBJECT,
    ) -> None:
        if secret is None and not public_keys and key_set is None:
            raise ValueError("a TokenVerifier needs a secret, public keys or a key set")
        shared = () if secret is None else (key_from_secret(secret),)
        self._keys: Final = (*shared, *public_keys)
        self._key_set: Final = key_set
        self._expected: Final = Expectations(audience, issuer, user_claim)
        served = frozenset[str]().union(*(key.algorithms for key in self._keys))
        self._verified: Final[dict[str, tuple[Principal, float]]] = {}
        self._headers: Final[dict[str, _Header]] = {}
        self._algorithms: Final = served | (ASYMMETRIC if key_set is not None else frozenset())

    async def verify(self, token: str, now: float) -> Principal:
        """The principal that the token speaks for. *now* is in Unix seconds.

        Raises `Unauthenticated` with a `token_…` code, or `AuthUnavailable` if only a
        key set could tell and there is none to be had. Always a checkpoint; may wait
        for a fetch of the key set (see `KeySet.find` for what cancelling does then).
        """
        await trio.lowlevel.checkpoint()
        remembered = self.known(token, now)
        if remembered is not None:
            return remembered
        header = self._header(token)
        if header.algorithm not in self._algorithms:
            raise Unauthenticated(
                "The token's algorithm is not accepted here.", AuthCode.TOKEN_ALGORITHM
            )
        payload = await self._open(token, header)
        principal = principal_from_claims(payload, self._expected, now)
        self._remember(token, principal, now)
        return principal

    def _header(self, token: str) -> _Header:
        """The judged header of *token*; those of one issuer are nearly always the same."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise Unauthenticated(
                f"A token has at most {TOKEN_LENGTH_MAX} characters.", AuthCode.TOKEN_TOO_LONG
            )
        spelled = token.partition(".")[0]
        header = self._headers.get(spelled)
        if header is None or not _COMPACT.fullmatch(token):
            header = _read_header(token)
            if len(spelled) <= HEADER_LENGTH_MAX:
                if len(self._headers) >= HEADERS_MAX:
                    self._headers.clear()
                self._headers[spelled] = header
        return header

    def known(self, token: str, now: float) -> Principal | None:
        """The principal of a token that was verified a moment ago and has not ended since."""
        known = self._verified.get(token)
        if known is None:
            return None
        principal, until = known
        # A clock that was set back must not make a memory last longer.
        if until - REMEMBERED <= now < until:
            return principal
        del self._verified[token]
        return None

    def _remember(self, token: str, principal: Principal, now: float) -> None:
        if len(self._verified) >= REMEMBERED_MAX:
            del self._verified[next(iter(self._verified))]
        until = now + REMEMBERED
        if principal.expires_at is not None:
            until = min(until, principal.expires_at)
        self._verified[token] = principal, until

    async def _open(self, token: str, header: _Header) -> bytes:
        """The payload, once some key that serves the algorithm has confirmed it."""
        ours = tuple(key for key in self._keys if header.algorithm in key.algorithms)
        signed = _take_apart(token)
        payload = _first_that_opens(ours, signed, header.algorithm)
        if payload is not None:
            return payload
        published: Sequence[VerificationKey] = ()
        if self._key_set is not None and header.algorithm in ASYMMETRIC:
            published = await self._key_set.find(header.kid, header.algorithm)
            if header.kid is None and len(published) > CANDIDATES_MAX:
                raise Unauthenticated(
                    "The token must name its key (kid).", AuthCode.TOKEN_KEY_UNKNOWN
                )
            payload = _first_that_opens(published, signed, header.algorithm)
            if payload is not None:
                return payload
        if not ours and not published:
            raise Unauthenticated("The token's key is not known.", AuthCode.TOKEN_KEY_UNKNOWN)
        raise Unauthenticated("The token's signature is not right.", AuthCode.TOKEN_SIGNATURE)


def mint(
    secret: str | bytes,
    user: str,
    scopes: Collection[str],
    now: float,
    lifetime: float,
    issuer: str | None = None,
    audience: str | None = None,
    user_claim: str = SUBJECT,
) -> str:
    """An HS256 token for *user*: what `tocsin token` prints.

    *now* is in Unix seconds, *lifetime* in seconds. Raises `AuthConfigurationError`
    for a secret that the server would refuse too, `ValueError` for a user id, scope
    or lifetime that cannot be.
    """
    if not is_user_id(user):
        raise ValueError(f"a user id has 1 to {USER_ID_CHARACTERS_MAX} visible characters")
    unknown = set(scopes) - SCOPES
    if unknown:
        raise ValueError(f"no such scope: {', '.join(sorted(unknown))}")
    if not (lifetime > 0 and math.isfinite(lifetime)):
        raise ValueError("a lifetime is a number of seconds greater than 0")
    claims: dict[str, object] = {
        user_claim: user,
        "iat": math.floor(now),
        "exp": math.ceil(now + lifetime),
    }
    if scopes:
        claims["scope"] = " ".join(sorted(scopes))
    if issuer is not None:
        claims["iss"] = issuer
    if audience is not None:
        claims["aud"] = audience
    key = key_from_secret(secret)
    assert isinstance(key.material, bytes)
    return _JWS.encode(json.dumps(claims).encode(), key.material, algorithm="HS256")


def _read_header(token: str) -> _Header:
    """The unverified header: enough to choose a key, and believed for nothing else."""
    header = _parse_header(token) if _COMPACT.fullmatch(token) else None
    # `crit` names extensions that must be understood (RFC 7515 §4.1.11), and `b64` is the one that
    # says that the payload is elsewhere (RFC 7797). We know none.
    if header is None or "crit" in header or "b64" in header:
        raise _malformed()
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str):
        raise Unauthenticated("The token names no algorithm.", AuthCode.TOKEN_MALFORMED)
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthenticated("The token is of another type.", AuthCode.TOKEN_TYPE)
    return _Header(algorithm, kid if isinstance(kid, str) else None)  # PyJWT refuses others


def _malformed() -> Unauthenticated:
    return Unauthenticated("The credential is not a JSON Web Token.", AuthCode.TOKEN_MALFORMED)


def _parse_header(token: str) -> dict[str, object] | None:
    # None, not an exception: raised from inside `except`, ours would carry PyJWT's as
    # its context, and that one carries pieces of the token.
    try:
        header: dict[str, object] = _JWS.get_unverified_header(token)
    except jwt.PyJWTError:
        return None
    return header


class _Signed(NamedTuple):
    """A token in its parts: *text* is signed with *signature*, and *payload* is in it."""

    text: bytes
    payload: bytes
    signature: bytes


def _take_apart(token: str) -> _Signed:
    """The parts of a token; raises `Unauthenticated` for a part that is not base64url."""
    text, _, signature = token.rpartition(".")
    payload, signed_with = _decoded(text.partition(".")[2]), _decoded(signature)
    if payload is None or signed_with is None:
        raise _malformed()
    return _Signed(text.encode(), payload, signed_with)


def _decoded(part: str) -> bytes | None:
    """The bytes of *part* (RFC 7515 §2); `None` if it is not how they are spelled."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        return None
    # The last character may have bits that say nothing, and then it is one of several spellings.
    spelled = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    return data if spelled == part else None


def _first_that_opens(
    keys: Sequence[VerificationKey], signed: _Signed, algorithm: str
) -> bytes | None:
    """The payload, if one of the keys signed it. Only keys that serve *algorithm* are given."""
    verifier = _JWS.get_algorithm_by_name(algorithm)
    for key in keys:
        if verifier.verify(signed.text, key.material, signed.signature):
            return signed.payload
    return None
