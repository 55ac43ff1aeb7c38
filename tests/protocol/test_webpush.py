"""Web Push: the example of the RFC, an independent receiver, and what is no subscription."""

from __future__ import annotations

import base64

import http_ece
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.protocol.channels.webpush import (
    PLAIN_BYTES_MAX,
    RECORD_SIZE,
    encrypt,
    public_key_text,
    push_topic,
    raw_public_key,
    read_private_key,
    read_subscription,
    vapid_header,
)

CURVE = ec.SECP256R1()
THEIRS = ec.derive_private_key(7, CURVE)
OURS = ec.derive_private_key(11, CURVE)


def data(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_the_example_of_the_rfc_comes_out():
    # RFC 8291, appendix A.
    ours = ec.derive_private_key(
        int.from_bytes(data("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")), CURVE
    )
    point = data(
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
    )
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        point,
        data("BTBZMqHH6r4Tts7J_aSIgg"),
        data("DGv6ra1nlYgDCS1FRnbzlw"),
        ours,
    )
    assert text(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6"
        "TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulc"
        "y4a-fN"
    )


@settings(max_examples=40)
@given(plain=st.binary(max_size=PLAIN_BYTES_MAX), auth=st.binary(min_size=16, max_size=16))
def test_another_hand_decrypts_it(plain, auth):
    body = encrypt(plain, raw_public_key(THEIRS), auth, b"s" * 16, OURS)

    assert len(body) <= RECORD_SIZE
    assert (
        http_ece.decrypt(body, private_key=THEIRS, auth_secret=auth, version="aes128gcm") == plain
    )


def test_the_header_is_signed_for_the_origin_and_ends():
    header = vapid_header("https://push.example:8443/x/y", OURS, "mailto:a@example.org", 1000)

    signed, _, key = header.removeprefix("vapid t=").partition(", k=")
    assert key == public_key_text(OURS)
    claims = jwt.decode(
        signed,
        OURS.public_key(),
        algorithms=["ES256"],
        audience="https://push.example:8443",
        options={"verify_exp": False},
    )
    assert (claims["exp"], claims["sub"]) == (1000 + 12 * 3600, "mailto:a@example.org")


def test_a_topic_is_one_that_push_services_take():
    assert len(push_topic("0198f0a8-5c1e-7d3a-9b64-2f1c80a7e5d1")) == 32
    assert push_topic("a") != push_topic("b")


def subscription(**keys: str) -> str:
    given_keys = {"p256dh": text(raw_public_key(THEIRS)), "auth": text(b"a" * 16), **keys}
    fields = {"endpoint": "https://push.example/1", "keys": given_keys, "expirationTime": None}
    return msgspec.json.encode(fields).decode()


def test_a_subscription_is_read_as_browsers_write_it():
    assert read_subscription(subscription()) == (
        "https://push.example/1",
        raw_public_key(THEIRS),
        b"a" * 16,
    )


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("{", "is no PushSubscription"),
        (subscription(p256dh="!" * 87), "is no PushSubscription"),
        (subscription(p256dh=text(b"\x04" + b"\x01" * 64)), "no point of P-256"),
        (subscription(auth=text(b"a" * 17)), "17 bytes instead of 16"),
    ],
)
def test_a_text_that_is_no_subscription_is_refused(written, wrong):
    with pytest.raises(ValueError, match=wrong):
        read_subscription(written)


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_only_a_key_of_the_curve_signs():
    assert public_key_text(read_private_key(pem(OURS))) == public_key_text(OURS)
    for other in (pem(ec.generate_private_key(ec.SECP384R1())), "no key"):
        with pytest.raises(ValueError, match="is not a"):
            read_private_key(other)


def test_a_compressed_point_is_refused():
    compressed = THEIRS.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    keys = {"p256dh": text(compressed), "auth": text(b"a" * 16)}
    subscription = msgspec.json.encode({"endpoint": "https://push.example/x", "keys": keys})
    with pytest.raises(ValueError, match="is no PushSubscription"):
        read_subscription(subscription.decode())
