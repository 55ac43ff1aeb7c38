"""The table of a node's channels: the terms of each, and what has become of its sends here.

A channel is a way to a person other than a device. Its terms come from the settings and do not
change; its breaker says whether it works now, as far as this node has found out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tocsin.actors.runtime.bell import Bell
from tocsin.protocol.channels.breaker import Breaker
from tocsin.protocol.channels.carrying import ChannelCarrier
from tocsin.protocol.channels.escalation import NO_RULES, EscalationRules
from tocsin.protocol.secret_box import SecretBox

ChannelState = Literal["ok", "away", "refused"]


@dataclass(frozen=True, slots=True)
class ChannelTerms:
    """A configured channel. *checked* gives an address the form in which it is kept, or raises
    `ValueError` with what is wrong. *by_user*: a user registers addresses, and not a backend. *key*
    is what a browser needs to know (VAPID)."""

    name: str
    kind: str
    concurrency: int
    carrier: ChannelCarrier
    checked: Callable[[str], str]
    by_user: bool = False
    key: str | None = None


@dataclass(slots=True)
class ChannelLine:
    """A channel at work on this node. *refused*: an operator has to act.

    Since the node's start: *outcomes* of sends by their words, *dead_addresses* by the reason, and
    the *seconds* that carrying took. *waiting* sends were due and not claimed, at the last look.
    """

    terms: ChannelTerms
    breaker: Breaker = field(default_factory=Breaker)
    bell: Bell = field(default_factory=Bell)
    outcomes: Counter[str] = field(default_factory=Counter)
    dead_addresses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    waiting: int = 0
    refused: bool = False

    @property
    def state(self) -> ChannelState:
        """How the channel stands."""
        if not self.breaker.is_open:
            return "ok"
        return "refused" if self.refused else "away"


@dataclass(slots=True)
class EscalationStatistics:
    """Counters since the node's start; *late* is by how many seconds the last step was late."""

    plans: int = 0
    sends: int = 0
    late: float = 0.0


class ConfiguredChannels:
    """See the module. Without *terms*, nothing escalates."""

    def __init__(
        self,
        terms: Sequence[ChannelTerms] = (),
        rules: EscalationRules = NO_RULES,
        box: SecretBox | None = None,
    ) -> None:
        self.rules = rules
        self.box = box or SecretBox()
        """Seals and opens what is secret in the store: the values of addresses, and the secrets of
        webhooks."""
        self.lines: Mapping[str, ChannelLine] = {each.name: ChannelLine(each) for each in terms}
        self.statistics = EscalationStatistics()

    def ring(self) -> None:
        """Have all channels look for sends: some were made."""
        for line in self.lines.values():
            line.bell.ring()
