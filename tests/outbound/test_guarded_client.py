"""The guarded client against receivers of all manners, over real sockets."""

from __future__ import annotations

import ipaddress
import ssl
from functools import partial

import pytest
import trio

from servers.authority import certify
from tests.outbound.receiver_kit import Receiver, drips, floods, hangs, hangs_up, says
from tocsin.outbound.client import GuardedClient
from tocsin.outbound.tls import client_context
from tocsin.protocol.outbound import OutboundFailed

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1")]
HEADERS = {"content-type": "application/json"}


@pytest.fixture
async def receiver(nursery):
    receiver = Receiver()
    await nursery.start(receiver.serve)
    return receiver


@pytest.fixture
async def client():
    client = GuardedClient(LOOPBACK, http_allowed=True)
    yield client
    await client.aclose()


async def failure(client: GuardedClient, url: str) -> str:
    with trio.fail_after(5), pytest.raises(OutboundFailed) as refused:
        await client.post(url, HEADERS, b"{}")
    return refused.value.reason


async def test_a_request_arrives_whole(client, receiver):
    answer = await client.post(receiver.url, HEADERS, b'{"a":1}')

    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["content-length"] == "2"
    (request,) = receiver.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert b"accept-encoding: identity" in head
    assert b"content-type: application/json" in head


async def test_a_connection_is_used_again(client, receiver):
    for _ in range(3):
        await client.post(receiver.url, HEADERS, b"{}")
    assert (len(receiver.requests), receiver.connections) == (3, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1"])
async def test_loopback_is_forbidden_in_all_its_forms(receiver, host):
    client = GuardedClient(http_allowed=True)
    assert await failure(client, f"http://{host}:{receiver.port}/") == "forbidden_address"
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"])
async def test_loopback_is_forbidden_in_ipv6_too(receiver, host):
    client = GuardedClient(http_allowed=True)
    assert await failure(client, f"http://{host}:{receiver.port}/") == "forbidden_address"
    assert receiver.connections == 0


async def test_one_bad_address_condemns_a_name(receiver):
    async def mixed(host):
        return ["93.184.216.34", "127.0.0.1"]

    client = GuardedClient(http_allowed=True, resolve=mixed)
    assert await failure(client, f"http://evil.example:{receiver.port}/") == "forbidden_address"
    assert receiver.connections == 0


async def test_a_name_that_leads_inside_after_it_was_judged_is_forbidden(receiver):
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])

    async def rebinding(host):
        return next(answers)

    client = GuardedClient(http_allowed=True, resolve=rebinding)
    url = f"http://rebind.example:{receiver.port}/"
    await client.check(url)
    assert await failure(client, url) == "forbidden_address"
    assert receiver.connections == 0


async def test_the_address_that_was_judged_is_connected_to(receiver):
    asked = []

    async def once(host):
        asked.append(host)
        return ["127.0.0.1"]

    client = GuardedClient(LOOPBACK, http_allowed=True, resolve=once)
    url = f"http://receiver.example:{receiver.port}/"
    assert (await client.post(url, HEADERS, b"{}")).status == 200
    assert asked == ["receiver.example"]
    assert (
        f"Host: receiver.example:{receiver.port}".lower().encode() in receiver.requests[0].lower()
    )
    await client.aclose()


async def test_the_next_address_is_tried_if_one_does_not_answer(receiver):
    async def two(host):
        return ["127.0.0.77", "127.0.0.1"]

    client = GuardedClient(LOOPBACK, http_allowed=True, resolve=two)
    url = f"http://receiver.example:{receiver.port}/"
    assert (await client.post(url, HEADERS, b"{}")).status == 200
    await client.aclose()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(client, receiver, status):
    receiver.behave = says(
        b"HTTP/1.1 %d x\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
        % (status, receiver.url.encode())
    )
    assert (await client.post(receiver.url, HEADERS, b"{}")).status == status
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("behave", [hangs, drips])
async def test_a_receiver_that_takes_too_long_is_given_up(receiver, behave):
    receiver.behave = behave
    client = GuardedClient(LOOPBACK, http_allowed=True, timeout=0.3)
    assert await failure(client, receiver.url) == "timeout"
    await client.aclose()


async def test_an_answer_without_an_end_is_cut(client, receiver):
    receiver.behave = floods
    with trio.fail_after(5):
        answer = await client.post(receiver.url, HEADERS, b"{}")
    assert (answer.status, len(answer.body)) == (200, 1024)


async def test_a_compressed_answer_is_not_unpacked(client, receiver):
    bomb = b"\x1f\x8b" + b"\0" * 998
    receiver.behave = says(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n" + bomb
    )
    assert (await client.post(receiver.url, HEADERS, b"{}")).body == bomb


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (hangs_up, "not_http"),
        (says(b"220 mail.example ESMTP\r\n\r\n"), "not_http"),
        (says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000), "not_http"),
    ],
)
async def test_an_answer_that_is_no_http_is_a_failure(client, receiver, behave, reason):
    receiver.behave = behave
    assert await failure(client, receiver.url) == reason


async def test_a_port_without_a_receiver_is_a_failure(client, nursery):
    gone = Receiver()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as inner:
            await inner.start(gone.serve)
            scope.cancel()
    assert await failure(client, gone.url) == "no_connection"


async def test_a_client_goes_on_after_a_failure(client, receiver):
    receiver.behave = hangs_up
    await failure(client, receiver.url)
    receiver.behave = says(b"HTTP/1.1 204 x\r\n\r\n")
    assert (await client.post(receiver.url, HEADERS, b"{}")).status == 204


async def test_many_requests_at_once_all_arrive(client, receiver, nursery):
    answers = []

    async def one():
        answers.append(await client.post(receiver.url, HEADERS, b"{}"))

    with trio.fail_after(20):
        async with trio.open_nursery() as posting:
            for _ in range(200):
                posting.start_soon(one)
    assert len(answers) == len(receiver.requests) == 200
    assert receiver.connections <= 64


async def test_tls_verifies_the_name(nursery, tmp_path):
    files = certify(tmp_path / "tls")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    receiver = Receiver(tls=server)
    await nursery.start(receiver.serve)
    trusting = partial(client_context, str(files.authority))

    async def here(host):
        return ["127.0.0.1"]

    client = GuardedClient(LOOPBACK, tls=trusting, resolve=here)
    assert (await client.post(receiver.url, HEADERS, b"{}")).status == 200
    wrong_name = f"https://localhost:{receiver.port}/"
    assert await failure(client, wrong_name) == "tls"
    assert await failure(GuardedClient(LOOPBACK, resolve=here), receiver.url) == "tls"
    assert len(receiver.requests) == 1
    await client.aclose()


async def test_a_check_names_the_address_that_was_found(client):
    with pytest.raises(OutboundFailed, match=r"10\.1\.2\.3") as refused:
        await client.check("https://10.1.2.3/hook")
    assert refused.value.reason == "forbidden_address"


async def test_a_name_without_an_address_is_refused():
    async def nothing(host):
        return []

    for resolve in (nothing, unknown):
        with pytest.raises(OutboundFailed) as refused:
            await GuardedClient(resolve=resolve).check("https://gone.example/hook")
        assert refused.value.reason == "no_name"


async def test_a_silent_name_server_is_given_up(autojump_clock):
    async def silent(host):
        await trio.sleep_forever()

    with pytest.raises(OutboundFailed) as refused:
        await GuardedClient(resolve=silent).check("https://slow.example/hook")
    assert refused.value.reason == "no_name"


async def unknown(host):
    raise OSError("no such name")
