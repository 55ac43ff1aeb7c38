"""Web Push, the application server's half: encryption (RFC 8291, with the `aes128gcm` of RFC 8188),
and VAPID (RFC 8292). Chance and time come in as arguments.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import Annotated, Final
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta

RECORD_SIZE: Final = 4096
"""Bytes of the one record, which push services take at most (RFC 8030 §7.2)."""
PLAIN_BYTES_MAX: Final = 3993
"""Bytes of a message: what is left beside salt, key, padding and tag (RFC 8291 §4)."""
SALT_BYTES: Final = 16
"""Bytes of chance for each message (RFC 8188 §2.1)."""
_AUTH_BYTES: Final = 16
"""Bytes of the browser's secret (RFC 8291 §3.2)."""
VAPID_LIFETIME: Final = 12 * 3600
"""Seconds for which a header is good: half of what RFC 8292 §2 allows, for clocks that differ."""
TOPIC_LENGTH: Final = 32
"""Characters of a `Topic` (RFC 8030 §5.4)."""


class SubscriptionKeys(msgspec.Struct, frozen=True):
    """The browser's public key and its secret, as `PushSubscription` has them (base64url)."""

    p256dh: Annotated[str, Meta(min_length=80, max_length=100)]
    auth: Annotated[str, Meta(min_length=20, max_length=30)]


class PushSubscription(msgspec.Struct, frozen=True):
    """A browser's `PushSubscription`, as its `toJSON` writes it."""

    endpoint: Annotated[str, Meta(min_length=1, max_length=2048)]
    keys: SubscriptionKeys


def read_subscription(text: str) -> tuple[str, bytes, bytes]:
    """The endpoint, the public key and the secret in *text*; raises `ValueError`."""
    try:
        subscription = msgspec.json.decode(text, type=PushSubscription)
        point = _bytes(subscription.keys.p256dh)
        auth = _bytes(subscription.keys.auth)
    except (msgspec.DecodeError, binascii.Error) as error:
        raise ValueError(f"is no PushSubscription: {error}") from None
    if len(auth) != _AUTH_BYTES:
        raise ValueError(f"has keys.auth of {len(auth)} bytes instead of {_AUTH_BYTES}")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise ValueError("has a keys.p256dh that is no point of P-256") from None
    return subscription.endpoint, point, auth


def encrypt(
    plain: bytes, point: bytes, auth: bytes, salt: bytes, ours: ec.EllipticCurvePrivateKey
) -> bytes:
    """The body for a push service: *plain*, at most `PLAIN_BYTES_MAX` bytes, for the browser with
    the public key *point* and the secret *auth* (RFC 8291 §3.4). *salt* and *ours* are used once.
    """
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    public = raw_public_key(ours)
    shared = ours.exchange(ec.ECDH(), theirs)
    key = _derived(auth, shared, b"WebPush: info\0" + point + public, 32)
    content_key = _derived(salt, key, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(salt, key, b"Content-Encoding: nonce\0", 12)
    head = salt + struct.pack(">IB", RECORD_SIZE, len(public)) + public
    return head + AESGCM(content_key).encrypt(nonce, plain + b"\x02", None)


def vapid_header(
    endpoint: str, private: ec.EllipticCurvePrivateKey, contact: str, now_s: int
) -> str:
    """The `Authorization` of a push to *endpoint*, good for `VAPID_LIFETIME` from *now_s*."""
    claims = {"aud": origin_of(endpoint), "exp": now_s + VAPID_LIFETIME, "sub": contact}
    token = jwt.encode(claims, private, algorithm="ES256")
    return f"vapid t={token}, k={public_key_text(private)}"


def origin_of(endpoint: str) -> str:
    """The origin of *endpoint*."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"


def raw_public_key(private: ec.EllipticCurvePrivateKey) -> bytes:
    """The public key of *private* as an uncompressed point."""
    return private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def public_key_text(private: ec.EllipticCurvePrivateKey) -> str:
    """The public key of *private* as browsers want it (`applicationServerKey`)."""
    return _text(raw_public_key(private))


def read_private_key(pem: str) -> ec.EllipticCurvePrivateKey:
    """The key in *pem*; raises `ValueError` unless it is one of P-256."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        raise ValueError("is not a private key in PEM form") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ValueError("is not a key of the curve P-256")
    return key


def push_topic(notification: str) -> str:
    """The `Topic` of a notification: a push service keeps one message for each."""
    return _text(hashlib.sha256(notification.encode()).digest())[:TOPIC_LENGTH]


def _derived(salt: bytes, key: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(key)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
