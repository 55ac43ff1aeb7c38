"""Actors that never wait: each handles its messages in the turns of those who send them.

A task that only ever waits for the next message is a price without a purpose: to start it and to
end it costs as much as ten messages, and each message a task switch. So an actor whose `receive` is
a plain function, which cannot wait, has no task. The rules:

- **A message to an idle actor is handled in its sender's turn**, before `tell` returns. An actor is
  idle while it has no message in hand and none in its mailbox; so messages are handled in the order
  in which they were sent, whichever way each goes.
- **No re-entrance.** A message to an actor that has one in hand is queued, whether the actor sent
  it itself or another one that it has told something. So is a message that comes while `DEPTH_MAX`
  actors have one each in hand.
- **A budget for each turn of the loop** (`turns`). Messages beyond the `PER_TURN_MAX` first of a
  turn are queued, so an actor that tells thousands does not keep I/O waiting for all of them.
- Queued messages are read by the *attendant*, a task of the supervisor's that is woken for them, so
  many at a time and with a turn of the loop in between.
- **An exception of the actor is never raised in its sender**: it is logged, the asker of the
  message gets `ActorCrashed`, queued messages are abandoned, and the actor ends. It is not started
  again, since that takes a pause, and a pause takes a task: where state must come back, use an
  `Actor`.
- **A deadline is an alarm**, looked at after each message and set where it is earlier than before;
  the attendant calls `on_deadline`, before what is queued. As everywhere, early but never late.
- Closed, it ends as soon as its mailbox is empty; `ended` is called once, however it ends.

The price: a sender's turn is as long as all that it causes, and `receive` must be right whatever
the sender is in the middle of. Trio would have run the woken tasks in the same turn of its loop, so
I/O waits no longer than before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import structlog
import trio

from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.errors import MailboxFull
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.ref import Ref, abandoned, crashed
from tocsin.actors.runtime.snapshot import Snapshot
from tocsin.actors.runtime.turns import turn_counter

M = TypeVar("M")

DEPTH_MAX: Final = 8
"""Actors that have a message in hand in one turn: they share the interpreter's stack."""
PER_TURN_MAX: Final = 1000
"""Messages handled in their senders' turns in one turn of the loop: a bound on its length, which is
some tens of milliseconds then."""
AT_A_TIME: Final = 64
"""Messages that the attendant handles without a checkpoint, as many as `mailbox` reads in a
burst."""

logger = structlog.get_logger(__name__)

_ENDED: Final[Mailbox[Any]] = Mailbox(0)
"""Where the refs of ended actors lead: it accepts nothing."""
_ENDED.close()


class PromptActor(Generic[M]):
    """State that is touched by one message at a time; see the module."""

    __slots__ = ()

    def begin(self, ref: Ref[M]) -> None:
        """The actor exists, under *ref*; called before anything else. Its exceptions are raised by
        `spawn_prompt`."""

    def receive(self, message: M) -> None:
        """Handle one message; an exception ends the actor."""
        raise NotImplementedError

    def dropped(self, message: M) -> None:
        """*message* was in hand or in the mailbox when the actor ended; must not raise.

        Override it if someone waits for the outcome by other means than a `Reply`; the asker of a
        `Request` has already been answered.
        """

    def next_deadline(self) -> float:
        """When `on_deadline` wants to be called next (Trio time); asked after every message."""
        return math.inf

    def on_deadline(self, now: float) -> None:
        """The deadline has come; a spurious call must do no harm."""

    def ended(self, *, failed: bool) -> None:
        """It has ended, *failed* or not; called once, must not raise."""


class Attendant:
    """The task that the prompt actors of one supervisor share, and what they count together."""

    __slots__ = (
        *("_bell", "_count", "_handled", "_is_left", "_queued", "_turn", "_turns"),
        "depth",
    )

    def __init__(self) -> None:
        self._queued: dict[PromptMailbox[Any], None] = {}
        self._bell = Bell()
        self._count = 0  # of actors
        self.depth = 0
        """The number of actors that have a message in hand."""
        self._turns = turn_counter()
        self._turn = self._handled = 0  # the messages that were handled in this turn
        self._is_left = False

    def began(self) -> None:
        """There is one actor more."""
        self._count += 1

    def ended(self) -> None:
        """There is one actor less."""
        self._count -= 1
        if self._is_left:
            self._bell.ring()

    def leave_block(self) -> None:
        """No actor begins any more: `run` ends with the last one."""
        self._is_left = True
        self._bell.ring()

    def may_handle(self) -> bool:
        """Whether a message may be handled in its sender's turn; if so, it counts as handled."""
        if (turn := self._turns.number) != self._turn:
            self._turn, self._handled = turn, 0
        if self.depth >= DEPTH_MAX or self._handled >= PER_TURN_MAX:
            return False
        self._handled += 1
        return True

    def attend(self, mailbox: PromptMailbox[Any]) -> None:
        """Have the messages that are queued in *mailbox* handled."""
        self._queued[mailbox] = None
        self._bell.ring()

    async def run(self) -> None:
        """Handle queued messages, for one actor after the other, until the block has been left and
        no actor remains."""
        while self._count or not self._is_left:
            await self._bell.wait()
            count = 0
            while self._queued:
                mailbox = next(iter(self._queued))
                del self._queued[mailbox]
                if mailbox.handle_next():
                    # A mailbox with more in it goes to the end of the queue.
                    self._queued[mailbox] = None
                count += 1
                if count % AT_A_TIME == 0:
                    await trio.lowlevel.checkpoint()


