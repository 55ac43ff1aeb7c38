"""One long poll: a session that ends with the first thing there is to tell.

It holds nothing but its outlet and waits for one event, so thousands of them cost memory and no
processor. They come in and go out in turns (`turnstile`): one publish may wake them all.

What it answers counts as sent, not as received: the next poll's cursor confirms it, and a poll that
is cancelled confirms nothing.
"""

from __future__ import annotations

from typing import Final

import trio

from tocsin.actors.delivery.messages import Arrived
from tocsin.protocol.closing import Closing
from tocsin.protocol.problems import ProblemError, refuse
from tocsin.server.attachment import RETRY_AFTER, arrive, leave
from tocsin.server.auth import Unauthenticated
from tocsin.server.auth.errors import AuthCode
from tocsin.server.follow.poll_outlet import PollOutlet
from tocsin.server.services import STORE_RETRY_AFTER, Services

_QUEUE_MAX: Final = 5.0
"""Seconds beyond the longest wait; who is not answered by then is, whoever stands before."""
_DETAILS: Final = {
    Closing.REPLACED: ("replaced", "Another connection of this device has taken over."),
    Closing.DISCONNECTED: ("disconnected", "This device was disconnected."),
    Closing.TOO_MANY_DEVICES: (
        "conflict",
        "This is one device too many; DELETE /v1/me/devices/{device} removes one you do not need.",
    ),
    Closing.STORE_UNAVAILABLE: ("store_unavailable", "The store does not answer now."),
    Closing.OVERLOADED: ("overloaded", "More is going on than this node can take."),
    Closing.DRAINING: ("overloaded", "This node is stopping."),
    Closing.INTERNAL_ERROR: ("internal_error", "Something of ours broke; it is logged."),
}
"""Why a poll is answered with a problem, in the words of problems."""


async def gather(
    services: Services, user: str, outlet: PollOutlet, arrived: Arrived, wait: float
) -> None:
    """Fill *outlet*: at once if there is anything, else within *wait* seconds.

    Raises `ProblemError` or `Unauthenticated` where there is nothing to answer with. Cancelling
    ends the session and confirms nothing.
    """
    started = trio.current_time()
    patience, latest = started + wait, started + services.settings.poll_wait_max + _QUEUE_MAX
    with await services.attaching.enter() as place:
        arrive(services, user, arrived)
        try:
            with trio.move_on_after(services.settings.store_timeout) as looking:
                await outlet.looked.wait()
            place.leave()
            if looking.cancelled_caught and not outlet.changes:
                raise _problem(Closing.STORE_UNAVAILABLE, STORE_RETRY_AFTER)
            if outlet.caught_up and wait:
                with trio.move_on_at(patience):
                    await outlet.enough.wait()
            # The rest costs half a millisecond, and follows in the turn in which the place is left.
            # What comes while it is waited for is in the answer as well.
            with trio.move_on_at(latest), await services.answering.enter():
                await trio.lowlevel.checkpoint()
        finally:
            leave(services, user, outlet)
    if outlet.closing is not None and not _is_goodbye(outlet):
        raise _problem(outlet.closing, outlet.after)


def _is_goodbye(outlet: PollOutlet) -> bool:
    """Whether what was gathered is answered all the same, with a goodbye beside it."""
    return outlet.closing is Closing.DRAINING and outlet.cursor is not None


def _problem(closing: Closing, after: float) -> ProblemError | Unauthenticated:
    if closing is Closing.UNAUTHENTICATED:
        return Unauthenticated("The token has expired.", AuthCode.TOKEN_EXPIRED)
    code, detail = _DETAILS[closing]
    retry_after = max(after, RETRY_AFTER) if closing.reconnect else None
    return refuse(code, detail, retry_after=retry_after)
