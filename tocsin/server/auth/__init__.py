"""Authentication: from what a client brings to a `Principal`, or a reason why not.

`Authenticator` is the door that the transports knock at. Behind it: `TokenVerifier`
(JSON Web Tokens) with `KeySet` (keys of an identity provider), `KeyRing` (API keys)
and the functions of tickets. What they need of the store comes in as functions, so
this package knows none of the others.
"""

from .authenticator import Authenticator
from .claims import CLOCK_LEEWAY
from .errors import (
    AuthCode,
    AuthConfigurationError,
    AuthError,
    AuthUnavailable,
    Forbidden,
    Unauthenticated,
)
from .jwks import KeySet, KeySetLimits, KeySetStatistics
from .key_ring import KeyRing, KeyRingLimits, KeyRingStatistics
from .keys import KEY_PREFIX, NewKey, StoredKey, generate_key
from .principal import SCOPES, Principal, StreamGrant
from .tickets import NewTicket, Ticket, generate_ticket, redeem_ticket, ticket_for
from .tokens import TOKEN_LENGTH_MAX, TokenVerifier, mint
from .verification_key import VerificationKey, key_from_secret, keys_from_pem

__all__ = [
    "CLOCK_LEEWAY",
    "KEY_PREFIX",
    "SCOPES",
    "TOKEN_LENGTH_MAX",
    "AuthCode",
    "AuthConfigurationError",
    "AuthError",
    "AuthUnavailable",
    "Authenticator",
    "Forbidden",
    "KeyRing",
    "KeyRingLimits",
    "KeyRingStatistics",
    "KeySet",
    "KeySetLimits",
    "KeySetStatistics",
    "NewKey",
    "NewTicket",
    "Principal",
    "StoredKey",
    "StreamGrant",
    "Ticket",
    "TokenVerifier",
    "Unauthenticated",
    "VerificationKey",
    "generate_key",
    "generate_ticket",
    "key_from_secret",
    "keys_from_pem",
    "mint",
    "redeem_ticket",
    "ticket_for",
]
