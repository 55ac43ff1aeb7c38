"""P7 and P8: each request is answered in time, and refused only with a reason that is true.

Only a trouble excuses a `503` or silence. A `503` that names the bus needs a trouble of the bus;
any other one, of the store or the node. Nothing excuses an answer that reports a bug of the server,
or an error in a request that the simulation's clients never make.
"""

from __future__ import annotations

from typing import Final

from simulation.checks.check import Check
from simulation.clients.requests import PATIENCE
from simulation.world.history import RequestStory

_NEVER: Final = frozenset({400, 401, 403, 405, 413, 422, 500, 502, 504})
"""Statuses that no request of the simulation deserves."""
_AFTERMATH: Final = 18.0
"""Seconds after a trouble in which it may still cause refusals and silence: a probe that the store
has left hanging fails after ten, and the next may be due after some six more."""
_REFUSING: Final = (
    *("store_away", "store_fails", "commit_lost"),
    *("killed", "restarted", "stopped", "crash"),
)
"""Troubles of one node that keep it from answering what the other nodes answer."""
_GHOST: Final = 100.0
"""Seconds after which a client has given up a connection whose other end no longer exists."""
_LASTING: Final = frozenset({"poll_changes", "stream_inbox"})
"""Operations that take as long as the client likes."""


class Answers(Check):
    """See the module."""

    def answered(self, request: RequestStory) -> None:
        assert request.answered_at is not None
        took = request.answered_at - request.asked_at
        if request.status is None:
            if took > PATIENCE - 1.0 and request.operation not in _LASTING:
                # A question by a frame may have gone into a connection that broke long before it.
                troubles, since = self.history.troubles, request.asked_at - _GHOST
                if not troubles.touch_by(since, self.now, request.host, "cut", "killed", "stalled"):
                    self._judge_silence(request, took)
        elif request.status in _NEVER:
            troubles, since = self.history.troubles, request.asked_at
            if request.status == 500 and troubles.touch_by(since, self.now, request.host, "crash"):
                return  # The user's actor crashed while the poll waited, as the schedule wanted.
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
            # Without the bus, a node still answers everything that the store can answer.
            is_so = troubles.touch_by(since, self.now, request.host, *_REFUSING)
            is_so = is_so or troubles.touch(since, self.now, "store")
        if request.operation == "update_notification":
            # An update with `If-Match` is refused while anything waits in the spool, because a
            # spooled change may alter the revision, and while the node cannot know whether anything
            # waits.
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
