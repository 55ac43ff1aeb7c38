"""What a queue of SQS does beside what every source does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import trio

from tests.broker_kit import WAIT, SqsQueue, bodies, numbered, take, until_taken
from tests.broker_servers_kit import make_elasticmq, running
from tests.outbound.receiver_kit import Receiver
from tests.persistence.brokers.test_source_faults import hear_end, told_by
from tocsin.persistence.brokers import sqs
from tocsin.persistence.brokers.aws_signature import AwsCredentials
from tocsin.persistence.brokers.sqs_client import SqsPlace
from tocsin.persistence.source import SourceAway, SourceRefused


class Stub(Receiver):
    """A service that has one message, and fails to do what is asked for the entries *failing*."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.failing: list[dict[str, object]] = []

    async def answer(self, stream: trio.abc.Stream) -> None:
        said: dict[str, object] = {"Failed": self.failing, "Attributes": {}}
        if len(asked(self, "ReceiveMessage")) == 1 and b"ReceiveMessage" in self.requests[-1]:
            said = {"Messages": [{"MessageId": "m", "ReceiptHandle": "h", "Body": "x"}]}
        body = json.dumps(said).encode()
        await stream.send_all(b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.fixture
async def stub(nursery) -> Stub:
    made = Stub()
    await nursery.start(made.serve)
    return made


def stub_place(stub: Stub, visibility: int = 60) -> SqsPlace:
    return SqsPlace(
        url=stub.url.replace("/hook?a=b", "/1/q"),
        region="eu-west-1",
        credentials=AwsCredentials("key", "secret"),
        visibility=visibility,
    )


def asked(stub: Stub, action: str) -> list[dict[str, Any]]:
    """The bodies of the requests for *action*, without the queue."""
    found = []
    for request in stub.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        if f"x-amz-target: AmazonSQS.{action}\r".encode() in head + b"\r":
            found.append(json.loads(body))
    return found


async def test_a_standard_queue_gives_each_message_in_batches_larger_than_a_call(broker_sqs):
    queue = SqsQueue(broker_sqs, fifo=False)
    queue.put(*numbered(47))
    async with queue.connect() as source:
        first = await source.take(40, 1.0)
        assert len(first) > 10
        await source.done(first)
        rest = await take(source, 47 - len(first))
    assert sorted(map(int, bodies([*first, *rest]))) == list(range(47))


async def test_a_group_of_a_fifo_queue_waits_while_some_of_it_is_in_hand(broker_sqs):
    queue = SqsQueue(broker_sqs)
    queue.put(*numbered(12))
    async with queue.connect("a") as ann, queue.connect("b") as ben:
        taken = await take(ann, 3, done=False)
        assert not await ben.take(10, 0.2)
        await ann.done(taken)
        assert bodies(await take(ben, 9)) == numbered(12)[3:]


async def test_the_time_of_what_is_in_hand_is_extended_while_it_is_held(stub):
    place = stub_place(stub, visibility=1)
    async with sqs.connect(place) as source:
        taken = await take(source, 1, done=False)
        with trio.fail_after(WAIT):
            while not (extended := asked(stub, "ChangeMessageVisibilityBatch")):
                await source.hold(taken)
                await trio.sleep(0.02)  # waits for: half of the time, which has no signal
    assert extended[0]["Entries"] == [{"Id": "0", "ReceiptHandle": "h", "VisibilityTimeout": 1}]


async def test_messages_in_hand_are_given_back_at_the_end(stub):
    async with sqs.connect(stub_place(stub)) as source:
        await take(source, 1, done=False)
    [given] = asked(stub, "ChangeMessageVisibilityBatch")
    assert [each["VisibilityTimeout"] for each in given["Entries"]] == [0]


async def test_a_batch_that_cannot_be_deleted_is_not_done(stub):
    async with sqs.connect(stub_place(stub)) as source:
        taken = await take(source, 1, done=False)
        stub.failing = [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]
        with pytest.raises(SourceAway, match="not deleted"):
            await source.done(taken)
        assert len(asked(stub, "DeleteMessageBatch")) == 2


async def test_a_message_whose_time_is_over_comes_again_elsewhere(broker_sqs):
    queue = SqsQueue(broker_sqs, fifo=False)
    queue.place = replace(queue.place, visibility=1)
    queue.put(b"x")
    async with queue.connect("a") as ann, queue.connect("b") as ben:
        [first] = await take(ann, 1, done=False)
        [again] = await take(ben, 1)
        assert (again.key, again.place) == (first.key, first.place)
        # The other one has it: that is no failure here.
        await ann.done([first])


async def test_a_missing_queue_is_a_matter_for_an_operator(broker_sqs):
    assert "QueueDoesNotExist" in await told_by(SqsQueue(broker_sqs, make=False))


async def test_a_queue_that_is_deleted_and_made_again_is_heard_again(broker_sqs):
    queue = SqsQueue(broker_sqs)
    queue.put(b"0")
    async with queue.connect() as source:
        await take(source, 1)
        broker_sqs.call("DeleteQueue", QueueUrl=queue.place.url)
        with pytest.raises(SourceRefused, match="QueueDoesNotExist"):
            await hear_end(source)
    queue.make()
    queue.put(b"1")
    assert bodies(await until_taken(queue, 1)) == [b"1"]


async def test_a_killed_server_is_noticed():
    # It loses its messages with its life, which SQS does not: see `servers.elasticmq`.
    for server in running(make_elasticmq()):
        queue = SqsQueue(server)
        queue.put(b"0")
        async with queue.connect() as source:
            await take(source, 1, done=False)
            await trio.to_thread.run_sync(server.stop, "immediate")
            with pytest.raises(SourceAway):
                await hear_end(source)
        with pytest.raises(SourceAway):
            async with queue.connect():
                pass
