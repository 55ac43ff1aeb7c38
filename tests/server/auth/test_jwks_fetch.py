"""Key sets are fetched from safe addresses only, and other documents are not taken for one."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import trio

from tests.server.auth.issuer_kit import published
from tocsin.server.auth.errors import AuthConfigurationError, AuthUnavailable
from tocsin.server.auth.jwks import KeySet, KeySetLimits

LIMITS = KeySetLimits()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"keys":{}}', b"\xff", b"[" * 100_000], ids=range(6)
)
async def test_an_answer_that_is_no_key_set_is_a_failure(key_set, provider, body):
    provider.body = body
    with pytest.raises(AuthUnavailable):
        await key_set.find("kid-0", "ES256")
    assert key_set.statistics().last_failure == "the answer is not a JSON Web Key Set"


async def test_an_answer_beyond_its_bound_is_a_failure(key_set, provider):
    provider.body = b'{"keys":[]}' + b" " * LIMITS.body_bytes_max
    with pytest.raises(AuthUnavailable):
        await key_set.find("kid-0", "ES256")
    assert key_set.statistics().last_failure == "the answer exceeds 262144 bytes"


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "X-Gzip"])
async def test_an_answer_that_comes_in_gzip_unasked_is_unpacked(key_set, provider, coding):
    provider.body = gzip.compress(json.dumps({"keys": provider.keys}).encode())
    provider.headers = {"Content-Encoding": coding}
    assert len(await key_set.find("kid-0", "ES256")) == 1


async def test_no_coding_has_a_name_in_any_case(key_set, provider):
    provider.headers = {"Content-Encoding": "Identity"}
    assert len(await key_set.find("kid-0", "ES256")) == 1


WHOLE = gzip.compress(b'{"keys":[]}')


@pytest.mark.parametrize(
    ("coding", "body", "reason"),
    [
        ("br", b"", "the answer is compressed in a way that was not asked for"),
        ("gzip, gzip", WHOLE, "the answer is compressed in a way that was not asked for"),
        ("gzip", b'{"keys":[]}', "the answer is not the gzip that it says it is"),
        ("gzip", WHOLE[:-1], "the answer is cut off"),
        ("gzip", b"", "the answer is cut off"),
        (
            "gzip",
            gzip.compress(b'{"keys":[]}' + b" " * LIMITS.body_bytes_max),
            "the answer unpacks to more than 262144 bytes",
        ),
    ],
    ids=range(6),
)
async def test_an_answer_that_cannot_be_unpacked_is_a_failure(
    key_set, provider, coding, body, reason
):
    provider.body = body
    provider.headers = {"Content-Encoding": coding}
    with pytest.raises(AuthUnavailable):
        await key_set.find("kid-0", "ES256")
    assert key_set.statistics().last_failure == reason


async def test_a_set_has_as_many_keys_as_fit_and_what_is_no_key_is_passed_over(key_set, provider):
    strange: list[Any] = [None, 7, {}, {"kty": "EC", "crv": "P-256", "x": "", "y": "AA"}]
    provider.keys = [*strange, *(published(1) | {"kid": f"other-{n}"} for n in range(500))]
    provider.keys.append(published(0))
    assert len(await key_set.find("kid-0", "ES256")) == 1
    assert key_set.statistics().keys == 501


async def test_a_redirect_is_not_followed(key_set, provider):
    provider.status = 302
    provider.headers = {"Location": provider.url}
    with pytest.raises(AuthUnavailable):
        await key_set.find("kid-0", "ES256")
    assert key_set.statistics().last_failure == "status 302"
    assert provider.requests == 1


async def test_a_provider_that_does_not_answer_is_given_up(provider, clock):
    provider.hold()
    key_set = KeySet(provider.url, monotonic=clock, limits=KeySetLimits(timeout=0.05))
    with trio.fail_after(5), pytest.raises(AuthUnavailable):
        await key_set.find("kid-0", "ES256")
    assert key_set.statistics().last_failure == "no answer within 0.05 s"


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example/keys",
        "http://10.0.0.1/keys",
        "http://localhost.example/keys",
        "ftp://idp.example/keys",
        "file:///etc/passwd",
        "idp.example/keys",
        "https://",
        "",
        "https://user:hunter2@idp.example/keys",
        "http://[::1",
    ],
)
def test_a_url_that_cannot_be_trusted_is_a_configuration_error(url):
    with pytest.raises(AuthConfigurationError) as caught:
        KeySet(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://idp.example/k", "http://localhost:1/k", "http://127.0.0.2/k", "http://[::1]:8080/k"],
)
def test_https_and_this_machine_itself_are_accepted(url):
    assert KeySet(url).statistics().keys == 0


def test_plain_http_is_accepted_when_told():
    assert KeySet("http://idp.example/keys", insecure_http=True).statistics().keys == 0
