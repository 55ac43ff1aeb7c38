"""Chats and other services by Apprise, which knows some hundreds (the extra `tocsin[apprise]`).

The URL is the operator's, with `{address}` in it; users never give one, since Apprise has schemes
that write files and run programs. It says whether a service took a message, and not why it did not;
and a time-out may come after the message was taken. So a failure is tried once more only.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import trio
from apprise import Apprise, AppriseAsset

from tocsin.protocol.channels.carrying import Accepted, Carried, Parcel, Rejected, TryLater

_ATTEMPTS_MAX: Final = 2
"""Attempts of a send: a failure that was none would be a message twice."""
_ADDRESS: Final = re.compile(r"[A-Za-z0-9._@+:=-]{1,256}")
PLACE: Final = "{address}"
"""Where the person's address stands in the URL."""


class AppriseCarrier:
    """Implements `tocsin.protocol.channels.carrying.ChannelCarrier`; *url* has `PLACE` in it."""

    def __init__(self, url: str, concurrency: int) -> None:
        self._url = url
        # A thread that a cancelled call has left goes on to the library's own time-out.
        self._threads = trio.CapacityLimiter(2 * concurrency)

    async def carry(self, parcel: Parcel) -> Carried:
        """Send *parcel*. Cancelled, it may be sent all the same."""
        url = self._url.replace(PLACE, quote(parcel.value, safe=""))
        fields = [each.fields() for each in parcel.notifications]
        title = " · ".join(str(each["title"]) for each in fields)
        body = "\n\n".join(str(each["body"] or each["title"]) for each in fields)
        return await trio.to_thread.run_sync(
            _send, url, title, body, abandon_on_cancel=True, limiter=self._threads
        )


def checked_chat_address(text: str) -> str:
    """*text*, if it can stand in a URL of Apprise and be nothing but a name there; raises
    `ValueError`. (A pattern of the operator's own could take for ever on an address.)"""
    if not _ADDRESS.fullmatch(text):
        raise ValueError("is not 1 to 256 letters, digits and . _ @ + : = -")
    return text


def _send(url: str, title: str, body: str) -> Carried:
    # No plugins of the file system, no environment in what is sent.
    apprise = Apprise(asset=AppriseAsset(plugin_paths=[], async_mode=False))
    if not apprise.add(url):
        return Rejected("Apprise does not know this address")
    if apprise.notify(body=body, title=title):
        return Accepted()
    return TryLater("Apprise says no more than that it failed", attempts_max=_ATTEMPTS_MAX)
