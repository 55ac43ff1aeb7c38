"""Seals: proof that a value in Redis was put there by a node of this cluster.

All nodes share a secret, which is in the database and nowhere else. From it a key is derived for
each purpose and each place, so that nothing that was sealed as one thing passes for another. A seal
is a MAC: keyed BLAKE2b (RFC 7693), cut to 128 bits, over a *context*, which says where the thing
belongs, and the thing itself.

A seal proves the origin, not the time: an attacker who can read Redis may repeat a sealed value.
Each purpose has its own defence in the value itself (`protocol.envelopes`,
`persistence.redis.spool`).
"""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from typing import Any, Final

from tocsin.protocol.errors import DescribedError

SEAL_BYTES: Final = 16
"""128 bits: beyond guessing."""
_KEY_BYTES: Final = 32
"""256 bits, so that deriving a key loses nothing of the secret's strength."""
_SALT: Final = b"tocsin seals 1"


class Purpose(StrEnum):
    """The kinds of sealed values; each has a key of its own."""

    BUS = "bus"
    DISCONNECTED = "disconnected"
    SPOOL = "spool"
    ASIDE = "aside"
    CLAIM = "claim"
    PRESENCE = "presence"


class KeyUnknown(DescribedError):
    """The secret is not known yet: the store was never reached."""


class Seal:
    """Seals for one purpose; `KeyUnknown` until the secret is known."""

    __slots__ = ("_keyed",)

    def __init__(self) -> None:
        self._keyed: Any = None

    def learn(self, key: bytes) -> None:
        # Kept with the key taken in already, which is half of what a short message costs.
        self._keyed = hashlib.blake2b(key=key, digest_size=SEAL_BYTES)

    def of(self, context: bytes, thing: bytes) -> bytes:
        """The seal of *thing*, which belongs to *context*."""
        if self._keyed is None:
            raise KeyUnknown
        mac = self._keyed.copy()
        mac.update(len(context).to_bytes(4) + context)
        mac.update(thing)
        digest: bytes = mac.digest()
        return digest

    def fits(self, seal: bytes, context: bytes, thing: bytes) -> bool:
        """Whether *seal* is that of *thing* in *context*; compared in constant time."""
        return hmac.compare_digest(seal, self.of(context, thing))


class Seals:
    """The seals of a node, for every purpose; *place* is the prefix of its keys in Redis."""

    def __init__(self, place: str = "") -> None:
        self._place = place.encode()
        self._seals = {purpose: Seal() for purpose in Purpose}
        self.known = False

    def learn(self, secret: str) -> None:
        """Derive all keys from *secret*, which the nodes share. The first call holds: a process has
        one secret."""
        if self.known:
            return
        # Extract, then expand, as HKDF does (RFC 5869), with BLAKE2b for HMAC.
        root = hashlib.blake2b(secret.encode(), key=_SALT, digest_size=_KEY_BYTES).digest()
        for purpose, seal in self._seals.items():
            label = purpose.encode() + b"\0" + self._place
            seal.learn(hashlib.blake2b(label, key=root, digest_size=_KEY_BYTES).digest())
        self.known = True

    def __getitem__(self, purpose: Purpose) -> Seal:
        return self._seals[purpose]
