"""Whoever asks is answered (P7, P8): in time, and with a reason where it is a refusal.

Only trouble excuses a `503` or silence: a `503` of the bus where it says that it is the bus, else
of the store or the node. Nothing excuses an answer that speaks of a bug, or of a request that the
model of a client would never make.
"""

from __future__ import annotations

from typing import Final

from simulation.checks.check import Check
from simulation.clients.requests import PATIENCE
from simulation.world.history import RequestStory

_NEVER: Final = frozenset({400, 401, 403, 405, 413, 422, 500, 502, 504})
_AFTERMATH: Final = 15.0
"""Seconds after a trouble in which things may still be refused or slow because of it."""
_REFUSING: Final = (
    *("store_away", "store_fails", "commit_lost"),
    *("killed", "restarted", "stopped", "crash"),
)
"""What may keep one node from answering what others would."""
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
                    self._judge_silence(request, took)
        elif request.status in _NEVER:
            troubles, since = self.history.troubles, request.asked_at
            if request.status == 500 and troubles.touch_by(since, self.now, request.host, "crash"):
                return  # A poll's user actor has failed, as it was made to.
            self.violated("P8", request.who, self._told(request))
        elif request.status == 503:
            self._judge_refusal(request)

    def settled(self) -> str | None:
        waiting = sum(
            each.answered_at is None and each.operation not in _LASTING
            for each in self.history.requests[-1000:]
        )
        return f"{waiting} requests are not answered" if waiting else None

    # --- Inside ----------------------------------------------------------------------------------

    def _judge_refusal(self, request: RequestStory) -> None:
        since, troubles = request.asked_at - _AFTERMATH, self.history.troubles
        if request.answer == "bus_unavailable":
            is_so = troubles.touch_by(since, self.now, request.host, "bus_away")
            is_so = is_so or troubles.touch(since, self.now, "bus")
        else:
            # Without the bus everything is answered that the store can answer.
            is_so = troubles.touch_by(since, self.now, request.host, *_REFUSING)
            is_so = is_so or troubles.touch(since, self.now, "store")
        if request.operation == "update_notification":
            # With `If-Match` it cannot be checked while something waits that any node has spooled,
            # nor while nobody knows whether something waits.
            hosts = ("bus", *self.cluster.hosts)
            is_so = is_so or troubles.touch(since, self.now, *hosts)
        if not is_so and self._is_up(request.host):
            text = (
                f"{self._told(request)}: was refused ({request.answer}), and there was no trouble"
            )
            self.violated("P7", request.who, text)

    def _judge_silence(self, request: RequestStory, took: float) -> None:
        since, who = request.asked_at - _AFTERMATH, (request.host, request.who, "bus", "store")
        if self._is_up(request.host) and not self.history.troubles.touch(since, self.now, *who):
            text = f"{self._told(request)}: was not answered within {took:.1f} s"
            self.violated("P7", request.who, text)

    def _is_up(self, host: str) -> bool:
        node = self.cluster.hosts[host].node
        return node is not None and not node.is_stopping

    def _told(self, request: RequestStory) -> str:
        asked = f"{request.operation} {request.path} {request.body}"
        return f"{asked}, asked {request.host} at {request.asked_at:.3f}: {request.status}" + (
            f" {request.answer}" if request.status is not None and request.status >= 400 else ""
        )
