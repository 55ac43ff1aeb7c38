"""Calls of SQS: what an answer means, and that no secret is told with an error."""

from __future__ import annotations

import json
import ssl

import pytest
import trio

from servers.authority import certify
from tests.outbound.receiver_kit import Behaviour, Receiver, hangs_up, says
from tocsin.persistence.brokers.aws_signature import AwsCredentials
from tocsin.persistence.brokers.sqs_client import SqsPlace, open_sqs
from tocsin.persistence.source import SourceAway, SourceRefused


def place(receiver: Receiver, **more: str) -> SqsPlace:
    return SqsPlace(
        url=receiver.url.replace("/hook?a=b", "/1/q"),
        region="eu-west-1",
        credentials=AwsCredentials("key", "a-secret", "a-token"),
        **more,  # type: ignore[arg-type]
    )


def answer(status: int, code: str = "", message: str = "") -> bytes:
    said = {"__type": f"com.amazonaws.sqs#{code}", "message": message} if code else {}
    body = json.dumps(said).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@pytest.fixture
async def receiver(nursery) -> Receiver:
    made = Receiver()
    await nursery.start(made.serve)
    return made


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (says(answer(403, "InvalidClientTokenId", "no such key")), SourceRefused),
        (says(answer(403)), SourceRefused),
        (says(answer(400, "QueueDoesNotExist")), SourceRefused),
        (says(answer(400, "AccessDenied", "x" * 9000)), SourceRefused),
        (says(answer(400, "RequestThrottled")), SourceAway),
        (says(answer(400, "ThrottlingException")), SourceAway),
        (says(answer(429, "Slow")), SourceAway),
        (says(answer(503, "ServiceUnavailable")), SourceAway),
        (says(b"HTTP/1.1 400 X\r\nContent-Length: 4\r\n\r\nnope"), SourceAway),
        (says(b"HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\nnope"), SourceAway),
        (says(b"no HTTP\r\n\r\n"), SourceAway),
        (hangs_up, SourceAway),
    ],
)
async def test_an_answer_says_whether_an_operator_has_to_mend_it(
    receiver: Receiver, said: Behaviour, error: type[Exception]
):
    receiver.behave = said
    async with open_sqs(place(receiver)) as client:
        with pytest.raises(error) as told:
            await client.call("ReceiveMessage")
    assert len(str(told.value)) <= 300


async def test_no_secret_is_told_with_an_error(receiver):
    canonical = "It does not match.\nx-amz-security-token:a-token\nthe rest"
    receiver.behave = says(answer(403, "InvalidSignatureException", canonical))
    async with open_sqs(place(receiver)) as client:
        with pytest.raises(SourceRefused, match="InvalidSignatureException") as told:
            await client.call("ReceiveMessage")
    assert "a-token" not in str(told.value)
    assert "a-secret" not in repr(place(receiver))
    [request] = receiver.requests
    assert b"a-secret" not in request
    assert b"x-amz-security-token: a-token" in request


async def test_entries_go_ten_at_a_time_and_those_that_failed_are_told(receiver):
    failed = json.dumps({"Failed": [{"Id": "3"}]}).encode()
    receiver.behave = says(b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n" % len(failed) + failed)
    async with open_sqs(place(receiver)) as client:
        told = await client.each("DeleteMessageBatch", [{"ReceiptHandle": "h"}] * 21)
    assert told == [{"Id": "3"}] * 3
    sent = [json.loads(each.partition(b"\r\n\r\n")[2])["Entries"] for each in receiver.requests]
    assert [len(each) for each in sent] == [10, 10, 1]
    assert [each["Id"] for entries in sent for each in entries] == [str(n) for n in range(21)]


async def test_a_call_that_is_cancelled_leaves_nothing(receiver):
    async def hangs(stream: trio.abc.Stream) -> None:
        scope.cancel()
        await trio.sleep_forever()

    receiver.behave = hangs
    with trio.CancelScope() as scope:
        async with open_sqs(place(receiver)) as client:
            await client.call("ReceiveMessage", wait=20)
    assert scope.cancelled_caught


async def test_tls_is_verified_by_the_authority_of_the_settings(nursery, tmp_path):
    files, others = certify(tmp_path / "ours"), certify(tmp_path / "others")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.certificate, files.key)
    receiver = Receiver(behave=says(answer(200)), tls=tls)
    await nursery.start(receiver.serve)
    async with open_sqs(place(receiver, ca_file=str(files.authority))) as client:
        assert await client.call("ListQueues") == {}
    for stranger in (str(others.authority), None):
        more = {} if stranger is None else {"ca_file": stranger}
        async with open_sqs(place(receiver, **more)) as client:
            with pytest.raises(SourceRefused, match="TLS"):
                await client.call("ListQueues")
    with pytest.raises(SourceRefused, match="certificate"):
        async with open_sqs(place(receiver, ca_file=str(tmp_path / "none"))):
            pass
