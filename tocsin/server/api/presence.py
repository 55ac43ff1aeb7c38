"""Presence, for producers: is there any point in asking now, or is an e-mail better?"""

from __future__ import annotations

from tocsin.actors.delivery.attendance import PresenceUnavailable
from tocsin.protocol.refusal import refuse
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api import answers
from tocsin.server.api.operation import Answer, Call, Caller, Operations, UrlQuery

operations = Operations("users")


@operations.define(
    *("GET", "/v1/users/{user}/presence", "Show where a user is connected"),
    caller=Caller.NOTIFY,
    problems=("bus_unavailable",),
    answers={200: answers.UserPresence},
)
async def show_presence(call: Call[UrlQuery, None], user: str) -> Answer:
    """On all nodes. A node that has died counts until its leases end, half a minute at most."""
    try:
        connected = await call.services.attendance.devices_of(user)
    except PresenceUnavailable:
        detail = "What the other nodes know of this user cannot be read now."
        raise refuse("bus_unavailable", detail) from None
    devices = [
        answers.ConnectedDevice(device=each.device, node=each.node, since=to_rfc3339(each.since))
        for each in connected
    ]
    return Answer(answers.UserPresence(user=user, online=bool(devices), devices=devices))
