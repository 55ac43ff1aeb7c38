"""From the payload of a token whose signature held to a principal. Pure.

PyJWT can check claims too, but it reads the machine's clock to do it, and half a
check here and half there is how gaps are made. So PyJWT does signatures, and
every claim is looked at in this file, against the time that is passed in.

Sources: RFC 7519 §4.1 (the claims), RFC 8725 §3 (best current practice).
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from tocsin.protocol.user_ids import is_user_id
from tocsin.server.auth.errors import AuthCode, Unauthenticated
from tocsin.server.auth.principal import SCOPES, Principal

CLOCK_LEEWAY: Final = 30.0
"""Seconds by which an issuer's clock may be ahead of ours (RFC 7519 §4.1.5: "some small leeway").
It applies to `nbf` and `iat` only. `exp` gets none: a session lives until `exp`, so a token
accepted after it would open one that is already over."""

NUMERIC_DATE_MAX: Final = 253_402_300_799
"""The last second of the year 9999: beyond it the date types of Python and of both databases fail,
so a larger number is refused here and not in the middle of a query."""

ISSUER_LENGTH_MAX: Final = 256
"""Characters. The issuer becomes part of a column (`Principal.credential`)."""

CREDENTIAL_BYTES_MAX: Final = 1024
"""Bytes. With an idempotency key it must fit into an entry of an index of Postgres, 2 704 bytes,
and an issuer and a user of many scripts may come to four thousand."""

SUBJECT: Final = "sub"
"""The claim that names the user, unless the settings say another (RFC 7519 §4.1.2)."""

_SCOPE_CLAIMS: Final = ("scope", "scp")
"""Where scopes may stand: as text with spaces (RFC 8693 §4.2, and most providers in both) or as a
list (Okta in `scp`). Entra says `scp` and not `scope`."""


@dataclass(frozen=True, slots=True)
class Expectations:
    """The claims that a token must have; None where anything, or nothing, will do.

    *user_claim* is the name of the claim that holds the user's id, at the top of the
    payload: dots and slashes in it are letters as any others.
    """

    audience: str | None = None
    issuer: str | None = None
    user_claim: str = SUBJECT


def principal_from_claims(payload: bytes, expected: Expectations, now: float) -> Principal:
    """Read the payload of a verified token. *now* is in Unix seconds.

    Raises `Unauthenticated` with a `token_…` code. The caller has checked the
    signature: this function believes what it reads.
    """
    claims = _parse(payload)
    expires_at = _check_times(claims, now)
    issuer = _check_issuer(claims, expected.issuer)
    _check_audience(claims, expected.audience)
    user = _read_user(claims, expected.user_claim)
    return Principal(
        user=user,
        scopes=_read_scopes(claims),
        credential=jwt_credential(issuer, user),
        expires_at=expires_at,
    )


def _parse(payload: bytes) -> dict[str, object]:
    claims: object = None
    # Refused below and not in an `except`, where ours would carry the payload as its context.
    with suppress(ValueError, RecursionError):
        claims = json.loads(payload)
    if not isinstance(claims, dict):
        raise Unauthenticated("The token's payload is not a JSON object.", AuthCode.TOKEN_MALFORMED)
    return claims


def _check_times(claims: dict[str, object], now: float) -> float:
    expires_at = _numeric_date(claims, "exp")
    if expires_at is None:
        raise Unauthenticated("The token has no exp claim.", AuthCode.TOKEN_CLAIM_MISSING)
    if now >= expires_at:
        raise Unauthenticated("The token has expired.", AuthCode.TOKEN_EXPIRED)
    for name in ("nbf", "iat"):
        starts_at = _numeric_date(claims, name)
        if starts_at is not None and starts_at > now + CLOCK_LEEWAY:
            raise Unauthenticated("The token is not valid yet.", AuthCode.TOKEN_NOT_YET_VALID)
    return expires_at


def _numeric_date(claims: dict[str, object], name: str) -> float | None:
    """A claim in Unix seconds. Not a string, not a bool, not NaN, not past the year 9999."""
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _invalid(name)
    if not 0 <= value <= NUMERIC_DATE_MAX:
        raise _invalid(name)
    return float(value)


def _check_issuer(claims: dict[str, object], expected: str | None) -> str:
    issuer = claims.get("iss", "")
    # Printable excludes control characters and lone surrogates, which no database
    # takes as text.
    if not isinstance(issuer, str) or not issuer.isprintable() or len(issuer) > ISSUER_LENGTH_MAX:
        raise _invalid("iss")
    if expected is not None and issuer != expected:
        raise Unauthenticated("The token is from another issuer.", AuthCode.TOKEN_ISSUER)
    return issuer


def _check_audience(claims: dict[str, object], expected: str | None) -> None:
    if expected is None:
        return
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if expected not in named:
        raise Unauthenticated("The token is for another audience.", AuthCode.TOKEN_AUDIENCE)


def _read_user(claims: dict[str, object], name: str) -> str:
    if name not in claims:
        raise Unauthenticated(f"The token has no {name} claim.", AuthCode.TOKEN_CLAIM_MISSING)
    user = claims[name]
    if not isinstance(user, str) or not is_user_id(user):
        raise _invalid(name)
    return user


def jwt_credential(issuer: str, user: str) -> str:
    """The name of the credential that all tokens of *issuer* for *user* are."""
    # Quoted, because both halves may hold colons: issuer "a" with subject "b:c"
    # must not share idempotency keys with issuer "a:b" and subject "c".
    name = f"jwt:{quote(issuer, safe='')}:{user}"
    if len(name.encode()) <= CREDENTIAL_BYTES_MAX:
        return name
    return f"jwt-sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def _read_scopes(claims: dict[str, object]) -> frozenset[str]:
    """The scopes that the claims name together, less those that are not ours."""
    said = (word for name in _SCOPE_CLAIMS for word in _words(claims, name))
    return SCOPES.intersection(said)


def _words(claims: dict[str, object], name: str) -> list[str]:
    said = claims.get(name, "")
    if isinstance(said, str):
        return said.split(" ")
    if not isinstance(said, list) or not all(isinstance(word, str) for word in said):
        raise _invalid(name)
    return said


def _invalid(name: str) -> Unauthenticated:
    return Unauthenticated(f"The token's {name} claim is not usable.", AuthCode.TOKEN_CLAIM_INVALID)
