"""Standard Webhooks: what is sent, and how it is signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from tocsin.protocol.receipts.receipt import Receipt
from tocsin.protocol.receipts.sink import Secret
from tocsin.protocol.receipts.webhook import (
    letter_message,
    message_of,
    new_secret,
    rotated,
    signed_headers,
    trial_message,
)

NOW = 1_700_000_000_123
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def receipt(position=7, kind="delivered", detail=None):
    return Receipt(position, kind, "n1", "orders", "ada", "phone", None, NOW, detail)


def test_a_signature_is_that_of_the_specification():
    """The example of https://github.com/standard-webhooks/standard-webhooks, spec and libraries."""
    body = b'{"test": 2432232314}'
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", body, [Secret(SECRET)], 1_614_265_330_000
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["content-type"] == "application/json"


def test_each_secret_in_force_signs():
    secrets = (Secret(new_secret(b"n" * 32)), Secret(SECRET, NOW + 1), Secret(SECRET, NOW))
    marks = signed_headers("m", b"{}", secrets, NOW)["webhook-signature"].split(" ")
    text = b"m.1700000000.{}"
    right = hmac.new(b"n" * 32, text, hashlib.sha256).digest()
    assert marks[0] == "v1," + base64.b64encode(right).decode()
    assert len(marks) == 2


def test_a_rotation_keeps_the_former_secrets_for_the_overlap():
    first = (Secret("a"),)
    second = rotated(first, "b", NOW, 60)
    assert second == (Secret("b"), Secret("a", NOW + 60_000))
    third = rotated(second, "c", NOW + 10_000, 3600)
    assert third == (Secret("c"), Secret("b", NOW + 3_610_000), Secret("a", NOW + 60_000))
    assert rotated(third, "d", NOW + 20_000, 60)[1:] == (
        Secret("c", NOW + 80_000),
        Secret("b", NOW + 80_000),
    )
    assert rotated(third, "d", NOW + 20_000, 0) == (Secret("d"),)


def test_a_message_has_its_receipts_and_one_id_at_every_attempt():
    batch = [receipt(7), receipt(9, "dead", '{"attempts":3}')]
    message_id, body = message_of(batch, "e1", None, alone=False)
    assert (message_id, body) == message_of(batch, "e1", None, alone=False)
    assert message_id.startswith("rcp_e1_7_9_")
    said = json.loads(body)
    assert said["type"] == "notification.receipts"
    assert said["data"]["receipts"][1] == {
        "id": "e1-9",
        "kind": "dead",
        "at": "2023-11-14T22:13:20.123Z",
        "notification": "n1",
        "category": "orders",
        "user": "ada",
        "device": "phone",
        "channel": None,
        "detail": {"attempts": 3},
    }
    other, _ = message_of([receipt(7), receipt(9)], "e1", None, alone=False)
    assert other != message_id


def test_a_message_of_one_is_the_receipt_itself():
    _, body = message_of([receipt(7)], "e1", (3, 6), alone=True)
    said = json.loads(body)
    assert said["type"] == "notification.delivered"
    assert said["data"]["id"] == "e1-7"
    assert said["data"]["gap"] == {"from": "e1-3", "to": "e1-6"}


def test_a_gap_stands_beside_the_receipts():
    _, body = message_of([receipt(7)], "e1", (3, 6), alone=False)
    assert json.loads(body)["data"]["gap"] == {"from": "e1-3", "to": "e1-6"}


def test_a_letter_is_carried_again_as_a_batch_of_one():
    _, body = message_of([receipt(7)], "e1", None, alone=False)
    text = json.dumps(json.loads(body)["data"]["receipts"][0])
    message_id, again = letter_message(text, "e1", 7, alone=False)
    assert json.loads(again) == json.loads(body)
    assert message_id == "rcp_e1_7_7_again"
    _, single = letter_message(text, "e1", 7, alone=True)
    assert json.loads(single)["type"] == "notification.delivered"


def test_a_test_says_that_it_is_one():
    _, body = trial_message("w1", NOW)
    assert json.loads(body)["type"] == "test"
