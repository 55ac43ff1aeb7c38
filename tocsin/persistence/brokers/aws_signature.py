"""AWS Signature Version 4, of a POST to the root of a service: all that SQS needs.

A request is signed with a key that is derived from the secret, the day, the region and the service,
so the secret itself never leaves the node. See "Create a signed AWS API request" in AWS's Reference
Guide for Identity and Access Management.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_END: Final = "aws4_request"


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """An access key with its secret; temporary ones have a session's *token* too."""

    key: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class AwsScope:
    """Where a signature holds: a *service* in a *region*."""

    region: str
    service: str


def aws_signed(
    headers: Mapping[str, str],
    body: bytes,
    credentials: AwsCredentials,
    scope: AwsScope,
    now: datetime,
) -> dict[str, str]:
    """*headers*, which have the `Host`, with those that sign them and *body*; *now* is in UTC."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {name.lower(): " ".join(text.split()) for name, text in headers.items()}
    signed["x-amz-date"] = stamp
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(signed))
    lines = [f"{name}:{signed[name]}" for name in sorted(signed)]
    canonical = "\n".join(["POST", "/", "", *lines, "", names, hashlib.sha256(body).hexdigest()])
    place = f"{stamp[:8]}/{scope.region}/{scope.service}/{_END}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{stamp}\n{place}\n{digest}"
    signature = _mac(_signing_key(credentials.secret, stamp[:8], scope), text).hex()
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.key}/{place}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


def _signing_key(secret: str, day: str, scope: AwsScope) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, scope.region, scope.service, _END):
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
