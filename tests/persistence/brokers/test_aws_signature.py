"""Signatures of AWS, held against the vectors that AWS has published."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tocsin.persistence.brokers.aws_signature import AwsCredentials, AwsScope, aws_signed

# From AWS's "Signature Version 4 Test Suite": the requests that are a POST to `/`.
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
SCOPE = AwsScope("us-east-1", "service")
KEY = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPf"
    "IeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7W"
    "Z0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8F"
    "DrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
HOST = {"Host": "example.amazonaws.com"}
VECTORS = {
    "post-vanilla": (
        *(HOST, b"", KEY),
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-header-key-sort": (
        *(HOST | {"My-Header1": "value1"}, b"", KEY),
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-header-value-case": (
        *(HOST | {"My-Header1": "VALUE1"}, b"", KEY),
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    "post-sts-header-before": (
        *(HOST, b"", AwsCredentials(KEY.key, KEY.secret, TOKEN)),
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    ),
    "post-x-www-form-urlencoded": (
        HOST | {"Content-Type": "application/x-www-form-urlencoded"},
        *(b"Param1=value1", KEY),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_request_is_signed_as_aws_has_published(name):
    headers, body, credentials, signature = VECTORS[name]
    signed = aws_signed(headers, body, credentials, SCOPE, NOW)
    assert signed["authorization"].rpartition("Signature=")[2] == signature
    assert signed["authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders="
    )
    assert signed["x-amz-date"] == "20150830T123600Z"


def test_spaces_in_a_header_do_not_change_its_signature():
    plain = aws_signed(HOST | {"A": "b c"}, b"", KEY, SCOPE, NOW)
    spaced = aws_signed(HOST | {"A": "  b   c "}, b"", KEY, SCOPE, NOW)
    assert spaced["authorization"] == plain["authorization"]


def test_secrets_do_not_show():
    assert "wJalr" not in repr(KEY)
    assert TOKEN not in repr(AwsCredentials("key", "secret", TOKEN))
