"""A server that lies: it opens WebSockets, says what it likes, and answers HTTP with nonsense."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any, Self

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

SUBPROTOCOL = "tocsin.v1.json"
WELCOME: dict[str, Any] = {
    "type": "welcome", "user": "ada", "device": "web", "node": "n", "epoch": "e1",
    "cursor": "e1.0", "unread": 0, "unseen": 0, "heartbeat": 25, "window": 64,
}  # fmt: skip


def push(sequence: int, **notification: Any) -> dict[str, Any]:
    """A push of a notification that has an id, a title, and whatever else is given."""
    return {
        "type": "push", "sequence": sequence, "previous": sequence - 1, "change": "created",
        "notification": {"id": f"n{sequence}", "title": "title", **notification},
        "unread": 1, "unseen": 1, "replay": False, "attempt": 1,
    }  # fmt: skip


class Liar:
    """Says the *lies* on one connection after the other: each is a list of frames, or texts."""

    def __init__(self, lies: Sequence[Sequence[Any]], page: object) -> None:
        self._lies = list(lies)
        self._page = json.dumps(page).encode()
        self._lock = threading.Lock()
        self._server: Server = serve(
            self._talk,
            "127.0.0.1",
            0,
            process_request=self._answer,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
        )
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    @property
    def left(self) -> int:
        """How many lies it has not told yet."""
        with self._lock:
            return len(self._lies)

    def has_told_more(self, left: int) -> bool:
        """Whether fewer than *left* lies are left."""
        return self.left < left

    def _answer(self, _: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers:
            return None
        origin = request.headers.get("Origin", "*")
        headers = Headers(
            {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Headers": "Authorization, Content-Type",
                "Content-Length": str(len(self._page)),
            }
        )
        return Response(200, "OK", headers, self._page)

    def _talk(self, connection: ServerConnection) -> None:
        with self._lock:
            lie = self._lies.pop(0) if self._lies else []
        try:
            connection.recv()
            for frame in lie:
                connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
            for _ in connection:
                pass
        except ConnectionClosed:
            return
