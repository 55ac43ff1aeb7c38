"""TLS by an authority of one's own, and users, as brokers and adapters agree on them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import trio

from servers.authority import certify
from servers.kafka import PASSWORD
from tests.broker_kit import WAIT, KafkaTopic, RabbitQueue, bodies, numbered, receipts, take
from tests.persistence.brokers.test_source_faults import told_by
from tocsin.persistence.brokers.kafka_calls import KafkaBrokers
from tocsin.persistence.source import SourceRefused

# aiokafka leaves the connection of a login that was refused to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect such connections here: in a later test they would be an error of that."""
    yield
    gc.collect()


def secured(topic: KafkaTopic, **more: Any) -> KafkaTopic:
    """*topic*, reached by TLS as the user `ada`."""
    server = topic.server
    access = KafkaBrokers(
        servers=(f"127.0.0.1:{server.tls_port}",),
        security="SASL_SSL",
        sasl="PLAIN",
        user="ada",
        password=PASSWORD,
        ca_file=str(server.certified.authority),
    )
    topic.place = replace(topic.place, brokers=replace(access, **more))
    return topic


def over_tls(queue: RabbitQueue, ca_file: str) -> RabbitQueue:
    queue.place = replace(queue.place, url=queue.server.tls_url, ca_file=ca_file)
    return queue


async def test_kafka_is_taken_from_and_carried_to_over_tls_as_a_user(broker_kafka):
    topic = secured(KafkaTopic(broker_kafka))
    async with topic.sink() as sink:
        await sink.carry(receipts(0, 3))
    async with topic.connect() as source:
        assert bodies(await take(source, 3)) == numbered(3)


async def until_let_in(topic: KafkaTopic) -> None:
    """Wait until the broker has heard of the user from its controller."""
    with trio.fail_after(WAIT):
        while True:
            with suppress(SourceRefused):
                async with topic.sink():
                    return
            await trio.sleep(0.1)  # waits for: the broker, which says nothing when it knows


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_user_of_kafka_is_known_by_scram(broker_kafka, mechanism):
    # A user of its own: the broker hears of a changed secret in the middle of a login, too.
    user = f"bob-{mechanism.lower()}"
    await trio.to_thread.run_sync(broker_kafka.add_scram_user, user, "of-bob")
    topic = KafkaTopic(broker_kafka)
    wrong = secured(topic, sasl=mechanism, user=user, password="of-eve")
    assert "of-eve" not in await told_by(wrong)
    known = secured(topic, sasl=mechanism, user=user, password="of-bob")
    await until_let_in(known)
    async with known.sink() as sink:
        await sink.carry(receipts(0, 3))
    async with known.connect() as source:
        assert bodies(await take(source, 3)) == numbered(3)


async def test_a_wrong_password_of_kafka_is_a_matter_for_an_operator(broker_kafka):
    topic = secured(KafkaTopic(broker_kafka), password="of-eve")
    assert "of-eve" not in await told_by(topic)
    with pytest.raises(SourceRefused):
        async with topic.sink():
            pass


async def test_another_authority_of_kafka_is_a_matter_for_an_operator(broker_kafka, tmp_path):
    other = certify(tmp_path / "other")
    topic = secured(KafkaTopic(broker_kafka), ca_file=str(other.authority))
    assert "CERTIFICATE_VERIFY_FAILED" in await told_by(topic)
    missing = secured(KafkaTopic(broker_kafka), ca_file=str(tmp_path / "none"))
    assert "certificate" in await told_by(missing)


async def test_rabbitmq_is_taken_from_and_carried_to_over_tls(broker_rabbitmq):
    queue = over_tls(RabbitQueue(broker_rabbitmq), str(broker_rabbitmq.certified.authority))
    async with queue.sink() as sink:
        await sink.carry(receipts(0, 3))
    async with queue.connect() as source:
        assert bodies(await take(source, 3)) == numbered(3)


async def test_another_authority_of_rabbitmq_is_a_matter_for_an_operator(broker_rabbitmq, tmp_path):
    other = certify(tmp_path / "other")
    queue = over_tls(RabbitQueue(broker_rabbitmq), str(other.authority))
    told = await told_by(queue)
    assert "TLS" in told
    assert "guest" not in told
