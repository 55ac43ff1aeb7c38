"""What may be fetched, from where, and what is not taken for a key set."""

from __future__ import annotations

import gzip
import json

import pytest
import trio

from tocsin.server.auth import AuthConfigurationError, AuthUnavailable, KeySet, KeySetLimits

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


async def test_a_compressed_answer_is_a_failure(key_set, provider):
    provider.body = gzip.compress(json.dumps({"keys": provider.keys}).encode())
    provider.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(AuthUnavailable):
        await key_set.find("kid-0", "ES256")
    assert key_set.statistics().last_failure == "the answer is compressed"


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
