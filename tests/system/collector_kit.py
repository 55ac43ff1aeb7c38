"""A collector of traces: a receiver of OTLP over HTTP."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.actors.tracing_kit import spans_in


class CollectorServer:
    """Keeps the *bodies* that it was sent; answers with *status* and *answer*."""

    def __init__(self, status: int = 200, answer: bytes = b"{}") -> None:
        self.bodies: list[bytes] = []
        self.types: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.types.add(self.headers["content-type"])
                collector.bodies.append(body)
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.front = self.url
        """The address that nodes are given, if another collector hands on to this one."""
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def spans(self, name: str) -> list[Span]:
        """The spans of that *name* that were taken so far."""
        return [span for body in self.bodies for span in spans_in(body) if span.name == name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