class PromptMailbox(Mailbox[M]):
    """Where messages to an actor arrive: handled at once, or queued. *gone* is told of its end.

    It is all that its supervisor has of the actor, because each object more would be a part of the
    price of an actor that lives for a few messages. When it ends, it lets go of its ref, so that
    all that belonged to it is freed at once and not by a search for cycles.
    """

    __slots__ = (
        *("_actor", "_attendant", "_ended", "_gone", "_in_hand", "_is_due", "_is_idle"),
        "ref",
    )

    def __init__(
        self,
        path: str,
        capacity: int,
        attendant: Attendant,
        gone: Callable[[PromptMailbox[M]], None],
    ) -> None:
        super().__init__(capacity)
        self.ref: Ref[M] = Ref(path, self)
        self._attendant = attendant
        self._gone = gone
        self._actor: PromptActor[M] = PromptActor()
        # Idle: nothing in hand, nothing queued, not closed. One look instead of three.
        self._is_idle = True
        self._in_hand = False
        self._is_due = False
        self._ended = False

    def begin(self, actor: PromptActor[M]) -> None:
        """Messages are for *actor* from now on."""
        self._actor = actor
        actor.begin(self.ref)
        self._attendant.began()

    def put_nowait(self, message: M) -> None:
        """Have *message* handled, now or in turn; raises `MailboxFull` or `ActorStopped`."""
        if self._is_idle and self._attendant.may_handle():
            self._handle(message)
        elif len(self) >= self.capacity and not self._closed:
            raise MailboxFull
        else:
            self._add(message)

    def put_reply(self, message: M) -> None:
        """As `put_nowait`, beyond the capacity; raises `ActorStopped`."""
        if self._is_idle and self._attendant.may_handle():
            self._handle(message)
        else:
            self._add(message)

    def close(self) -> None:
        """Accept nothing more; it ends when what is queued has been handled."""
        self._shut()
        self._look()

    def handle_next(self) -> bool:
        """For the attendant: look at the deadline, or handle a message; whether there is more."""
        if self._is_due:
            self._is_due = False
            self._check_deadline(trio.current_time())
        elif self._queue:
            self._handle(self._pop())
        return bool(self._queue)

    def end(self, *, failed: bool = False) -> None:
        """End it now, abandoning what is queued; again is no harm."""
        if self._ended:
            return
        self._ended = True
        left = list(self.discard())
        for message in left:
            abandoned(message)
        self._actor.ended(failed=failed)
        for message in left:
            self._actor.dropped(message)
        self.ref.mark_stopped()
        self._gone(self)
        self.ref.mailbox = _ENDED
        self._attendant.ended()

    # --- For the supervisor ----------------------------------------------------------------------

    @property
    def mailbox(self) -> PromptMailbox[M]:
        """Itself: see the class."""
        return self

    def stop(self, grace: float) -> None:
        """Accept no more messages. Queued ones are handled, which takes no time, so *grace* is
        unused."""
        self.close()

    def snapshot(self, children_max: int) -> Snapshot:
        """The actor as it is now; it has no children."""
        return Snapshot(self.ref.path, len(self), self.capacity, 0, None, 0, ())

    # --- Inside ----------------------------------------------------------------------------------

    def _add(self, message: M) -> None:
        super().put_reply(message)
        self._is_idle = False
        if not self._in_hand:
            self._attendant.attend(self)

    def _shut(self) -> None:
        self._is_idle = False
        super().close()

    def _take_in_hand(self) -> None:
        self._is_idle, self._in_hand = False, True
        self._attendant.depth += 1

    def _handle(self, message: M) -> None:
        self._take_in_hand()
        try:
            self._actor.receive(message)
        except Exception as error:
            # Closed first: an actor that hears of the failure must not find this one idle.
            self._shut()
            crashed(message, error)
            self._actor.dropped(message)
            self._fail(error)
            return
        except BaseException:
            # The asker is not left waiting, not even by an interrupt.
            self._shut()
            abandoned(message)
            self._actor.dropped(message)
            self.end()
            raise
        finally:
            self._attendant.depth -= 1
        self._in_hand = False
        self._look()

    def _look(self) -> None:
        """Arrange for the next thing after a message: another one, the end, or a deadline."""
        if self._in_hand or self._ended:
            return
        if self._queue:
            self._attendant.attend(self)
        elif self._closed:
            self.end()
            return
        else:
            self._is_idle = True
        deadline = self._actor.next_deadline()
        if deadline < math.inf:
            self._set_alarm(deadline)

    def _ring(self) -> None:
        # Not here: this is a turn of the alarm clock's task, which must not fail.
        self._alarm = None
        self._is_due = True
        self._attendant.attend(self)

    def _check_deadline(self, now: float) -> None:
        if self._ended:
            return
        if self._actor.next_deadline() <= now:
            self._take_in_hand()
            try:
                self._actor.on_deadline(now)
            except Exception as error:
                self._fail(error)
                return
            finally:
                self._attendant.depth -= 1
            self._in_hand = False
        self._look()

    def _fail(self, error: Exception) -> None:
        logger.error("actor failed", actor=self.ref.path, restart_delay=None, exc_info=error)
        self.end(failed=True)
