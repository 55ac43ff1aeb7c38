"""Floods on WebSockets, from a process of their own: raw sockets that read nothing of what comes.

    python -m tests.system.flooding_kit PORT SECONDS KIND NAME...

The KIND "all" is each kind in turn. A NAME is a token, with which a socket says hello first, or `-`
for one that never does. A socket that is thrown out comes back at once.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from uuid import UUID

from servers.node import ROOT
from tests.system.raw_kit import CONTINUATION, PING, PONG, TEXT, frame, upgrade_request
from tests.system.server_kit import Server

_ID = str(UUID(int=0x018BCFE5_6800_7000_8000_000000000000))
_BEGIN = frame(TEXT, b"", final=False)
FLOODS = {
    "empty fragments": _BEGIN + frame(CONTINUATION, b"", final=False) * 2000,
    "one-byte fragments": _BEGIN + frame(CONTINUATION, b" ", final=False) * 2000,
    "whole messages in fragments": (_BEGIN + frame(CONTINUATION, b'{"type":"ping"}')) * 500,
    "pongs": frame(PONG, b"") * 2000,
    "pings": frame(PING, b"x" * 8) * 2000,
    "one-byte messages": frame(TEXT, b"x") * 2000,
    "ping frames": frame(TEXT, b'{"type":"ping"}') * 1000,
    "acks": frame(TEXT, b'{"type":"ack","sequence":0}') * 1000,
    "large acks": frame(TEXT, json.dumps({"type": "ack", "ids": [_ID] * 1024}).encode()) * 3,
    "marks": frame(
        TEXT, json.dumps({"type": "mark", "request": 1, "state": "read", "ids": [_ID]}).encode()
    )
    * 500,
}


@contextlib.contextmanager
def flood(server: Server, kind: str, names: Sequence[str], seconds: float) -> Iterator[None]:
    """Flood for so many seconds, from a process of its own; the block ends with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.system.flooding_kit", str(server.port), str(seconds), kind,
         *names],
        cwd=ROOT,
    )  # fmt: skip
    try:
        yield
        assert process.wait(seconds + 30) == 0
    finally:
        process.kill()
        process.wait()


class _Flooder:
    def __init__(self, port: int, kind: str, name: str, number: int) -> None:
        self._port = port
        kinds = list(FLOODS) if kind == "all" else [kind]
        self._flood = FLOODS[kinds[number % len(kinds)]]
        hello = {"type": "hello", "device": f"flooder-{number}"}
        self._greeting = upgrade_request()
        if name != "-":
            hello["token"] = name
            self._greeting += frame(TEXT, json.dumps(hello).encode())
        self.came = 0

    def connect(self) -> socket.socket:
        self.came += 1
        self._rest = memoryview(self._greeting)
        peer = socket.socket()
        peer.connect(("127.0.0.1", self._port))
        peer.setblocking(False)
        return peer

    def send(self, peer: socket.socket) -> None:
        self._rest = self._rest[peer.send(self._rest) :] or memoryview(self._flood)


def main() -> None:
    """Flood."""
    port, seconds, kind, *names = sys.argv[1:]
    until = time.monotonic() + float(seconds)
    with selectors.DefaultSelector() as selector:
        for number, name in enumerate(names):
            flooder = _Flooder(int(port), kind, name, number)
            selector.register(flooder.connect(), selectors.EVENT_WRITE, flooder)
        while time.monotonic() < until:
            for key, _ in selector.select(0.1):
                peer, flooder = key.fileobj, key.data
                assert isinstance(peer, socket.socket)
                try:
                    flooder.send(peer)
                except BlockingIOError:
                    continue
                except OSError:
                    selector.unregister(peer)
                    peer.close()
                    selector.register(flooder.connect(), selectors.EVENT_WRITE, flooder)
        came = sum(key.data.came for key in selector.get_map().values())
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
    print(f"{kind}: {len(names)} flooders came {came} times", flush=True)


if __name__ == "__main__":
    main()
