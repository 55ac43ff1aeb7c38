"""P3 and P4: the frames of one session, by their grammar and their order.

    welcome  [reset]  push …  synced  push …  goodbye

`status`, `reply` and `pong` may come anywhere between. After a `reset`, whenever it comes, the
session begins anew at 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from simulation.checks.check import Complaint
from simulation.checks.devices.pushes import Pushes
from simulation.world.history import Frame, SessionStory, sequence_of

_ANY_TIME: Final = frozenset({"reply", "pong", "goodbye"})
_EXPLICIT: Final = frozenset({"websocket", "stream-explicit"})


class Talk:
    """See the module.

    *story* is the session as it is known from outside; *attempts_max* is the largest number of
    times that a change may be pushed.
    """

    def __init__(self, story: SessionStory, attempts_max: int) -> None:
        self.story = story
        self._attempts_max = attempts_max
        self.pushes: Pushes | None = None
        """The pushes that need an acknowledgment; `None` if the next cursor acknowledges."""
        self.position = 0
        """How far the device has come: the sequence of the last new push, or of `synced`."""
        self.synced = False
        self.is_over = False
        self._previous = 0
        self._attempts: dict[int, int] = {}
        self._welcomed = False
        self._reset_due: str | None = None
        self._early: list[tuple[Frame, float]] = []
        """Acknowledgments that may count for what comes next, with their times of arrival."""

    def answered(self, ack: Frame, now: float, *, surely: bool = True) -> None:
        """*ack* has reached a node; *surely* says whether the node is certain to process it."""
        # Over HTTP an acknowledgment may reach a session that has begun, but whose welcome is under
        # way; and on any transport, one that has begun anew, but whose reset is under way.
        if self.pushes is not None or not self._welcomed:
            self._early.append((ack, now))
        if self.pushes is not None:
            self.pushes.answered(ack, now, surely=surely)

    def heard(self, frame: Frame, sent_at: float) -> Iterator[Complaint]:
        """*frame*, sent at *sent_at*, reached the device."""
        kind = frame["type"]
        if self.is_over:
            yield Complaint("P3", f"{kind} came after goodbye")
        if not (self._welcomed or kind in _ANY_TIME or kind == "welcome"):
            yield Complaint("P3", f"{kind} came before welcome")
        if self._reset_due is not None and kind in ("push", "synced"):
            yield Complaint("P4", f"{kind} came, and not a reset: {self._reset_due}")
            self._reset_due = None
        if self.pushes is not None:
            yield from self.pushes.overdue(sent_at)
        match kind:
            case "welcome":
                yield from self._begin(frame)
            case "push":
                yield from self._pushed(frame, sent_at)
            case "synced":
                yield from self._caught_up(frame["sequence"])
            case "reset":
                self._begin_anew(sent_at)
            case "goodbye":
                yield from self._end(frame)
            case _:
                pass

    # --- Frames ----------------------------------------------------------------------------------

    def _begin(self, welcome: Frame) -> Iterator[Complaint]:
        story = self.story
        if self._welcomed:
            yield Complaint("P3", "welcome came twice")
        self._welcomed = True
        if (welcome["user"], welcome["device"]) != (story.user, story.device):
            yield Complaint("P3", f"welcome is for {welcome['user']}/{welcome['device']}")
        self._previous = self.position = start = sequence_of(welcome["cursor"])
        self._welcome = welcome
        self._await_pushes()
        if story.hello == "0":
            if start:
                yield Complaint("P4", f"asked for everything, the session starts at {start}")
        elif story.hello is not None:
            yield from self._compare(story.hello, start, welcome)

    def _compare(self, hello: str, start: int, welcome: Frame) -> Iterator[Complaint]:
        epoch, asked = hello.partition(".")[0], sequence_of(hello)
        if epoch != welcome["epoch"] or asked > welcome["head"]:
            self._reset_due = f"{hello} is of another log, whose epoch is {welcome['epoch']}"
        elif start < asked and self.story.transport == "stream-explicit":
            # This transport's cursor does not acknowledge: the session starts where acknowledgments
            # end.
            return
        elif start == 0 < asked:
            self._reset_due = f"asked to go on from {hello}, the session starts at 0"
        elif start != asked:
            yield Complaint("P4", f"asked to go on from {hello}, the session starts at {start}")

    def _begin_anew(self, sent_at: float) -> None:
        self._reset_due = None
        self._previous = self.position = 0
        self._attempts.clear()
        self.synced = False
        self._early = [(ack, at) for ack, at in self._early if at >= sent_at]
        self._await_pushes()

    def _await_pushes(self) -> None:
        if self.story.transport in _EXPLICIT:
            resend = self._welcome["resend"]
            self.pushes = Pushes(
                resend["delay"], resend["limit"], self._welcome["window"], self._attempts_max
            )
            early, self._early = self._early, []
            for ack, at in early:
                self.pushes.answered(ack, at, surely=False)

    def _pushed(self, push: Frame, sent_at: float) -> Iterator[Complaint]:
        sequence, unread, unseen = push["sequence"], push["unread"], push["unseen"]
        if not 0 <= unseen <= unread:
            yield Complaint("P5", f"{sequence} says {unread} unread, {unseen} unseen")
        if sequence <= self._previous:
            yield from self._pushed_again(push, sent_at)
            return
        if push["previous"] != self._previous:
            text = f"{sequence} says that {push['previous']} came before it, not {self._previous}"
            yield Complaint("P3", text)
        if push["replay"] == self.synced:
            when = "after" if self.synced else "before"
            yield Complaint("P3", f"{sequence} says replay {push['replay']}, {when} synced")
        self._previous = self.position = sequence
        self._attempts[sequence] = push["attempt"]
        if self.pushes is not None:
            yield from self.pushes.pushed(push, sent_at)

    def _pushed_again(self, push: Frame, sent_at: float) -> Iterator[Complaint]:
        sequence = push["sequence"]
        if sequence not in self._attempts:
            yield Complaint("P3", f"{sequence} came behind {self._previous}")
            return
        if self.pushes is None:
            yield Complaint("P2", f"{sequence} came twice where nothing is sent again")
            return
        known = self.pushes.get(sequence)
        assert known is not None
        if (known.notification, known.replay) != (push["notification"]["id"], push["replay"]):
            yield Complaint("P3", f"{sequence} came again as something else")
        yield from self.pushes.again(known, push, sent_at)

    def _caught_up(self, sequence: int) -> Iterator[Complaint]:
        if self.synced:
            yield Complaint("P3", "synced came twice")
        if sequence < max(self._previous, self._welcome["head"]):
            head = self._welcome["head"]
            yield Complaint("P4", f"synced at {sequence}, behind {self._previous} or {head}")
        self.synced = True
        self.position = max(self.position, sequence)

    def _end(self, goodbye: Frame) -> Iterator[Complaint]:
        self.is_over = True
        reason = goodbye["reason"]
        if reason in ("malformed", "internal_error", "frame_too_large", "hello_timeout"):
            yield Complaint("P8", f"goodbye {reason}", self.story.began_at)
        if reason == "unresponsive" and (
            self.pushes is None or self._most_sent(self.pushes) < self._welcome["resend"]["limit"]
        ):
            yield Complaint("P2", "goodbye unresponsive before the limit")

    def _most_sent(self, pushes: Pushes) -> int:
        """The most repetitions of a push so far, as the node may count them for `unresponsive`."""
        # An acknowledgment over HTTP may not reach the session; then the node counts the device as
        # silent.
        is_heeded = self.story.transport == "websocket"
        return pushes.most_unanswered if is_heeded else pushes.most_tries
