"""Channels to people: a mail server, a push service and a pager, each in trouble now and then.

Mail and push are carriers of the simulation; the pager is the product's webhook carrier, whose
requests come here. In the first part of a run a parcel is, by chance, refused, kept waiting,
answered late, taken without an answer, put off with `Retry-After`, or its address is gone. No send
meets that often, since the delays between its attempts soon are minutes.

A node can be *doomed*: at its next parcel it dies before the parcel is taken, or right after, or
it loses the store while the parcel is under way.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from simulation.world.chance import Chance
from simulation.world.plan import Plan
from simulation.world.scheduling import Process
from simulation.world.timeline import Timeline
from tocsin.actors.escalation.configured import ChannelTerms, ConfiguredChannels
from tocsin.carriers.webhook import WebhookCarrier
from tocsin.protocol.channels.carrying import (
    Accepted,
    AddressGone,
    Carried,
    ChannelDown,
    Parcel,
    Rejected,
    TryLater,
)
from tocsin.protocol.channels.escalation import EscalationRules
from tocsin.protocol.outbound import OutboundAnswer, OutboundFailed

MAIL: Final = "mail"
PUSH: Final = "push"
PAGER: Final = "pager"
CHANNELS: Final = MAIL, PUSH, PAGER

_CALM_FROM: Final = 0.7
"""The part of the work behind which no parcel meets trouble."""
_TROUBLES_MAX: Final = 2
"""Parcels of one send that may meet trouble: the delay behind the third would be minutes."""
_DELAY: Final = 0.3
"""The most seconds that an answer usually takes."""
_LATE: Final = 4.0, 14.0
"""Seconds of an answer that is late, and still in time."""
_FOR_EVER: Final = 100.0
"""Seconds: longer than any carrier may take."""
_CONCURRENCY: Final = 4
"""Parcels on their way at once: several, so that they overtake one another."""
_SECRET: Final = "whsec_" + "c2ltdWxhdGlvbi1zaW11bGF0aW9uLXNpbXVsYXRpb24="  # 32 bytes, of no use

Doom = Callable[[str], object]
"""Called with `before` and `after` when a parcel of a doomed node is taken."""


class _Trouble(Protocol):
    async def __call__(self) -> Carried: ...


@dataclass(slots=True, eq=False)
class Carrying:
    """One parcel on its way; times in seconds. *taken_at*: the other side has it. *told* is the
    carrier's word to the node, if it came to one, as its class is called."""

    channel: str
    host: str
    parcel: Parcel
    began_at: float
    taken_at: float = math.inf
    ended_at: float = math.inf
    told: str = ""
    after: float = 0.0
    """Seconds that the other side wants until the next attempt."""


@dataclass(slots=True)
class SimulatedChannels:
    """See the module; *carryings* are all parcels, in the order in which they began."""

    plan: Plan
    timeline: Timeline
    chance: Chance
    carryings: list[Carrying] = field(default_factory=list)
    began: list[Callable[[Carrying], object]] = field(default_factory=list)
    """Called when a node hands a parcel over."""
    doomed: dict[str, Doom] = field(default_factory=dict)
    """By node; a doom is for one parcel."""
    _troubles: Counter[str] = field(default_factory=Counter)

    def of(self, process: Process) -> ConfiguredChannels:
        """The channels of *process*, without anything that an earlier process has found out."""
        if not self.plan.escalations:
            return ConfiguredChannels()
        pager = WebhookCarrier(_PagerPort(self, process), "https://pager.simulated/", _SECRET)
        carriers = {MAIL: _Carrier(self, process, MAIL), PUSH: _Carrier(self, process, PUSH)}
        terms = [
            ChannelTerms(name, name, _CONCURRENCY, carriers.get(name, pager), str)
            for name in CHANNELS
        ]
        return ConfiguredChannels(terms, EscalationRules(frozenset(CHANNELS)))

    def begin(self, process: Process, channel: str, parcel: Parcel) -> Carrying:
        """Note a parcel."""
        carrying = Carrying(channel, process.name, parcel, self.timeline.now)
        self.carryings.append(carrying)
        for tell in self.began:
            tell(carrying)
        return carrying

    async def take(self, process: Process, carrying: Carrying) -> bool:
        """Take the parcel after a while; false if its node is dead, and it never arrives."""
        await self.timeline.sleep(_DELAY * self.chance.random())
        doom = None if process.is_dead else self.doomed.pop(process.name, None)
        if doom is not None:
            doom("before")
        if process.is_dead:
            return False
        carrying.taken_at = self.timeline.now
        if doom is not None:
            doom("after")
        return True

    def meets(self, send: str) -> bool:
        """Whether a parcel of *send* meets trouble now."""
        if self.timeline.now >= _CALM_FROM * self.plan.duration:
            return False
        is_so = self.chance.happens(self.plan.channel_trouble)
        if not is_so or self._troubles[send] >= _TROUBLES_MAX:
            return False
        self._troubles[send] += 1
        return True


