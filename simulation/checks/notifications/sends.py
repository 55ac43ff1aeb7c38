"""P2 and P7 for people whom no device reaches: a step goes out once, and not to those who need or
want it no more.

The check sees each claim of sends as the store commits it, and each parcel as a node hands it over.
By a model of its own it knows how often each send may go out: once, and once more for each time at
which its node died, froze, failed or lost the store between handing it over and noting that. A
claim holds for a minute; a send that failed waits for its time; attempts are counted. Nothing is
claimed of which the store or an answered request had said before that its person is satisfied, that
the channel is off, or that it is quiet there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from simulation.checks.check import Check, ack_in
from simulation.checks.known.silences import Silences
from simulation.clients.devices import Device
from simulation.world.channels import Carrying
from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.escalation_commands import (
    ClaimedSend,
    ClaimSends,
    SendsClaimed,
    SettleSends,
)
from tocsin.persistence.store.results import Result

_SATISFIED: Final = """
    SELECT s.id FROM sends AS s
    LEFT JOIN notifications AS n ON n.id = s.notification_id
    LEFT JOIN inbox AS i ON i.notification_id = s.notification_id AND i.user_id = s.user_id
    WHERE s.channel = ? AND s.state = 'waiting'
        AND (n.standing IS NOT 'active' OR i.state IN ('withdrawn', 'archived', 'read')
            OR i.state <> 'unseen' AND s.until <> 'read'
            OR i.delivered_at IS NOT NULL AND s.until = 'delivered')
"""
_FACTS: Final = """
    SELECT n.priority, s.step, s.until FROM sends AS s JOIN notifications AS n
        ON n.id = s.notification_id
    WHERE s.id = ?
