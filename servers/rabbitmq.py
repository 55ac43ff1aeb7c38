"""A RabbitMQ of our own: Debian's package, without its service.

The program is started directly, because the wrapper in /usr/sbin insists on root. An epmd of our
own is started first, in the foreground: RabbitMQ would start one that outlives it.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import aiormq

from servers.authority import certify
from servers.machine import free_port
from servers.program import find_binary
from servers.unprivileged import START_TIMEOUT, UnprivilegedServer, run_in_loop

BINARY: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_HELLO: Final = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME: Final = b"\x01"
_ERLANG: Final = (
    "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false "
    "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
)
"""No listening but on loopback; and no busy waiting, of which Erlang does much by default."""


class NoErlang(Exception):
    """This machine has no RabbitMQ, and it cannot be installed."""


class RabbitMQ(UnprivilegedServer):
    """A broker without plugins. Making one raises `NoErlang` where it cannot be had."""

    name = "rabbitmq"
    user = "guest"
    password = "guest"

    @property
    def url(self) -> str:
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}/"

    @property
    def tls_url(self) -> str:
        """The address over TLS, by the certificate of an authority of its own (`certified`)."""
        return f"amqps://{self.user}:{self.password}@127.0.0.1:{self.tls_port}/"

    def work(self, work: Callable[[Any], Awaitable[object]]) -> None:
        """Do *work* with a channel, in a thread and an asyncio loop of its own.

        A thread, because trio-asyncio has taken asyncio's policy for its own in this one.
        """

        async def connected() -> None:
            connection = aiormq.Connection(self.url)
            await connection.connect()
            try:
                await work(await connection.channel())
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            thread.submit(run_in_loop, connected).result(START_TIMEOUT)

    def declare(self, queue: str) -> None:
        """Make a durable queue, which is on disk when this returns.

        RabbitMQ says that a queue is declared up to 2 s before: Mnesia gathers what it logs.
        """
        self.work(lambda channel: channel.queue_declare(queue, durable=True))
        (program,) = Path("/usr/lib/erlang/lib").glob("erl_interface-*/bin/erl_call")
        cookie = (self.directory / ".erlang.cookie").read_text()
        command = [str(program), "-c", cookie, "-name", self._node, "-a", "mnesia sync_log []"]
        environment = {**os.environ, **self.environment()}
        answer = subprocess.check_output(command, env=environment, timeout=START_TIMEOUT)
        assert answer == b"ok", answer

    def prepare(self) -> None:
        if not Path(BINARY).exists():
            try:
                find_binary("rabbitmqctl", "rabbitmq-server")
            except RuntimeError as error:
                raise NoErlang(str(error)) from error
        self._distribution, self._epmd, self.tls_port = free_port(), free_port(), free_port()
        self.certified = certify(self.directory / "certified")
        for name in ("mnesia", "logs"):
            (self.directory / name).mkdir()
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.certfile = {self.certified.certificate}\n"
            f"ssl_options.keyfile = {self.certified.key}\n"
            "ssl_options.verify = verify_none\n"
            "loopback_users = none\n"
            "log.file = false\n"
            "log.console = true\n"
            "log.console.level = warning\n"
            "vm_memory_high_watermark.absolute = 512MB\n"
            "disk_free_limit.absolute = 50MB\n"
        )
        (self.directory / "enabled_plugins").write_text("[].")

    @property
    def _node(self) -> str:
        return f"tocsin{self.port}@localhost"

    def start(self) -> None:
        if "epmd" not in self._programs:
            self.run("epmd", ["epmd", "-port", str(self._epmd), "-address", "127.0.0.1"], {})
        super().start()

    def command(self) -> Sequence[str]:
        return [BINARY]

    def environment(self) -> Mapping[str, str]:
        directory = self.directory
        return {
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{directory}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{directory}/none",
            "RABBITMQ_MNESIA_BASE": f"{directory}/mnesia",
            "RABBITMQ_LOG_BASE": f"{directory}/logs",
            "RABBITMQ_SCHEMA_DIR": f"{directory}/schema",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{directory}/config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/enabled_plugins",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def is_ready(self) -> bool:
        # It listens long before it works: only then does it answer the first bytes of AMQP.
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(_HELLO)
            return connection.recv(8)[:1] == _METHOD_FRAME
