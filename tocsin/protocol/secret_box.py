"""Secrets at rest: sealed with a key of the operator's, so that a copy of the database tells none.

AES-256-GCM (NIST SP 800-38D) with a nonce of chance. The place of a secret is authenticated with it
(*context*), so that a sealed text that is moved to another row does not open there. Of several
keys the first seals, and each opens what it has sealed; a text that was written before there was a
key is read as it is.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from tocsin.protocol.errors import DescribedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
"""AES-256."""
_NONCE_BYTES: Final = 12
"""As GCM wants it; by chance, one key may seal some four thousand million texts."""
_MARK: Final = "sealed:"


class SecretUnreadable(DescribedError):
    """No key of `secrets_key` opens this text, or it was changed, or belongs elsewhere."""


class SecretBox:
    """See the module; without *keys* nothing is sealed. *entropy(n)* gives n bytes of chance."""

    def __init__(self, keys: Sequence[bytes] = (), entropy: Callable[[int], bytes] = bytes) -> None:
        self._entropy = entropy
        self._ciphers: dict[str, AESGCM] = {}
        if keys:
            # Imported here: a node without a key does without.
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._ciphers = {_name(key): AESGCM(key) for key in keys}

    def seal(self, text: str, context: str) -> str:
        """*text* sealed for *context*; itself, if there is no key."""
        for name, cipher in self._ciphers.items():
            nonce = self._entropy(_NONCE_BYTES)
            sealed = nonce + cipher.encrypt(nonce, text.encode(), context.encode())
            return f"{_MARK}{name}:{base64.b64encode(sealed).decode()}"
        return text

    def is_current(self, text: str) -> bool:
        """Whether the first key has sealed *text*; without keys, whether no key has."""
        name = next(iter(self._ciphers), None)
        if name is None:
            return not text.startswith(_MARK)
        return text.startswith(f"{_MARK}{name}:")

    def open(self, text: str, context: str) -> str:
        """The secret in *text*, which may not be sealed. Raises `SecretUnreadable`."""
        if not text.startswith(_MARK):
            return text
        name, _, content = text.removeprefix(_MARK).partition(":")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise SecretUnreadable("it was sealed with a key that `secrets_key` does not have")
        try:
            sealed = base64.b64decode(content, validate=True)
            plain = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode())
        except Exception:
            # InvalidTag of the library, and ValueError of a text that was cut.
            raise SecretUnreadable("it was changed, or belongs to something else") from None
        return plain.decode()


def _name(key: bytes) -> str:
    """The name of *key* in what it seals: it tells nothing of the key."""
    return hashlib.sha256(b"tocsin secrets key" + key).hexdigest()[:8]


def address_context(user: str, channel: str, name: str) -> str:
    """The context of an address's value."""
    return f"address\0{user}\0{channel}\0{name}"


def webhook_context(webhook: str) -> str:
    """The context of a webhook's secrets."""
    return f"webhook\0{webhook}"