class _Carrier:
    """A carrier of *process*, of mails or of pushes."""

    def __init__(self, channels: SimulatedChannels, process: Process, channel: str) -> None:
        self._channels = channels
        self._process = process
        self._channel = channel

    async def carry(self, parcel: Parcel) -> Carried:
        channels = self._channels
        carrying = channels.begin(self._process, self._channel, parcel)
        try:
            told = await self._answer(carrying)
        finally:
            carrying.ended_at = channels.timeline.now
        carrying.told = type(told).__name__
        if isinstance(told, TryLater | ChannelDown):
            carrying.after = told.after or 0.0
        return told

    async def _answer(self, carrying: Carrying) -> Carried:
        channels, sleep = self._channels, self._channels.timeline.sleep
        if not channels.meets(carrying.parcel.send):
            is_taken = await channels.take(self._process, carrying)
            return Accepted() if is_taken else TryLater("no answer")
        chance = channels.chance
        match chance.one(_TROUBLES[self._channel]):
            case "hangs":
                await sleep(_FOR_EVER)
            case "late":
                await sleep(chance.uniform(*_LATE))
                if await channels.take(self._process, carrying):
                    return Accepted()
            case "answer lost":
                await channels.take(self._process, carrying)
            case "down":
                return ChannelDown("no connection")
            case "down for a while":
                return ChannelDown("421", after=10.0)
            case "refused":
                return ChannelDown("535", refused=True)
            case "asks":
                return TryLater("429", after=chance.uniform(1.0, 40.0))
            case "rejected":
                return Rejected("554")
            case "no such mailbox":
                return AddressGone("550 5.1.1", at_once=False)
            case _:
                return AddressGone("410")
        return TryLater("no answer")


_TROUBLES: Final[Mapping[str, Sequence[str]]] = {
    MAIL: (
        *("hangs", "late", "answer lost", "down", "down for a while", "refused", "rejected"),
        "no such mailbox",
    ),
    PUSH: ("hangs", "late", "answer lost", "asks", "asks", "gone", "rejected"),
}
_PAGER_TROUBLES: Final = (
    *("hangs", "answer lost", "no connection", "late"),
    *(503, 429, 410, 400, 408),
)


class _PagerPort:
    """The outbound port of *process* to the pager."""

    def __init__(self, channels: SimulatedChannels, process: Process) -> None:
        self._channels = channels
        self._process = process

    async def check(self, url: str) -> None:
        """Every URL leads here."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> OutboundAnswer:
        """Take the parcel, or not; see the module."""
        channels = self._channels
        carrying = channels.begin(self._process, PAGER, _parcel(headers["webhook-id"], body))
        try:
            answer = await self._answer(carrying)
        except OutboundFailed as failed:
            carrying.told = "TryLater" if failed.reason == "timeout" else "ChannelDown"
            raise
        finally:
            carrying.ended_at = channels.timeline.now
        carrying.told = _WORDS.get(answer.status, "TryLater")
        carrying.after = float(answer.headers.get("retry-after", "0"))
        return answer

    async def _answer(self, carrying: Carrying) -> OutboundAnswer:
        channels, chance = self._channels, self._channels.chance
        trouble = None
        if channels.meets(carrying.parcel.send):
            trouble = chance.one(_PAGER_TROUBLES)
        match trouble:
            case int() as status:
                asked = {"retry-after": "20"} if status in (429, 503) else {}
                return OutboundAnswer(status, asked)
            case "hangs":
                await channels.timeline.sleep(_FOR_EVER)
            case "no connection":
                raise OutboundFailed("no_connection", "The pager is down.")
            case "answer lost":
                await channels.take(self._process, carrying)
            case _:
                if trouble == "late":
                    await channels.timeline.sleep(chance.uniform(*_LATE))
                if await channels.take(self._process, carrying):
                    return OutboundAnswer(204)
        raise OutboundFailed("timeout", "The pager does not answer.")


_WORDS: Final = {204: "Accepted", 400: "Rejected", 429: "ChannelDown", 410: "ChannelDown"}


def _parcel(send: str, body: bytes) -> Parcel:
    data = msgspec.json.decode(body)["data"]
    return Parcel(send, data["user"], data["name"], data["address"], (), 0)
