"""A Kafka of our own: one process that is broker and controller (KRaft), from Maven's jars."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from servers.authority import certify
from servers.jars import jars
from servers.machine import free_port
from servers.unprivileged import START_TIMEOUT, UnprivilegedServer, run_in_loop

_METADATA: Final = 3
"""The key of the request that asks for the cluster's brokers and topics, and its version."""
_VERSION: Final = 1  # see above
_LOGGING: Final = """\
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: "[%d] %p %m (%c)%n"}
  Loggers:
    Root:
      level: WARN
      AppenderRef: {ref: STDOUT}
"""


PASSWORD: Final = "of-ada"
"""The password of the user `ada`, on the port with TLS and SASL."""
_LOGIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule"

_SCRAM_LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"
_SCRAM: Final = {"sha256": 1, "sha512": 2}
"""The mechanisms by their hashes, as `AlterUserScramCredentials` numbers them."""
_ALTER_SCRAM: Final = 51  # the key of the request `AlterUserScramCredentials`
_ITERATIONS: Final = 4096
"""Rounds of the salted password: Kafka takes no fewer."""


class Kafka(UnprivilegedServer):
    """A broker that makes no topics by itself. At *tls_port* it wants TLS, and a user."""

    name = "kafka"

    @property
    def url(self) -> str:
        return f"kafka://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        self._jars = jars("kafka")
        self._controller, self.tls_port = free_port(), free_port()
        self.certified = certify(self.directory / "certified")
        pair = self.certified.key.read_text() + self.certified.certificate.read_text()
        (self.directory / "server.pem").write_text(pair)
        data = self.directory / "data"
        data.mkdir()
        # `kafka-storage format` writes this; a second Java for it would take as long as the broker.
        (data / "meta.properties").write_text(
            f"version=1\ncluster.id={_id()}\nnode.id=1\ndirectory.id={_id()}\n"
        )
        (self.directory / "log4j2.yaml").write_text(_LOGGING)
        (self.directory / "server.properties").write_text(self._properties())

    def command(self) -> Sequence[str]:
        return [
            *("java", "-Xmx160m", "-Xms160m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            f"-Dlog4j2.configurationFile={self.directory}/log4j2.yaml",
            *("-cp", f"{self._jars}/*", "kafka.Kafka", f"{self.directory}/server.properties"),
        ]

    def is_ready(self) -> bool:
        # It listens long before there is a broker in the cluster.
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.settimeout(2)
            request = struct.pack(">hhih", _METADATA, _VERSION, 7, 1) + b"x" + struct.pack(">i", 0)
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(64)
            # Behind the length and the request's number, the count of brokers.
            return len(answer) >= 12 and struct.unpack(">i", answer[8:12])[0] >= 1

    def create_topic(self, name: str, partitions: int = 1) -> None:
        async def create(admin: AIOKafkaAdminClient) -> None:
            await admin.create_topics([NewTopic(name, partitions, 1)])

        self._with(AIOKafkaAdminClient, create, {})

    def delete_topic(self, name: str) -> None:
        async def delete(admin: AIOKafkaAdminClient) -> None:
            await admin.delete_topics([name])

        self._with(AIOKafkaAdminClient, delete, {})

    def send(self, work: Callable[[Any], Awaitable[object]], **options: Any) -> None:
        """Do *work* with a producer that has *options*."""
        self._with(AIOKafkaProducer, work, {"acks": "all", **options})

    def add_scram_user(self, name: str, password: str) -> None:
        """Let the user *name* in by SCRAM, with SHA-256 and SHA-512 (`kafka-configs` would start a
        Java for it).
        """
        for algorithm, mechanism in _SCRAM.items():
            salt = os.urandom(16)
            salted = hashlib.pbkdf2_hmac(algorithm, password.encode(), salt, _ITERATIONS)
            # No deletions, and one line; lengths of arrays are written with one added.
            body = (
                b"\x01\x02" + _compact(name.encode()) + struct.pack(">bi", mechanism, _ITERATIONS)
            )
            self._alter_scram(body + _compact(salt) + _compact(salted) + b"\0\0")

    def _alter_scram(self, body: bytes) -> None:
        head = struct.pack(">hhih", _ALTER_SCRAM, 0, 7, 1) + b"x" + b"\0"
        with socket.create_connection(("127.0.0.1", self.port), START_TIMEOUT) as connection:
            connection.sendall(struct.pack(">i", len(head + body)) + head + body)
            answer = connection.recv(4096)
        # At the end: an error's number, its text (none), and two tags (none).
        assert answer.endswith(b"\0" * 5), answer

    def _with(
        self,
        client_type: Any,
        work: Callable[[Any], Awaitable[object]],
        options: dict[str, Any],
    ) -> None:
        async def connected() -> None:
            client = client_type(bootstrap_servers=f"127.0.0.1:{self.port}", **options)
            await client.start()
            try:
                await work(client)
            finally:
                await (client.close() if client_type is AIOKafkaAdminClient else client.stop())

        with ThreadPoolExecutor(1) as thread:
            thread.submit(run_in_loop, connected).result(START_TIMEOUT)

    def _properties(self) -> str:
        return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self._controller}
listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller},\
SASL_SSL://127.0.0.1:{self.tls_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port},SASL_SSL://127.0.0.1:{self.tls_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={self.directory}/server.pem
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={_SCRAM_LOGIN} required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={_SCRAM_LOGIN} required;
listener.name.sasl_ssl.plain.sasl.jaas.config={_LOGIN} required user_ada="{PASSWORD}";
log.dirs={self.directory}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
num.network.threads=1
num.io.threads=2
background.threads=2
log.cleaner.enable=false
auto.create.topics.enable=false
"""


def _compact(data: bytes) -> bytes:
    """*data* of fewer than 127 bytes, with its length and one, as the newer requests have it."""
    return bytes([len(data) + 1]) + data


def _id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
