"""The faults of a credential, and whose they are.

Three answers, one per class: the caller did not prove who it is
(`Unauthenticated`, 401), it did and may not do this (`Forbidden`, 403), or we
cannot tell just now (`AuthUnavailable`, 503). Keeping the third apart matters:
a client that is told 401 throws its credential away, one that is told 503
comes back with it.

`detail` is for humans and is always one of our own fixed sentences, at most with the
name of a claim from the settings. Nothing that the caller sent is ever quoted in it:
these texts end in logs, and a credential with a typing error in it is still nearly a
credential.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tocsin.protocol.refusal import Refusal, Refused


class AuthCode(StrEnum):
    """The stable words for `code` in problem documents. Renaming one breaks clients."""

    # 401: no credential, or not in a form that can be looked at
    TOKEN_MISSING = "token_missing"
    AUTHORIZATION_MALFORMED = "authorization_malformed"
    AUTHORIZATION_SCHEME = "authorization_scheme"
    # 401: JSON Web Tokens
    TOKEN_TOO_LONG = "token_too_long"
    TOKEN_MALFORMED = "token_malformed"
    TOKEN_UNSUPPORTED = "token_unsupported"
    TOKEN_TYPE = "token_type"
    TOKEN_ALGORITHM = "token_algorithm"
    TOKEN_KEY_UNKNOWN = "token_key_unknown"
    TOKEN_SIGNATURE = "token_signature"
    TOKEN_CLAIM_MISSING = "token_claim_missing"
    TOKEN_CLAIM_INVALID = "token_claim_invalid"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"
    TOKEN_ISSUER = "token_issuer"
    TOKEN_AUDIENCE = "token_audience"
    # 401: API keys
    KEY_MALFORMED = "key_malformed"
    KEY_UNKNOWN = "key_unknown"
    KEY_REVOKED = "key_revoked"
    # 401: tickets
    TICKET_MALFORMED = "ticket_malformed"
    TICKET_UNKNOWN = "ticket_unknown"
    TICKET_EXPIRED = "ticket_expired"
    TICKET_ELSEWHERE = "ticket_elsewhere"
    # 403
    SCOPE_MISSING = "scope_missing"
    USER_MISSING = "user_missing"
    # 503
    JWKS_UNAVAILABLE = "jwks_unavailable"
    KEYS_BUSY = "keys_busy"
    KEYS_UNAVAILABLE = "keys_unavailable"


_KINDS: Final = {
    AuthCode.TOKEN_MISSING: "missing",
    AuthCode.TOKEN_EXPIRED: "expired",
    AuthCode.TICKET_EXPIRED: "expired",
    AuthCode.TOKEN_SIGNATURE: "signature",
    AuthCode.TOKEN_KEY_UNKNOWN: "signature",
    AuthCode.TOKEN_NOT_YET_VALID: "claims",
    AuthCode.TOKEN_CLAIM_MISSING: "claims",
    AuthCode.TOKEN_CLAIM_INVALID: "claims",
    AuthCode.TOKEN_ISSUER: "claims",
    AuthCode.TOKEN_AUDIENCE: "claims",
    AuthCode.KEY_UNKNOWN: "key",
    AuthCode.KEY_REVOKED: "key",
    AuthCode.TICKET_UNKNOWN: "ticket",
    AuthCode.TICKET_ELSEWHERE: "ticket",
}
MALFORMED: Final = "malformed"
"""The kind of all other failures: the credential is none that this server takes."""
FAILURES: Final = (*dict.fromkeys(_KINDS.values()), MALFORMED)
"""The kinds of failures that are told apart in metrics."""


def failure_kind(code: AuthCode) -> str:
    """The kind of the failure to prove who one is."""
    return _KINDS.get(code, MALFORMED)


class AuthError(Refused):
    """A request that is not let through; *detail* quotes no input. *retry_after* in seconds."""

    def __init__(
        self,
        detail: str,
        code: AuthCode,
        *,
        challenge: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        refusal = Refusal(
            code=str(code), detail=detail, retry_after=retry_after, challenge=challenge
        )
        super().__init__(refusal)
        self.detail = detail
        self.code = code


class Unauthenticated(AuthError):
    """We do not know who the caller is: 401, close code 4401."""

    def __init__(self, detail: str, code: AuthCode) -> None:
        # A 401 must carry this (RFC 9110 §11.6.1, RFC 6750 §3). A request without any credential
        # gets the bare challenge: RFC 6750 asks that no error be named to a caller who has not
        # tried yet.
        challenge = 'Bearer realm="tocsin"'
        if code is not AuthCode.TOKEN_MISSING:
            challenge += f', error="invalid_token", error_description="{detail}"'
        super().__init__(detail, code, challenge=challenge)


class Forbidden(AuthError):
    """We know who the caller is, and it may not do this: 403, close code 4403.

    *scope* is the one that would do, where that is what is missing (RFC 6750 §3.1).
    """

    def __init__(self, detail: str, code: AuthCode, scope: str | None = None) -> None:
        challenge = 'Bearer realm="tocsin", error="insufficient_scope"'
        if scope is not None:
            challenge += f', scope="{scope}"'
        super().__init__(detail, code, challenge=challenge)


class AuthUnavailable(AuthError):
    """Neither yes nor no: what decides it cannot be reached now. 503 with `Retry-After`.

    *retry_after* is in seconds.
    """

    def __init__(self, detail: str, code: AuthCode, retry_after: float) -> None:
        super().__init__(detail, code, retry_after=retry_after)
        self.retry_after = retry_after


class AuthConfigurationError(ValueError):
    """The operator's settings cannot be used. Raised at start, never for a request.

    The text names what is wrong and how to repair it, and never holds the secret.
    """