"""
_WAITING: Final = "SELECT id, reason FROM sends WHERE state = 'waiting'"
_STATES: Final = "SELECT id, state, attempts FROM sends"
_LEASE: Final = 60.0
"""Seconds for which a claim holds."""
_DELAYS: Final = 10.0, 60.0, 300.0, 900.0, 1800.0
"""Seconds behind the first failure, the second, and so on."""
_EARLY_MS: Final = 20
"""Milliseconds by which a claim's time may be ahead of the store's clock: rounding, and no more."""
_SOON: Final = 0.1
"""Seconds: rounding, once more."""
_READ_LATE: Final = 1.0
"""Seconds by which the time of a node may be behind the store's: an answer may take so long, and
the next one be quicker (`store_clock`). So what is tried again may be so much early."""
_NOTED: Final = 5.0
"""Seconds in which an acknowledgment is surely noted, if nothing is in trouble."""
_SATISFIES: Final = {"seen": ("delivered", "seen"), "archived": ("delivered", "seen", "read")}
_SATISFIES["read"] = _SATISFIES["archived"]


@dataclass(slots=True)
class _Send:
    """The life of one send. *counted* are the attempts that were surely made, *claims* all."""

    claims: int = 0
    counted: int = 0
    claimed_at: float = 0.0
    claimed_ms: int = 0
    host: str = ""
    is_ours: bool = False
    """Whether the last claim has not been settled."""
    not_before: float = 0.0
    """When it may be claimed again, on the timeline."""
    carryings: list[Carrying] = field(default_factory=list)


class Sends(Check):
    """See the module; without escalations in the plan it has nothing to judge."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._sends: dict[str, _Send] = defaultdict(_Send)
        self._parcels: dict[str, tuple[str, ...]] = {}
        """By the first send of a parcel, all its sends as of its last claim."""
        self._satisfied: set[str] = set()
        self._answered: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
        """By user and notification: since when an answered request satisfies each word."""
        self._acknowledged: dict[tuple[str, str], float] = {}
        """By user and notification: the first acknowledgment by id that was answered."""
        self._posts: dict[str, RequestStory] = {}
        self._silences = Silences()
        if cluster.plan.escalations:
            cluster.store.witnesses.append(self)
            cluster.channels.began.append(self._began)

    # --- What it sees ----------------------------------------------------------------------------

    def asked(self, request: RequestStory) -> None:
        self._silences.asked(request)
        if request.operation == "mark" and request.body["state"] == "unread":
            self._unread(request.who.partition("/")[0], request.body)

    def answered(self, request: RequestStory) -> None:
        if request.operation == "publish" and request.status == 201 and request.attempt == 1:
            self._posts[request.answer["id"]] = request
            return
        user = request.who.partition("/")[0]
        for id_ in (ack_in(request) or {}).get("ids", ()):
            self._acknowledged.setdefault((user, id_), self.now)
        if request.operation != "mark":
            return
        if request.body["state"] == "unread":
            self._unread(user, request.body)
        elif request.status == 200:
            self._marked(user, request.body)

    def before(self, commands: Sequence[Command[Any]]) -> None:
        """Note the sends that must not be claimed any more."""
        self._satisfied = {
            id_
            for command in commands
            if isinstance(command, ClaimSends)
            for (id_,) in self.cluster.store.rows(_SATISFIED, command.channel)
        }

    def after(self, commands: Sequence[Command[Any]], results: Sequence[Result]) -> None:
        """Judge claims, and note what was settled; a claim sees what was settled with it."""
        for command in commands:
            if isinstance(command, SettleSends):
                self._settled(command)
        for command, result in zip(commands, results, strict=True):
            if isinstance(command, ClaimSends) and isinstance(result, SendsClaimed):
                for send in result.sends:
                    self._claimed(command, send)
                self._gather(result.sends)

    def settled(self) -> str | None:
        if self.cluster.plan.escalations:
            for id_, reason in self.cluster.store.rows(_WAITING):
                return f"the send {id_} waits: {reason}"
        return None

    def finish(self) -> None:
        for id_, state, attempts in self.cluster.store.rows(_STATES):
            send = self._sends.get(id_)
            carryings = [] if send is None else send.carryings
            if state == "sent" and not any(each.told == "Accepted" for each in carryings):
                self.violated("P1", id_, "was noted as sent, and no channel has taken it")
            if send is not None and not send.counted <= attempts <= send.claims:
                text = f"has {attempts} attempts; {send.counted} were made in {send.claims} claims"
                self.violated("P2", id_, text)

    # --- Claims ----------------------------------------------------------------------------------

    def _claimed(self, command: ClaimSends, claimed: ClaimedSend) -> None:
        send, now = self._sends[claimed.id], self.now
        host = command.node.partition("/")[0]
        for promise, wrong in (
            *self._untimely(command, claimed, send),
            *self._unwanted(command, claimed),
        ):
            self.violated(promise, claimed.id, f"was claimed by {host}: {wrong}")
        for carrying in send.carryings:
            if carrying.told == "Accepted" and not self._may_be_unnoted(carrying):
                text = f"was taken at {carrying.taken_at:.3f}, and {host} claims it again"
                self.violated("P2", claimed.id, text)
        send.claims += 1
        send.claimed_at, send.claimed_ms, send.host, send.is_ours = now, command.now_ms, host, True

    def _untimely(
        self, command: ClaimSends, claimed: ClaimedSend, send: _Send
    ) -> Iterator[tuple[str, str]]:
        ahead = command.now_ms - self.cluster.now_ms()
        if ahead > _EARLY_MS:
            yield "P2", f"by a clock that is {ahead} ms ahead of the store's"
        if send.is_ours and command.now_ms < send.claimed_ms + _LEASE * 1000:
            yield "P2", f"{send.host} has it since {send.claimed_at:.3f}"
        if self.now < send.not_before - _SOON - _READ_LATE:
            yield "P2", f"it is to wait until {send.not_before:.3f}"
        if not send.counted < claimed.attempts <= send.claims + 1:
            counted = f"{send.counted} attempts were made in {send.claims} claims"
            yield "P2", f"as attempt {claimed.attempts}; {counted}"

    def _unwanted(self, command: ClaimSends, claimed: ClaimedSend) -> Iterator[tuple[str, str]]:
        if claimed.id in self._satisfied:
            yield "P2", "it was moot before"
        [(priority, step, until)] = self.cluster.store.rows(_FACTS, claimed.id)
        post = self._posts.get(claimed.notification)
        if post is not None and "collapse_key" not in post.body:
            since = self._satisfied_since(claimed, until)
            if since < self.now:
                yield "P2", f"a request answered at {since:.3f} satisfies its person"
            if (due := self._due(post, step)) is not None and self.now < due - _SOON:
                yield "P2", f"its step is due at {due:.3f}"
        if (silent := self._silences.judge(claimed, command, priority, self.now)) is not None:
            yield "P7", silent

    def _satisfied_since(self, claimed: ClaimedSend, until: str) -> float:
        """When an answered request satisfied the person of a send; infinite if none surely did."""
        place = claimed.user, claimed.notification
        marked = self._answered[place].get(until, math.inf)
        told = self._acknowledged.get(place, math.inf)
        if until != "delivered" or self.history.troubles.touch(told - _NOTED, told + _NOTED):
            return marked
        # An acknowledgment at another node than the session's is answered when that node is told of
        # it; if the push was not noted yet, that node notes both a moment later.
        return min(marked, told + _NOTED)

    def _due(self, post: RequestStory, step: int) -> float | None:
        """When a step is due at the earliest; `None` if that cannot be known."""
        if "deliver_at" in post.body or any(
            host.clock_least < 0 for host in self.cluster.hosts.values()
        ):
            return None
        after: float = post.body["escalate"][step]["after"]
        return post.asked_at + after

    def _may_be_unnoted(self, carrying: Carrying) -> bool:
        """Whether its node may have been kept from noting that a parcel was taken."""
        return self.history.troubles.touch(carrying.began_at, self.now, carrying.host, "store")

    def _gather(self, sends: Sequence[ClaimedSend]) -> None:
        digests: dict[tuple[str, str], list[str]] = defaultdict(list)
        for send in sorted(sends, key=lambda each: each.id):
            if send.digest:
                digests[send.user, send.address].append(send.id)
            else:
                self._parcels[send.id] = (send.id,)
        for ids in digests.values():
            self._parcels[ids[0]] = tuple(ids)

    # --- Parcels ---------------------------------------------------------------------------------

    def _began(self, carrying: Carrying) -> None:
        for id_ in self._parcels.get(carrying.parcel.send, ()):
            send, known = self._sends[id_], carrying.host
            if not send.is_ours or send.host != known or self.now > send.claimed_at + _LEASE:
                text = f"is carried by {known}, and claimed by {send.host or 'no node'}"
                self.violated("P2", id_, text)
            if any(each.began_at >= send.claimed_at for each in send.carryings):
                self.violated("P2", id_, f"is carried by {known} twice for one claim")
            send.carryings.append(carrying)
        if carrying.parcel.send not in self._parcels:
            self.violated("P2", carrying.parcel.send, f"is carried by {carrying.host}, unclaimed")

    def _settled(self, command: SettleSends) -> None:
        for each in command.sends:
            send = self._sends[each.id]
            if not send.is_ours or send.host != command.node.partition("/")[0]:
                continue
            send.is_ours = False
            carrying = send.carryings[-1] if send.carryings else None
            if carrying is None or carrying.began_at < send.claimed_at:
                continue  # It was given back untried.
            if carrying.told == "ChannelDown":
                continue
            send.counted += 1
            if carrying.told in ("TryLater", ""):  # Without a word the carrier was too late.
                delay = max(_DELAYS[min(send.counted, len(_DELAYS)) - 1], carrying.after)
                send.not_before = carrying.ended_at + delay

    def _unread(self, user: str, body: dict[str, Any]) -> None:
        """Forget what satisfied *user*, of whom nothing is known behind this mark."""
        for (whom, id_), known in self._answered.items():
            if whom == user and id_ in body.get("ids", (id_,)):
                known.clear()

    def _marked(self, user: str, body: dict[str, Any]) -> None:
        for id_ in body.get("ids", ()):
            known = self._answered[user, id_]
            for word in _SATISFIES.get(body["state"], ()):
                known.setdefault(word, self.now)
