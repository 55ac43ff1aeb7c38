"""An ElasticMQ of our own, from Maven's jars: a server that speaks the protocol of SQS.

It holds its messages in memory. With its own file it brings deleted messages back after a kill, and
loses others, neither of which SQS does; so a test of lost connections cuts them by a proxy. It does
not look at signatures.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from servers.jars import jars
from servers.unprivileged import UnprivilegedServer

REGION: Final = "eu-west-1"
_TIMEOUT: Final = 10.0
"""Seconds for an answer."""
_LOGGING: Final = """\
<configuration>
  <appender name="S" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %p %m%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="S"/></root>
</configuration>
"""


class ElasticMQ(UnprivilegedServer):
    """A server without queues. Making one raises `NoJava` where it cannot be had."""

    name = "elasticmq"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, action: str, **fields: Any) -> dict[str, Any]:
        """The answer to *action*; raises `OSError`."""
        request = urllib.request.Request(
            f"{self.url}/",
            msgspec.json.encode(fields),
            {
                "content-type": "application/x-amz-json-1.0",
                "x-amz-target": f"AmazonSQS.{action}",
            },
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return msgspec.json.decode(answer.read() or b"{}", type=dict[str, Any])

    def prepare(self) -> None:
        self._jars = jars("elasticmq")
        (self.directory / "elasticmq.conf").write_text(
            f"""\
include classpath("application.conf")
generate-node-address = false
node-address {{ protocol = http, host = "127.0.0.1", port = {self.port}, context-path = "" }}
rest-sqs {{
  enabled = true, bind-port = {self.port}, bind-hostname = "127.0.0.1", sqs-limits = strict
}}
rest-stats {{ enabled = false }}
"""
        )
        (self.directory / "logback.xml").write_text(_LOGGING)

    def command(self) -> Sequence[str]:
        return [
            *("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            f"-Dconfig.file={self.directory}/elasticmq.conf",
            f"-Dlogback.configurationFile={self.directory}/logback.xml",
            *("-cp", f"{self._jars}/*", "org.elasticmq.server.Main"),
        ]

    def is_ready(self) -> bool:
        self.call("ListQueues")
        return True
