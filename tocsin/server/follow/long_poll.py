"""One long poll: a session that ends with the first thing there is to tell.

It holds nothing but its outlet and waits for one event, so thousands of them cost memory and no
processor. They come in and go out in turns (`turnstile`): one publish may wake them all.

Its answer counts as sent, not as received: the next poll's cursor confirms it, and a poll that
is cancelled confirms nothing.
"""

from __future__ import annotations

from typing import Final

import trio

from tocsin.actors.delivery.messages import Arrived
from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import Refused, refusal_for
from tocsin.server.attachment import arrive, leave
from tocsin.server.credential_watch import ended_credential
from tocsin.server.follow.poll_outlet import PollOutlet
from tocsin.server.services import Services
from tocsin.server.turnstile import Turnstile

_QUEUE_MAX: Final = 5.0
"""Seconds beyond the longest wait; who is not answered by then is, whoever stands before."""


async def gather(
    services: Services, user: str, outlet: PollOutlet, arrived: Arrived, wait: float
) -> None:
    """Fill *outlet*: at once if there is anything, else within *wait* seconds.

    Raises `Refused` where there is nothing to answer with. Cancelling
    ends the session and confirms nothing.
    """
    started, settings = trio.current_time(), services.settings
    with await services.attaching.enter() as place:
        arrive(services, user, arrived)
        try:
            looked = await outlet.looked.wait(trio.current_time() + settings.store_timeout)
            place.leave()
            if not (looked or outlet.changes):
                raise Refused(refusal_for(Closing.STORE_UNAVAILABLE))
            if outlet.caught_up and wait:
                await outlet.enough.wait(started + wait)
            await _stand_in_line(services.answering, started + settings.poll_wait_max + _QUEUE_MAX)
        finally:
            leave(services, user, outlet)
    if outlet.closing is not None and not _is_goodbye(outlet):
        raise _refused(outlet.closing, outlet.after, outlet.detail)


async def _stand_in_line(answering: Turnstile, latest: float) -> None:
    """Wait for one of the places in a turn in which polls are answered, until *latest*.

    The rest of the answer follows in the turn in which the place is left. A change that comes
    meanwhile is in the answer as well.
    """
    place = answering.enter_now()
    if place is None:
        with trio.move_on_at(latest):
            place = await answering.enter()
    if place is not None:
        with place:
            await trio.lowlevel.checkpoint()


def _is_goodbye(outlet: PollOutlet) -> bool:
    """Whether what was gathered is answered all the same, with a goodbye beside it."""
    return outlet.closing is Closing.DRAINING and outlet.cursor is not None


def _refused(closing: Closing, after: float, detail: str) -> Refused:
    if closing is Closing.UNAUTHENTICATED:
        return ended_credential(detail)
    return Refused(refusal_for(closing, after=max(after, closing.after)))
