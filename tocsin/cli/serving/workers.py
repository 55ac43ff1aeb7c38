"""Several nodes on one machine: a parent that forks workers, and keeps them.

Each worker is a node of the cluster as any other, with a name and a listener of its own on the one
port. The parent serves nothing: it holds the port, starts workers again that ended, with growing
pauses, and passes the stop on. It never starts Trio or a thread, so that a fork of it is clean.

A trouble that a worker reports with a sentence, such as a store that is too new, is not mended by a
restart; and a worker that keeps failing has a bug. Both end all workers, orderly and with an error,
for the service manager to see.
"""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final, NoReturn

import click
import structlog

from tocsin.actors.runtime.restart import TRANSIENT, RestartHistory
from tocsin.cli.serving.node_process import ABANDON, STOP, run_node
from tocsin.server.door.shared_port import Reservation
from tocsin.settings import Settings
from tocsin.settings.secrets import DevelopmentSecrets

logger = structlog.get_logger(__name__)

REFUSED: Final = 78
"""A worker's exit code for troubles that no restart mends (`EX_CONFIG` of sysexits.h)."""

_STOP_GRACE: Final = 5.0
"""Seconds beyond the drain time, after which a worker that has not ended is killed."""

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass
class WorkerProcess:
    """One worker's place, through all its incarnations."""

    settings: Settings
    pid: int | None = None
    line: socket.socket | None = None
    due: float | None = None
    """When to start it again."""
    history: RestartHistory = field(default_factory=lambda: RestartHistory(TRANSIENT))


class Workers:
    """Runs the workers of these settings; `run` returns the exit code."""

    def __init__(
        self, places: Sequence[Settings], secrets: DevelopmentSecrets, port: Reservation
    ) -> None:
        self._workers = [WorkerProcess(settings) for settings in places]
        self._secrets = secrets
        self._port = port
        self._drain_time = places[0].drain_time
        self._kill_at: float | None = None
        """When to kill the workers that are left (`time.monotonic`); set while stopping."""
        self._code = 0

    @classmethod
    def reserve(cls, settings: Settings, secrets: DevelopmentSecrets) -> Workers:
        """Take the port for all of them. Raises `OSError` with a text for people."""
        port = Reservation(settings.host, settings.port)
        return cls(places(settings, port.port), secrets, port)

    def run(self) -> int:
        """Keep them until a signal, or until one cannot be kept; then stop them all."""
        with signals_as_bytes(*_STOPS, signal.SIGCHLD) as received, self._port:
            for worker in self._workers:
                self._start(worker)
            while self._kill_at is None or self._running():
                for number in wait_for(received, self._next_deadline()):
                    if number in _STOPS:
                        self._stop()
                self._reap()
                self._start_what_is_due()
        return self._code

    # --- One worker ------------------------------------------------------------------------------

    def _start(self, worker: WorkerProcess) -> None:
        ours, theirs = socket.socketpair()
        # Buffered output would be written by both.
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become(worker, ours, theirs)
        theirs.close()
        worker.pid, worker.line, worker.due = pid, ours, None
        logger.info("worker started", worker=worker.settings.node, pid=pid)

    def _become(
        self, worker: WorkerProcess, ours: socket.socket, theirs: socket.socket
    ) -> NoReturn:
        """In the child: be the worker, and never return into the parent's code."""
        code = 1
        try:
            forget_signals()
            # Ctrl-C is for the parent alone, which passes it on.
            os.setpgid(0, 0)
            # A copy of another worker's line would keep that from hearing of our parent's end.
            for each in (ours, *(other.line for other in self._workers)):
                if each is not None:
                    each.close()
            self._port.close()
            run_node(worker.settings, self._secrets, theirs, greets=worker is self._workers[0])
            code = 0
        except click.ClickException as refusal:
            refusal.show()
            code = REFUSED
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _ended(self, worker: WorkerProcess, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        worker.pid = None
        if worker.line is not None:
            worker.line.close()
            worker.line = None
        if self._kill_at is not None:
            self._code = self._code or int(code != 0)
            return
        delay = worker.history.next_delay(time.monotonic(), random.random())
        if code == REFUSED or delay is None:
            logger.error("worker keeps failing", worker=worker.settings.node, code=code)
            self._code = 1
            self._stop()
            return
        logger.warning("worker ended", worker=worker.settings.node, code=code, again_after=delay)
        worker.due = time.monotonic() + delay

    # --- All of them -----------------------------------------------------------------------------

    def _stop(self) -> None:
        """The first time in order, with the time that a drain takes; after that at once."""
        order = STOP if self._kill_at is None else ABANDON
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._drain_time + _STOP_GRACE
            # Otherwise a client that connects now would wait for an `accept` that never comes.
            self._port.close()
        for worker in self._workers:
            worker.due = None
            if worker.line is not None:
                with suppress(OSError):  # it has just ended
                    worker.line.send(order)

    def _reap(self) -> None:
        for worker in self._running():
            assert worker.pid is not None
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                logger.error("worker killed", worker=worker.settings.node)
                os.kill(worker.pid, signal.SIGKILL)
                os.waitpid(worker.pid, 0)
                self._ended(worker, signal.SIGKILL)
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._ended(worker, status)

    def _start_what_is_due(self) -> None:
        for worker in self._workers:
            if worker.due is not None and worker.due <= time.monotonic():
                self._start(worker)

    def _running(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.pid is not None]

    def _next_deadline(self) -> float | None:
        times = [worker.due for worker in self._workers if worker.due is not None]
        return min([*times, *([] if self._kill_at is None else [self._kill_at])], default=None)


def places(settings: Settings, port: int) -> list[Settings]:
    """The settings of each worker: names and metrics ports of their own."""
    return [
        replace(
            settings,
            node=f"{settings.node}-{number}",
            port=port,
            workers=1,
            metrics_port=settings.metrics_port and settings.metrics_port + number - 1,
        )
        for number in range(1, settings.workers + 1)
    ]


# --- Signals ------------------------------------------------------------------------------------


@contextmanager
def signals_as_bytes(*numbers: signal.Signals) -> Iterator[socket.socket]:
    """A socket on which each of these signals is a byte, so that one wait is for all and a time."""
    received, written = socket.socketpair()
    with received, written:
        received.setblocking(False)
        written.setblocking(False)
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        try:
            yield received
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)


def wait_for(received: socket.socket, deadline: float | None) -> bytes:
    """The numbers of the signals that came, at once or by *deadline*."""
    timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
    select.select([received], [], [], timeout)
    with suppress(BlockingIOError):
        return received.recv(4096)
    return b""


def forget_signals() -> None:
    """In a child: take back the parent's handling of signals."""
    signal.set_wakeup_fd(-1)
    for number in (*_STOPS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
