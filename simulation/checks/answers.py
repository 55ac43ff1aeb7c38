"""Whoever asks is answered (P7, P8): in time, and with a reason where it is a refusal.

Only trouble excuses a `503` or silence, and nothing excuses an answer that speaks of a bug, or of a
request that the model of a client would never make.
"""

from __future__ import annotations

from typing import Final

from simulation.checks.check import Check
from simulation.history import RequestStory
from simulation.requests import PATIENCE

_NEVER: Final = frozenset({400, 401, 403, 405, 413, 422, 500, 502, 504})
_AFTERMATH: Final = 15.0
"""Seconds after a trouble in which things may still be refused or slow because of it."""
_GHOST: Final = 100.0
"""Seconds after which a client has given up a connection that has nobody at its other end."""
_LASTING: Final = frozenset({"poll_changes", "stream_inbox"})
"""What is answered when something happens, and left when the client likes."""


class Answers(Check):
    """See the module."""

    def answered(self, request: RequestStory) -> None:
        assert request.answered_at is not None
        took = request.answered_at - request.asked_at
        if request.status is None:
            if took > PATIENCE - 1.0 and request.operation not in _LASTING:
                # By a frame, it may have been asked on a connection that broke long before.
                troubles, since = self.history.troubles, request.asked_at - _GHOST
                if not troubles.touch_by(since, self.now, request.host, "cut", "killed", "stalled"):
                    self._accuse(request, f"was not answered within {took:.1f} s")
        elif request.status in _NEVER:
            troubles, since = self.history.troubles, request.asked_at
            if request.status == 500 and troubles.touch_by(since, self.now, request.host, "crash"):
                return  # A poll's user actor has failed, as it was made to.
            self.violated("P8", request.who, self._told(request))
        elif request.status == 503:
            self._accuse(request, f"was refused ({request.answer}), and there was no trouble")

    def settled(self) -> str | None:
        waiting = sum(
            each.answered_at is None and each.operation not in _LASTING
            for each in self.history.requests[-1000:]
        )
        return f"{waiting} requests are not answered" if waiting else None

    # --- Inside ----------------------------------------------------------------------------------

    def _accuse(self, request: RequestStory, what: str) -> None:
        since = request.asked_at - _AFTERMATH
        node = self.cluster.hosts[request.host].node
        if node is None or node.is_stopping:
            return
        hosts = [request.host]
        if request.operation == "update_notification":
            # With `If-Match` it cannot be checked while something waits that any node has spooled.
            hosts += self.cluster.hosts
        if not self.history.troubles.touch(since, self.now, *hosts, request.who, "bus", "store"):
            self.violated("P7", request.who, f"{self._told(request)}: {what}")

    def _told(self, request: RequestStory) -> str:
        asked = f"{request.operation} {request.path} {request.body}"
        return f"{asked}, asked {request.host} at {request.asked_at:.3f}: {request.status}" + (
            f" {request.answer}" if request.status is not None and request.status >= 400 else ""
        )
