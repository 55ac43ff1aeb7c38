"""The channels of a server over HTTP, for its operators."""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.client.calls import Call, UnreadableAnswer, ask

PATH: Final = "/v1/admin/channels"


class ListedChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel, as far as a list shows it; see docs/channels.md."""

    name: str
    kind: str
    state: str
    waiting: int
    outcomes: dict[str, int]
    last_error: str | None


class ListedChannels(msgspec.Struct, frozen=True, kw_only=True):
    """The channels of one node."""

    channels: list[ListedChannel]


async def read_channels(base: str, token: str) -> ListedChannels:
    """The channels of the server at *base*.

    Raises `CallFailed`; that is `UnreadableAnswer` if the list is none. Cancelling does no harm.
    """
    response = await ask(base, token, Call("GET", PATH, verb="ask", scope="admin"))
    try:
        return msgspec.json.decode(response.content, type=ListedChannels)
    except msgspec.DecodeError:
        raise UnreadableAnswer(response.status_code) from None
