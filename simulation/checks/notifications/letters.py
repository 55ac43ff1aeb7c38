"""P1: a failed delivery leaves a dead letter, and a replayed letter is delivered again.

A notification that expires before any device of its user was pushed it leaves a letter. One that a
device has acknowledged leaves none. A settled letter is dead again only after another death, and
can be replayed once for each. A replayed notification moves to the head of its user's log and is
pushed to the letter's device, but not to other devices that were done with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from simulation.checks.check import Check
from simulation.checks.known.inboxes import Inboxes
from simulation.checks.known.posts import SPOOLED, Post
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory

_LATE: Final = 25.0
"""Seconds after which a notification whose `ttl` is over has surely expired."""
_WRITTEN: Final = 3.0
"""Seconds in which an acknowledgment that has reached a healthy node is in the store."""
_REGAINED: Final = 18.0
"""Seconds until a node uses a store again that was hanging."""
_LETTERS: Final = """
    SELECT id, notification_id, user_id, device_id, cause, status, history FROM dead_letters
"""
_DIED_AGAIN: Final = "SELECT 1 FROM dead_letters WHERE id = ? AND status <> 'replayed'"
"""A death makes a replayed letter `dead`; only then can it be discarded or replayed again."""
_PLACE: Final = "SELECT sequence FROM inbox WHERE notification_id = ? AND user_id = ?"

_Pair = tuple[str, str]
"""A notification and a user."""


@dataclass(slots=True)
class _Replay:
    """A request to replay a letter, and the place of its notification in the log before it."""

    request: RequestStory
    notification: str
    user: str
    device: str
    place: int


@dataclass(slots=True)
class _Heard:
    """The pushes and acknowledgments of a notification on all devices of a user."""

    devices: dict[str, float] = field(default_factory=dict)
    """By device: when it was pushed last."""
    acknowledged: dict[str, tuple[float, str]] = field(default_factory=dict)
    """By device: when the first acknowledgment reached a node, and which node."""
    named: dict[str, float] = field(default_factory=dict)
    """By device: when the last acknowledgment that names the notification was under way."""
    given_up: dict[str, None] = field(default_factory=dict)
    """Devices that had their last attempt; a later acknowledgment may not count."""


class Letters(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._inboxes = Inboxes(cluster)
        self._known: dict[str, Frame] = {}
        """By id: each letter as it was listed last."""
        self._replays: list[_Replay] = []
        self._settled: dict[tuple[str, str], RequestStory] = {}
        """By letter id and time of death: the request that settled the letter."""
        self._heard: dict[_Pair, _Heard] = {}
        self._open: dict[SessionStory, dict[int, str]] = {}

    # --- Events ----------------------------------------------------------------------------------

    def asked(self, request: RequestStory) -> None:
        self._inboxes.asked(request)
        if request.operation == "replay_dead_letter":
            letter = self._known[request.path["letter"]]
            pair = letter["notification"], letter["user"]
            rows = self.cluster.store.rows(_PLACE, *pair)
            place = rows[0][0] if rows else 0
            self._replays.append(_Replay(request, *pair, letter["device"] or "", place))

    def answered(self, request: RequestStory) -> None:
        self._inboxes.answered(request)
        match request.operation:
            case "list_dead_letters" if request.status == 200:
                for letter in request.answer["dead_letters"]:
                    self._judge_listed(letter, request)
                    self._known[str(letter["id"])] = letter
            case "replay_dead_letter" if request.status == 200:
                self._judge_replayed(request)
                self._settle(request)
            case "discard_dead_letter" if request.status == 204:
                self._settle(request)
            case "acknowledge" if "ids" in request.body:
                user, _, device = request.who.partition("/")
                self._name(user, device, request.body["ids"])
            case _:
                pass

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        self._inboxes.heard(session, frame)
        for push in frame["changes"] if frame["type"] == "changes" else [frame]:
            if frame["type"] not in ("push", "changes"):
                return
            id_ = push["notification"]["id"]
            heard = self._heard.setdefault((id_, session.user), _Heard())
            self._judge_pushed(session, push, heard)
            # What a session has kept unread may be read behind what a later one was sent.
            heard.devices[session.device] = max(sent_at, heard.devices.get(session.device, 0.0))
            self._open.setdefault(session, {})[push["sequence"]] = id_
            if push["attempt"] >= self.cluster.plan.attempts:
                heard.given_up[session.device] = None

    def ack_arrived(self, session: SessionStory, ack: Frame) -> None:
        self._name(session.user, session.device, ack.get("ids", ()))
        if session.transport != "websocket" or ack["type"] == "nack":
            return
        waiting = self._open.get(session, {})
        for sequence, id_ in list(waiting.items()):
            if id_ in ack["ids"] if "ids" in ack else sequence <= ack["sequence"]:
                del waiting[sequence]
                heard = self._heard[id_, session.user]
                heard.acknowledged.setdefault(session.device, (self.now, session.host))

    def _name(self, user: str, device: str, ids: Iterable[str]) -> None:
        for id_ in ids:
            self._heard.setdefault((id_, user), _Heard()).named[device] = self.now

    def ended(self, session: SessionStory) -> None:
        self._open.pop(session, None)

    # --- Judgments -------------------------------------------------------------------------------

    def settled(self) -> str | None:
        for replay in self._replays:
            if replay.request.status == 200 and (told := self._unheard(replay)) is not None:
                return told
        dead = self._dead()
        for post in self._inboxes.posts:
            for user in self._lacking(post, dead):
                return f"{post.name} has expired for {user}, and has no letter"
        return None

    def finish(self) -> None:
        letters = self.cluster.store.rows(_LETTERS)
        for replay in self._replays:
            if replay.request.status == 200 and (told := self._unheard(replay)) is not None:
                self.violated("P1", replay.user, told)
        dead = self._dead()
        for post in self._inboxes.posts:
            for user in self._lacking(post, dead):
                text = f"{post.name} expired and was never pushed, and there is no letter"
                self.violated("P1", user, text)
            self._judge_needless(post, dead)
        for id_, *_, history in letters:
            self._judge_history(str(id_), history)

    def _judge_listed(self, letter: Frame, request: RequestStory) -> None:
        settled = self._settled.get((str(letter["id"]), letter["dead_at"]))
        if letter["status"] != "dead" or settled is None or settled.answered_at is None:
            return
        if settled.answered_at < request.asked_at:
            text = f"letter {letter['id']} is dead, and {settled.operation} was answered"
            at = f"{settled.status} at {settled.answered_at:.3f}; it has not died since"
            self.violated("P1", letter["user"], f"{text} {at}")

    def _settle(self, request: RequestStory) -> None:
        letter = self._known[request.path["letter"]]
        self._settled[str(letter["id"]), letter["dead_at"]] = request

    def _judge_replayed(self, request: RequestStory) -> None:
        replay = next(each for each in self._replays if each.request is request)
        rows = self.cluster.store.rows(_PLACE, replay.notification, replay.user)
        if rows and rows[0][0] <= replay.place:
            text = f"{replay.notification} was replayed, and still has its place {replay.place}"
            self.violated("P1", replay.user, text)

    def _judge_pushed(self, session: SessionStory, push: Frame, heard: _Heard) -> None:
        """A replay for one device is not pushed to another one that is done with it."""
        id_, device = push["notification"]["id"], session.device
        if push["replay"] or device not in heard.acknowledged or push["attempt"] > 1:
            return
        at, host = heard.acknowledged[device]
        replays = [
            each for each in self._replays if (each.notification, each.user) == (id_, session.user)
        ]
        if device in heard.given_up or any(each.device in ("", device) for each in replays):
            return
        for replay in replays:
            asked_at = replay.request.asked_at
            if (
                at + _WRITTEN < asked_at < self.now < asked_at + _LATE
                and session.began_at < asked_at
                and not self.history.troubles.touch(at - _REGAINED, self.now, host, "store")
                and not self._inboxes.may_have_changed(id_, session.user)
            ):
                text = f"{device} was pushed {id_} again, which was replayed for {replay.device}"
                self.violated("P2", session.user, text)

    def _judge_history(self, letter: str, history: str) -> None:
        events = [event["event"] for event in msgspec.json.decode(history)]
        replayed = sum(
            each.request.status == 200 and each.request.path["letter"] == letter
            for each in self._replays
        )
        if replayed > events.count("dead"):
            text = f"letter {letter} was replayed {replayed} times, and its history is {events}"
            self.violated("P1", "operator", text)

    def _unheard(self, replay: _Replay) -> str | None:
        """Say that the device of a letter was not pushed its replay; `None` if all is well."""
        id_ = replay.notification
        heard = self._heard.get((id_, replay.user), _Heard())
        if self.cluster.plan.retention or not replay.device:
            # A device that the store has forgotten begins after the replay.
            return None
        # A device that says it has the notification need not be pushed the replay.
        told = heard.devices.get(replay.device, 0.0), heard.named.get(replay.device, 0.0)
        if max(told) > replay.request.asked_at:
            return None
        if self._has_died_since(replay):
            # The pushes went into a connection that carried nothing, until the last attempt.
            return None
        rows = self.cluster.store.rows(
            "SELECT json_extract(n.document, '$.title'), n.expires_at, i.state"
            " FROM inbox AS i JOIN notifications AS n ON n.id = i.notification_id"
            " WHERE i.notification_id = ? AND i.user_id = ?",
            *(id_, replay.user),
        )
        if not rows or rows[0][1] is not None or rows[0][2] == "withdrawn":
            return None
        return f"{replay.device} of {replay.user} has not been pushed {id_}, which was replayed"

    def _has_died_since(self, replay: _Replay) -> bool:
        """Whether the replayed notification is dead for its device again."""
        return bool(self.cluster.store.rows(_DIED_AGAIN, replay.request.path["letter"]))

    def _dead(self) -> dict[_Pair, None]:
        """The notifications and users with a letter because of expiry."""
        rows = self.cluster.store.rows(_LETTERS)
        return {(row[1], row[2]): None for row in rows if row[3] == ""}

    def _lacking(self, post: Post, dead: dict[_Pair, None]) -> Iterator[str]:
        """The users for whom *post* should have left a letter, and has not."""
        id_ = _id_of(post)
        if id_ is None or self._may_be_purged(post):
            return
        since, until = self._inboxes.done_between(post)
        behind = min(host.clock_least for host in self.cluster.hosts.values()) / 1000
        if until + post.body["ttl"] - behind > self.now:
            return
        for user in dict.fromkeys(post.users):
            muted = self._inboxes.subscribers.may_have_muted(user, [post.body], since, until)
            if (id_, user) not in dead and not muted and self._is_unheard_of(id_, user):
                yield user

    def _may_be_purged(self, post: Post) -> bool:
        plan = self.cluster.plan
        return bool(plan.retention) and self._inboxes.may_be_forgotten(post, math.inf)

    def _is_unheard_of(self, id_: str, user: str) -> bool:
        """Whether *user* was surely not pushed *id_*, and it was neither withdrawn nor marked."""
        return (
            (id_, user) not in self._heard
            and id_ not in self._inboxes.posts.withdrawals
            and not self._inboxes.may_have_marked(user, id_)
        )

    def _judge_needless(self, post: Post, dead: dict[_Pair, None]) -> None:
        """A letter is wrong if a device had acknowledged the notification before it expired."""
        id_, troubles = _id_of(post), self.history.troubles
        if id_ is None:
            return
        hosts = self.cluster.hosts.values()
        # A node whose clock is behind writes the end, and one whose clock is ahead lets it come.
        skew = max(host.clock_most for host in hosts) - min(host.clock_least for host in hosts)
        over = post.asked_at + post.body["ttl"] - skew / 1000
        for user in post.users:
            heard = self._heard.get((id_, user), _Heard())
            for device, (at, host) in heard.acknowledged.items():
                is_late = device in heard.given_up or at + _WRITTEN > over
                if (id_, user) not in dead or is_late:
                    continue
                if not troubles.touch(at - _REGAINED, at + _WRITTEN, host, "store"):
                    text = f"{id_} is a letter, and was acknowledged at {host} at {at:.3f}"
                    self.violated("P1", user, text)


def _id_of(post: Post) -> str | None:
    """The id of *post*, if it surely was stored and may leave letters when it expires."""
    acceptance = post.acceptance
    may_leave = "ttl" in post.body and post.topic is None and not post.is_scheduled
    if not may_leave or acceptance is None or any(each.status == SPOOLED for each in post.requests):
        return None
    id_: str = acceptance.answer["id"]
    return id_
