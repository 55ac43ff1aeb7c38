"""The server as its users meet it: a process, HTTP, WebSockets. Nothing of its code is imported.

Tests speak the domain (`device.expect_push("Hello")`); what they speak it through is a WebSocket
client that is not ours. Every wait ends when the thing has happened, or fails after `PATIENCE`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, Self, TypeVar

import httpx
import jwt
import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from servers.postgres import free_port

ROOT = Path(__file__).parent.parent.parent
SECRET = "a secret of the acceptance tests, long enough"
PATIENCE = 60.0
"""Seconds that anything may take that should happen at once: the machine may be busy."""

# Ends the server should the test process die without a word: see the guard of Postgres.
GUARD = """
cat >/dev/null
kill -KILL "$1" 2>/dev/null
"""

Frame = dict[str, Any]
T = TypeVar("T")


def fresh_user(name: str = "ada") -> str:
    """A user nobody else has: tests share servers, never users."""
    return f"{name}-{token_hex(4)}"


def token(user: str, scope: str = "", lifetime: float = 3600.0, **claims: Any) -> str:
    """A token for *user*; a negative *lifetime* is over already."""
    expiry = time.time() + lifetime
    return jwt.encode({"sub": user, "scope": scope, "exp": expiry, **claims}, SECRET, "HS256")


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


PRODUCER = token("shop", "notify", 86_400)
ADMIN = token("root", "admin", 86_400)


def wait_until(holds: Callable[[], T], *, patience: float = PATIENCE, what: str = "") -> T:
    """Ask again and again until the answer is true, and return it."""
    deadline = time.monotonic() + patience
    while True:
        answer = holds()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {patience:g} s in vain for {what or holds}"
        time.sleep(0.01)  # waits for: a condition that nobody signals


class Server:
    """One `tocsin serve`, on a port that it keeps over restarts.

    *settings* are flags without the dashes; *prefix* is a command to start it with.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, object] | None = None,
        *,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.directory = directory
        self.settings = {"data": directory / "data", "log-format": "json", **(settings or {})}
        self._prefix = prefix
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("TOCSIN_")},
            "PYTHONPATH": str(ROOT),
            "TOCSIN_JWT_SECRET": SECRET,
            **(environment or {}),
        }
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._http: httpx.Client | None = None

    # --- Its life --------------------------------------------------------------------------------

    def start(self, *, patience: float = 60, ready: bool = True) -> Self:
        """Start, and return when it is ready; without *ready*, when its doors are open."""
        assert self._process is None, "it is running"
        flags = [f"--{name}={value}" for name, value in self.settings.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "tocsin", "serve", f"--port={self.port}",
                 *flags],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C is for who started it, who says how to stop
            )  # fmt: skip
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(self._process.pid)],
            stdin=subprocess.PIPE,
            process_group=0,
        )
        if ready:
            wait_until(self.is_ready, patience=patience, what="the server to be ready")
        else:
            wait_until(self.is_live, patience=patience, what="the server's doors")
        return self

    def is_ready(self) -> bool:
        return self._says_yes("/readyz")

    def is_live(self) -> bool:
        return self._says_yes("/livez")

    def _says_yes(self, path: str) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended:\n{self._log.read_text()[-4000:]}"
        try:
            return self.http.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, patience: float = 60.0) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None
        code = self._process.wait(patience)
        self._process = None
        assert self._guard is not None
        self._guard.kill()
        self._guard.communicate()
        return code

    def stop(self) -> int:
        """An orderly stop; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """A crash: it gets no chance to say or write anything."""
        self.signal(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
        if self._process is not None:
            self.kill()

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    # --- What it says ----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    @property
    def http(self) -> httpx.Client:
        if self._http is None:
            # One for all: a client reads the machine's certificates when it is made.
            self._http = httpx.Client(base_url=self.url, timeout=PATIENCE, verify=False)
        return self._http

    @property
    def log_size(self) -> int:
        return self._log.stat().st_size

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Its log lines behind the byte *since*; what is no JSON (a traceback) is one line too."""
        lines = self._log.read_bytes()[since:].decode(errors="replace").splitlines()
        return [read_log_line(line) for line in lines]

    def expect_sound(self, since: int = 0) -> None:
        """It serves, and it has logged no fault of its own since the byte *since* of its log."""
        assert self.is_ready()
        faults = [line for line in self.log(since) if line["level"] in {"error", "critical"}]
        assert not faults, faults

    def expect_no_bugs(self) -> None:
        """Whatever the world did to it, nothing of its own code has failed."""
        bugs = [line for line in self.log() if "exception" in line or "Traceback" in line["event"]]
        assert not bugs, bugs

    def metric(self, name: str) -> float:
        answer = self.http.get("/metrics", headers=bearer(ADMIN))
        assert answer.status_code == 200, answer.text
        for line in answer.text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise LookupError(name)

    # --- Who talks to it -------------------------------------------------------------------------

    def producer(self, credential: str = PRODUCER) -> Producer:
        return Producer(self.http, credential)

    def device(self, user: str, name: str | None = "phone", **hello: Any) -> Device:
        """A device that has said hello and was welcomed; use it as a context manager."""
        device = self.connect(user)
        device.hello(name, **hello)
        device.expect_welcome()
        return device

    def connect(
        self, user: str = "", *, query: str = "", headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Device:  # fmt: skip
        """A WebSocket that has said nothing yet; with *user*, its handshake carries a token."""
        credential = bearer(token(user)) if user else {}
        socket = connect(
            self.websocket_url + query,
            additional_headers={**credential, **(headers or {})},
            open_timeout=PATIENCE,
            ping_interval=None,
            proxy=None,
            max_queue=None,  # a client that stops reading is a test of its own
            legacy=True,  # the connection is ours to close
            **options,
        )
        return Device(socket)


def read_log_line(line: str) -> dict[str, Any]:
    try:
        read = json.loads(line)
    except ValueError:
        return {"level": "error", "event": line}
    return read if isinstance(read, dict) else {"level": "error", "event": line}


class Refused(AssertionError):
    """The server answered a producer with something else than was expected."""


class Producer:
    """A backend that posts."""

    def __init__(self, http: httpx.Client, credential: str) -> None:
        self._http = http
        self.credential = credential
        self._headers = bearer(credential)

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        return self._http.request(
            method, path, headers={**self._headers, **(headers or {})}, **options
        )

    def post(self, *users: str, title: str = "Hello", **fields: Any) -> str:
        """Post to *users*; the notification's id."""
        answer = self.try_post(*users, title=title, **fields)
        assert answer.status_code == 201, answer.text
        notification: str = answer.json()["id"]
        return notification

    def try_post(
        self, *users: str, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        body = {"to": {"users": list(users)}, "title": "Hello", **fields}
        return self.request("POST", "/v1/notifications", json=body, headers=headers)

    def update(self, notification: str, **fields: Any) -> dict[str, Any]:
        return expect_json(self.request("PATCH", f"/v1/notifications/{notification}", json=fields))

    def withdraw(self, notification: str) -> None:
        answer = self.request("DELETE", f"/v1/notifications/{notification}")
        assert answer.status_code == 204, answer.text

    def view(self, notification: str) -> dict[str, Any]:
        return expect_json(self.request("GET", f"/v1/notifications/{notification}"))

    def ledger(self, notification: str) -> dict[str, dict[str, Any]]:
        """The ledger's lines by device, for notifications to one user."""
        path = f"/v1/notifications/{notification}/deliveries"
        lines = expect_json(self.request("GET", path))["deliveries"]
        return {line["device"]: line for line in lines}


def expect_json(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    read: dict[str, Any] = answer.json()
    return read


def expect_problem(answer: httpx.Response, status: int, code: str = "") -> dict[str, Any]:
    """An RFC 9457 problem, whole, with a request id."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.get("X-Request-Id"), "every answer has a request id"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "detail", "code"} <= problem.keys()
    assert problem["type"] == f"/docs#error-{problem['code']}"
    if code:
        assert problem["code"] == code, problem
    return problem


class Device:
    """One WebSocket of one device. Frames are seen in the order in which they came."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.welcome: Frame = {}
        self.seen: list[Frame] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def vanish(self) -> None:
        """Leave without a word, as a process does that is killed."""
        self.socket.socket.close()

    # --- Saying ----------------------------------------------------------------------------------

    def send(self, type_: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": type_, **fields}))

    def hello(self, device: str | None = "phone", **fields: Any) -> None:
        self.send("hello", **({} if device is None else {"device": device}), **fields)

    def ack(self, *pushes: Frame | int) -> None:
        """Acknowledge cumulatively, once for each."""
        for push in pushes:
            sequence = push if isinstance(push, int) else push["sequence"]
            self.send("ack", sequence=sequence)

    def ack_ids(self, *pushes: Frame | str) -> None:
        ids = [push if isinstance(push, str) else push["notification"]["id"] for push in pushes]
        self.send("ack", ids=ids)

    def nack(self, push: Frame, **fields: Any) -> None:
        self.send("nack", id=push["notification"]["id"], **fields)

    def publish(self, request: str | int, notification: object, **fields: Any) -> Frame:
        """Publish over the socket; the reply."""
        self.send("publish", request=request, notification=notification, **fields)
        return self.expect("reply", request=request)

    # --- Hearing ---------------------------------------------------------------------------------

    def receive(self, patience: float = PATIENCE) -> Frame:
        """The next frame."""
        frame: Frame = json.loads(self.socket.recv(patience))
        self.seen.append(frame)
        return frame

    def expect(self, type_: str, *, patience: float = PATIENCE, **fields: Any) -> Frame:
        """The next frame, which must be of this type and have these fields."""
        frame = self.receive(patience)
        assert frame["type"] == type_, f"expected {type_}, got {frame}"
        for name, value in fields.items():
            assert frame.get(name) == value, f"expected {name}={value!r} in {frame}"
        return frame

    def expect_welcome(self, **fields: Any) -> Frame:
        self.welcome = self.expect("welcome", **fields)
        return self.welcome

    def expect_push(self, title: str | None = None, **fields: Any) -> Frame:
        push = self.expect("push", **fields)
        if title is not None:
            assert push["notification"]["title"] == title, push
        return push

    def expect_pushes(self, *titles: str, **fields: Any) -> list[Frame]:
        return [self.expect_push(title, **fields) for title in titles]

    def expect_synced(self) -> Frame:
        return self.expect("synced")

    def expect_nothing_before_pong(self) -> None:
        """Nothing was sent to this device until now."""
        self.send("ping")
        self.expect("pong")

    def frames_to_the_end(self, patience: float = PATIENCE) -> Iterator[Frame]:
        """All frames until the connection closes."""
        while True:
            try:
                yield self.receive(patience)
            except ConnectionClosed:
                return

    def expect_goodbye(self, code: int, *, patience: float = PATIENCE) -> Frame:
        """Whatever else comes, the last frame is a goodbye with *code*; so is the close frame."""
        frames = list(self.frames_to_the_end(patience))
        assert frames, f"closed with {self.close_code} and no goodbye"
        goodbye = frames[-1]
        assert goodbye["type"] == "goodbye", frames[-3:]
        assert (goodbye["code"], self.close_code) == (code, code), goodbye
        assert goodbye["reconnect"] is (code < 4400 or code == 4429)
        return goodbye

    @property
    def close_code(self) -> int | None:
        return self.socket.close_code


@contextmanager
def settled(*devices: Device) -> Iterator[None]:
    """Close all *devices* afterwards."""
    try:
        yield
    finally:
        for device in devices:
            device.close()
