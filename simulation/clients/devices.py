"""A device: what it shows, when it comes and goes, and how well it behaves.

A device connects to any node over any transport with what it remembers. It goes away and comes
back, stops reading, forgets its cursor, restores an old backup, connects a second time while it is
connected, and obeys goodbyes. Its sessions report all that it sends and receives to the history,
where the checks judge it.
"""

from __future__ import annotations

from typing import Final

from simulation.clients.polls import PollSession
from simulation.clients.requests import Requester
from simulation.clients.screen import Screen
from simulation.clients.sessions import Session
from simulation.clients.streams import ExplicitStreamSession, StreamSession
from simulation.clients.traits import Reaction, calmed, traits_of
from simulation.clients.websocket import WebSocketSession
from simulation.world.cluster import Cluster
from simulation.world.history import Frame

_RETRY: Final = 1.0
"""Seconds before a broken connection is tried again, on average; doubled with each failure."""
_RETRY_MAX: Final = 30.0
"""Seconds: the longest pause before a broken connection is tried again."""
_REPLACED: Final = 60.0
"""Seconds that a device stays away, on average, after a goodbye with `reconnect: false`; a real one
would wait until its user looks."""
_ELSEWHERE: Final = "elsewhere"
"""An epoch that no log of these nodes has."""
_STALLS: Final = 2.0, 15.0, 90.0
"""Mean seconds for which a device does not read."""


