"""Attacks over HTTP, from a process of their own: raw sockets that say what no client would.

    python -m tests.system.attacking_kit PORT SECONDS < attack

An attacker that is thrown out comes back at once, and says the same again.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the attacking process starts sooner without what a server needs
    from tests.system.server_kit import Server

ROOT: Final = Path(__file__).parent.parent.parent
_READ_BYTES = 65536
_BATCH = 200
"""Sockets that are opened between two looks at those that are open."""
_LATER = 10.0
"""Seconds that an attack may last longer, on a busy machine, until all have come."""


@dataclass
class Attack:
    """The behaviour of each of so many *connections*.

    It says *first*, then one *again* after the other, any of them, *piece* bytes at a time (0: as
    many as fit) with *pause* seconds between them, and reads so many bytes as often (0: none).
    Without *again* it says no more; *patient*, it says the next only when something was answered.
    `%NUMBER%` is another number each time.
    """

    first: bytes = b""
    again: tuple[bytes, ...] = ()
    connections: int = 8
    piece: int = 0
    pause: float = 0.0
    reads: int = _READ_BYTES
    patient: bool = False
    receive_buffer: int = 0
    source: str = ""


@dataclass
class Result:
    """How often the attackers *came*, what they *sent*, and the *statuses* that they were told."""

    came: int = 0
    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)


@contextlib.contextmanager
def attacked(server: Server, attack: Attack, seconds: float) -> Iterator[Result]:
    """Attack for so many seconds; the block ends with it, and the result is known then. With
    infinitely many, the attack ends with the block.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.system.attacking_kit", str(server.port), str(seconds)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    result = Result()
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(_written(attack))
        process.stdin.close()
        yield result
        if seconds == math.inf:
            process.terminate()
        said = json.loads(process.stdout.read())
        assert process.wait(30) == 0
        result.came, result.sent = said["came"], said["sent"]
        result.statuses.update(said["statuses"])
        print(result)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _written(attack: Attack) -> bytes:
    fields = asdict(attack)
    fields["first"] = attack.first.decode("latin-1")
    fields["again"] = [each.decode("latin-1") for each in attack.again]
    return json.dumps(fields).encode()


def _read(text: str) -> Attack:
    fields = json.loads(text)
    fields["first"] = fields["first"].encode("latin-1")
    fields["again"] = tuple(each.encode("latin-1") for each in fields["again"])
    return Attack(**fields)


class _Attacker:
    def __init__(self, port: int, attack: Attack, result: Result) -> None:
        self._port = port
        self._attack = attack
        self._result = result
        self._rest = memoryview(b"")
        self._next = 0.0
        self._may_speak = True

    def connect(self) -> socket.socket:
        """Come, or come back."""
        attack = self._attack
        self._result.came += 1
        self._rest = self._said(attack.first or random.choice(attack.again))
        self._next = 0.0
        self._may_speak = True
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if attack.receive_buffer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, attack.receive_buffer)
        if attack.source:
            peer.bind((attack.source, 0))
        peer.settimeout(5)
        peer.connect(("127.0.0.1", self._port))
        peer.setblocking(False)
        return peer

    def _said(self, text: bytes) -> memoryview:
        if b"%NUMBER%" in text:
            text = text.replace(b"%NUMBER%", b"%08x" % random.getrandbits(32))
        return memoryview(text)

    def speak(self, peer: socket.socket, now: float) -> None:
        """Say the next piece, if it is time."""
        attack = self._attack
        if now < self._next or not (self._rest and self._may_speak):
            return
        sent = peer.send(self._rest[: attack.piece or len(self._rest)])
        self._result.sent += sent
        self._rest = self._rest[sent:]
        self._next = now + attack.pause
        if not self._rest and attack.again:
            self._rest = self._said(random.choice(attack.again))
            self._may_speak = not attack.patient

    def hear(self, peer: socket.socket) -> None:
        """Read, and count what was said; raises `OSError` at the end."""
        data = peer.recv(self._attack.reads)
        if not data:
            raise ConnectionResetError
        self._result.statuses.update(
            each.decode() for each in re.findall(rb"HTTP/1\.1 ([0-9]{3})", data)
        )
        self._may_speak = True

    def events(self) -> int:
        """The events to wait for."""
        reads = selectors.EVENT_READ if self._attack.reads else 0
        speaks = bool(self._rest) and self._may_speak and not self._attack.pause
        return reads | (selectors.EVENT_WRITE if speaks else 0)


def main() -> None:
    """Attack."""
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    attack = _read(sys.stdin.read())
    result = Result()
    until = time.monotonic() + seconds
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    waiting = [_Attacker(port, attack, result) for _ in range(attack.connections)]
    there: dict[socket.socket, _Attacker] = {}
    with selectors.DefaultSelector() as selector:
        while not stopped and (
            (now := time.monotonic()) < until
            or (result.came < attack.connections and now < until + _LATER)
        ):
            for attacker in waiting[:_BATCH]:
                with contextlib.suppress(OSError):
                    peer = attacker.connect()
                    there[peer] = attacker
                    selector.register(peer, attacker.events() or selectors.EVENT_READ, attacker)
                    waiting.remove(attacker)
            for peer in _turn(selector, there, attack):
                selector.unregister(peer)
                waiting.append(there.pop(peer))
                peer.close()
        for peer in there:
            peer.close()
    print(json.dumps(vars(result)), flush=True)


def _turn(
    selector: selectors.BaseSelector, there: dict[socket.socket, _Attacker], attack: Attack
) -> list[socket.socket]:
    """Let everybody do what they can; those that were thrown out."""
    ended = []
    ready = {key.fileobj: mask for key, mask in selector.select(min(0.02, attack.pause or 0.02))}
    now = time.monotonic()
    for peer in list(there) if attack.pause else list(ready):
        assert isinstance(peer, socket.socket)
        attacker = there[peer]
        mask = ready.get(peer, 0)
        try:
            if mask & selectors.EVENT_READ and attack.reads:
                attacker.hear(peer)
            if mask & selectors.EVENT_WRITE or attack.pause:
                attacker.speak(peer, now)
        except BlockingIOError:
            continue
        except OSError:
            ended.append(peer)
            continue
        if not attack.pause:
            wanted = attacker.events()
            if wanted and selector.get_key(peer).events != wanted:
                selector.modify(peer, wanted, attacker)
    return ended


if __name__ == "__main__":
    main()
