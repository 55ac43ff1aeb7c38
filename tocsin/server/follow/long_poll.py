"""One long poll: a session that ends with the first thing there is to tell.

It holds nothing but its outlet and waits for one event, so thousands of them cost memory and no
processor. They come in and go out in turns (`turnstile`): one publish may wake them all.

Its answer counts as sent, not as received: the next poll's cursor confirms it, and a poll that
is cancelled confirms nothing. A session whose poll was answered may rest until the next one
(`protocol/delivery/resting.py`).
"""

from __future__ import annotations

from typing import Final

import trio

from tocsin.actors.delivery.messages import Arrived
from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import Refused, refusal_for
from tocsin.server.attachment import arrive, leave, rest
from tocsin.server.credential_watch import ended_credential
from tocsin.server.follow.poll_outlet import PollOutlet
from tocsin.server.services import Services

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
    goes_on = False
    with await services.attaching.enter() as place:
        arrive(services, user, arrived)
        try:
            looked = await outlet.looked.wait(trio.current_time() + settings.store_timeout)
            place.leave()
            if not (looked or outlet.changes):
                raise Refused(refusal_for(Closing.STORE_UNAVAILABLE))
            waits = wait and outlet.caught_up and not outlet.enough.is_set()
            if not (waits and await outlet.enough.wait(started + wait)):
                await _stand_in_line(outlet, started + settings.poll_wait_max + _QUEUE_MAX)
            # A device that does not wait will not be back at once.
            goes_on = wait > 0 and outlet.caught_up and outlet.closing is None
        finally:
            outlet.enough.leave()
            (rest if goes_on else leave)(services, user, outlet)
    if outlet.closing is not None and not _is_goodbye(outlet):
        raise _refused(outlet.closing, outlet.after, outlet.detail)


async def _stand_in_line(outlet: PollOutlet, latest: float) -> None:
    """Wait for one of the places in a turn in which polls are answered, until *latest*.

    The rest of the answer follows in the turn in which the place is left. A change that comes
    meanwhile is in the answer as well. A poll for which something came while it waited has stood in
    the line since then.
    """
    outlet.enough.set()
    if outlet.enough.is_set():
        await trio.lowlevel.checkpoint()  # for there are others in this turn
    else:
        await outlet.enough.wait(latest)


def _is_goodbye(outlet: PollOutlet) -> bool:
    """Whether what was gathered is answered all the same, with a goodbye beside it."""
    return outlet.closing is Closing.DRAINING and outlet.cursor is not None


def _refused(closing: Closing, after: float, detail: str) -> Refused:
    if closing is Closing.UNAUTHENTICATED:
        return ended_credential(detail)
    return Refused(refusal_for(closing, after=max(after, closing.after)))