class Device:
    """See the module; *name* is unique among the devices of *user*."""

    def __init__(self, cluster: Cluster, user: str, name: str) -> None:
        self.cluster = cluster
        self.user = user
        self.name = name
        self.who = f"{user}/{name}"
        self.chance = cluster.chance("device", user, name)
        self.network = cluster.chance("network", user, name)
        self.token = cluster.token(user)
        self.requester = Requester(cluster, self.who, self.token, self.chance)
        self.screen = Screen()
        self.session: Session | None = None
        self.is_wanted = False
        self.is_calm = False
        self.traits = traits_of(cluster.chance("traits", user, name), cluster.plan)
        # The habits have a generator of their own. If they were drawn from `chance`, they would
        # depend on the pushes that come, and a shrunk run would be a different one.
        self._habits = cluster.chance("habits", user, name)
        self._left: list[Session] = []
        self._stalled: list[Session] = []
        """Sessions on which it does not read, each as often as it was stalled."""
        self._last_welcomed: Session | None = None
        self._connects = 0
        self._failures = 0
        self._backup: Screen | None = None
        self._visits = 0

    @property
    def shown(self) -> dict[str, Frame]:
        """The last push of each notification on the screen."""
        return self.screen.shown

    @property
    def left_behind(self) -> tuple[Session, ...]:
        """Older sessions that go on beside the present one."""
        return tuple(self._left)

    @property
    def cursor(self) -> str | None:
        return self.screen.cursor

    @property
    def counters(self) -> tuple[int, int] | None:
        """Unread and unseen, as the server said last."""
        return self.screen.counters

    # --- Commands of the run ---------------------------------------------------------------------

    def come(self) -> None:
        """Be online from now on, with absences as its traits say."""
        self.is_wanted = True
        self._visits += 1
        if self.session is None:
            self._connect()
        if not self.is_calm:
            stay = self._habits.wait(self.traits.stay)
            self.cluster.timeline.after(stay, self._leave, self._visits)
            self._look_for_trouble(self._visits)

    def go(self) -> None:
        """Be offline from now on."""
        self.is_wanted = False
        self._visits += 1
        self._end_sessions()

    def calm(self) -> None:
        """Behave well from now on: come, stay, read, and process every push."""
        self.is_calm = True
        self.traits = calmed(self.traits)
        for session in list(self._stalled):
            self._read_again(session)
        if self.session is not None:
            self.session.settle()
        self.come()

    # --- Reports of its sessions -----------------------------------------------------------------

    def welcomed(self, session: Session, start: int) -> None:
        """*session* has begun; its pushes follow the sequence *start*."""
        self._failures = 0
        if self._last_welcomed is None or self._last_welcomed.number < session.number:
            self._last_welcomed = session
            self.screen.begin(start)

    def shows(self, session: Session) -> bool:
        """Whether *session* is the one that writes to the screen."""
        return session is self._last_welcomed

    def ended(self, session: Session, after: float | None, *, reconnect: bool) -> None:
        """*session* has ended; connect again, *after* seconds later if the server gave a time."""
        if session in self._left:
            self._left.remove(session)
        if self.session is not session:
            return
        self.session = None
        if not self.is_wanted:
            return
        delay = self._retry_delay() if after is None else after + self.chance.random()
        if not reconnect and not self.is_calm:
            delay += self.chance.wait(_REPLACED)
        self.cluster.timeline.after(delay, self._again)

    def reaction(self, push: Frame) -> Reaction:
        """The reaction to *push*."""
        traits = self.traits
        if traits.chokes and push["notification"]["title"].endswith("7"):
            return Reaction.REFUSE
        if traits.forgets and self.chance.happens(traits.forgets):
            return Reaction.FORGET
        if traits.refuses and self.chance.happens(traits.refuses):
            return Reaction.REFUSE
        return Reaction.TAKE

    def note(self, what: str) -> None:
        self.cluster.note(self.who, what)

    # --- Coming and going ------------------------------------------------------------------------

    def _leave(self, visit: int) -> None:
        if self.is_calm or visit != self._visits:
            return
        self.note("goes away")
        self.go()
        self.cluster.timeline.after(self._habits.wait(self.traits.absence), self._return)

    def _return(self) -> None:
        if not self.is_wanted:
            self.come()

    def _again(self) -> None:
        if self.is_wanted and self.session is None:
            self._connect()

    def _retry_delay(self) -> float:
        delay = min(_RETRY_MAX, _RETRY * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        return delay * (0.5 + self.chance.random())

    def _connect(self) -> None:
        host = self.cluster.balance(self.chance)
        if host is None or host.node is None:
            self.note("finds no host up")
            self.cluster.timeline.after(self._retry_delay(), self._again)
            return
        cursor = self._cursor()
        self._connects += 1
        session = self.session = self._kind()(self, host, self._connects, cursor)
        self.note(f"connects to {host.name} by {session.transport} from {cursor}")
        session.begin()

    def _cursor(self) -> str | None:
        cursorless = self.traits.cursorless
        return None if cursorless and self.chance.happens(cursorless) else self.screen.cursor

    def _kind(self) -> type[Session]:
        drawn = self.chance.random() - self.traits.polls
        if drawn < 0.0:
            return PollSession
        if drawn < self.traits.streams:
            explicit = self.chance.happens(self.traits.explicit)
            return ExplicitStreamSession if explicit else StreamSession
        return WebSocketSession

    # --- Incidents -------------------------------------------------------------------------------

    def _look_for_trouble(self, visit: int) -> None:
        if self.traits.incidents:
            delay = self._habits.wait(1 / self.traits.incidents)
            self.cluster.timeline.after(delay, self._incident, visit)

    def _incident(self, visit: int) -> None:
        """Something happens to the device, if it is still in the same visit."""
        if visit != self._visits or self.is_calm:
            return
        incidents = [self._stall, self._connect_twice]
        if not self.traits.cursorless:
            # A device without a cursor starts where its acknowledgments end. After one of these, it
            # would need pushes that it has acknowledged, and the server does not send them again.
            incidents += [self._back_up, self._restore, self._forget_all, self._move]
        self._habits.one(incidents)()
        self._look_for_trouble(visit)

    def _stall(self) -> None:
        if self.session is not None:
            seconds = self._habits.wait(self._habits.one(_STALLS))
            self.note(f"reads nothing for {seconds:.1f} s")
            self.session.stall()
            self._stalled.append(self.session)
            self.cluster.history.trouble(self.who, "stalled")
            self.cluster.timeline.after(seconds, self._read_again, self.session)

    def _read_again(self, session: Session) -> None:
        """End one stall of *session*, unless all were ended already."""
        if session in self._stalled:
            self._stalled.remove(session)
            session.read_again()
            self.cluster.history.mended(self.who, "stalled")

    def _connect_twice(self) -> None:
        """Connect a second time, as a second tab does or a device that has changed networks."""
        if self.session is not None:
            self._left.append(self.session)
            self._connect()

    def _back_up(self) -> None:
        self._backup = self.screen.copy()

    def _restore(self) -> None:
        """Restore the state of the last backup."""
        if self._backup is None or self._backup.cursor is None:
            return
        if self.traits.acks_ids:
            # A notification acknowledged by its id does not come again for the backup's cursor,
            # which may stand before it. So a device that acknowledges by ids asks for the whole log
            # instead.
            self._forget_all()
        else:
            self._begin_anew(self._backup.copy())

    def _move(self) -> None:
        """Connect with a cursor into the log of another installation."""
        screen = Screen()
        screen.cursor = f"{_ELSEWHERE}.{int(self._habits.wait(20.0))}"
        self._begin_anew(screen)

    def _forget_all(self) -> None:
        screen = Screen()
        screen.cursor = "0"
        self._begin_anew(screen)

    def _begin_anew(self, screen: Screen) -> None:
        """Continue with *screen*, which may contradict what the device has acknowledged."""
        self._end_sessions()
        self._last_welcomed = None
        self.screen = screen
        self.note(f"starts anew from {screen.cursor}")
        self._connect()

    def _end_sessions(self) -> None:
        sessions = [*self._left, self.session]
        self.session = None
        self._left.clear()
        for session in sessions:
            if session is not None:
                session.leave()
