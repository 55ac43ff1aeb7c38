"""The speed of the machine at this moment: the price of the one call that no server can save."""

from __future__ import annotations

import os
import select
import signal
import socket
import time

_SOCKETS, _ROUNDS = 1000, 20  # sockets, and sends on each of them


def bare_send() -> float:
    """Microseconds of CPU for a `send` of 500 bytes, over 1 000 sockets that another process reads.

    Machines differ, and so does one machine from hour to hour. A number of the table is therefore
    to be read as a multiple of this one.
    """
    pairs = []
    with socket.create_server(("127.0.0.1", 0), backlog=_SOCKETS) as listener:
        for _ in range(_SOCKETS):
            client = socket.create_connection(listener.getsockname())
            pairs.append((client, listener.accept()[0]))
    reader = os.fork()
    if reader == 0:
        _read_for_ever([client for client, _ in pairs])
    started = time.process_time()
    for _ in range(_ROUNDS):
        for _, sender in pairs:
            sender.send(bytes(500))
    cpu = time.process_time() - started
    os.kill(reader, signal.SIGKILL)
    os.waitpid(reader, 0)
    for pair in pairs:
        for end in pair:
            end.close()
    return cpu / (_SOCKETS * _ROUNDS) * 1e6


def _read_for_ever(sockets: list[socket.socket]) -> None:
    poll = select.epoll()
    by_number = {each.fileno(): each for each in sockets}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            by_number[number].recv(65536)
