"""The account of a load: what was accepted for each user, and what each device got.

The books believe neither the server nor its counters. A producer enters a post before it is sent,
and settles it by the answer; a device enters what it reads from its socket. Only what a server has
accepted can be lost: a post without an answer may have been stored or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tocsin.load.latencies import Latencies


@dataclass(slots=True)
class UserBook:
    """One user's page: numbers of posts, which rise in the order in which they were begun."""

    accepted: set[int] = field(default_factory=set)
    received: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    """The pushes that the device has acknowledged in its present session."""
    seen: set[int] = field(default_factory=set)
    """All that was pushed; the device may have forgotten it before it was worked on."""
    newest: int = -1
    """The greatest sequence that was seen for the first time."""


@dataclass(slots=True)
class Tally:
    """Counts of a run so far."""

    posts: int = 0
    accepted: int = 0
    refused: int = 0
    unanswered: int = 0
    pushes: int = 0
    resent: int = 0
    """Pushes of what the device had and had not acknowledged, or not in this session: lawful."""
    repeated: int = 0
    disordered: int = 0
    forgotten: int = 0
    """Pushes that a device dropped on purpose, and did not acknowledge."""
    connected: int = 0
    cut: int = 0
    """Connections that the load cut itself."""
    ended: int = 0
    """Connections that ended otherwise."""


class Books:
    """The account of one run of *users*; times are those of one clock, in seconds."""

    def __init__(self, users: Sequence[str]) -> None:
        self.users = tuple(users)
        self._pages = {user: UserBook() for user in users}
        self._posted: dict[int, tuple[float, tuple[str, ...]]] = {}
        self.tally = Tally()
        self.answers = Latencies()
        """From a post's intended moment to its answer."""
        self.pushes = Latencies()
        """From a post's intended moment to its push, for what was not replayed."""

    # --- Producers -------------------------------------------------------------------------------

    def begin(self, number: int, users: tuple[str, ...], due: float) -> None:
        """The post *number* to *users* is sent; it was *due* at that time, if not sent then."""
        self._posted[number] = due, users
        self.tally.posts += 1

    def accept(self, number: int, now: float) -> None:
        """The post *number* was accepted; a repetition that is accepted changes nothing."""
        due, users = self._posted[number]
        if number in self._pages[users[0]].accepted:
            return
        self.answers.note(now - due)
        self.tally.accepted += 1
        for user in users:
            self._pages[user].accepted.add(number)

    def refuse(self, number: int) -> None:
        """The post *number* was refused for good: no device may wait for it."""
        self.tally.refused += 1

    def give_up(self, number: int) -> None:
        """The post *number* has no answer: it may be stored or not, and is nobody's loss."""
        self.tally.unanswered += 1

    # --- Devices ---------------------------------------------------------------------------------

    def begin_session(self, user: str) -> None:
        """The device of *user* has connected anew: earlier acknowledgments may not have arrived."""
        self.tally.connected += 1
        self._pages[user].answered.clear()

    def see(self, user: str, number: int, sequence: int, now: float, *, replay: bool) -> None:
        """The device of *user* was pushed the post *number*, which is its log's *sequence*."""
        page, tally = self._pages[user], self.tally
        tally.pushes += 1
        if number in page.seen:
            if number in page.answered:
                tally.repeated += 1
            else:
                tally.resent += 1
            return
        page.seen.add(number)
        if sequence < page.newest:
            tally.disordered += 1
        page.newest = max(page.newest, sequence)
        if not replay and number in self._posted:
            self.pushes.note(now - self._posted[number][0])

    def forget(self) -> None:
        """A device dropped the push that it has just seen: it has to come again."""
        self.tally.forgotten += 1

    def receive(self, user: str, number: int) -> None:
        """The device of *user* has worked on the post *number*."""
        self._pages[user].received.add(number)

    def acknowledge(self, user: str, number: int) -> None:
        """The device of *user* has acknowledged the post *number*."""
        self._pages[user].answered.add(number)

    # --- The end ---------------------------------------------------------------------------------

    def missing(self) -> Iterator[tuple[str, int]]:
        """Users and posts that were accepted for them and have not come."""
        for user, page in self._pages.items():
            for number in sorted(page.accepted - page.received):
                yield user, number

    @property
    def is_whole(self) -> bool:
        """Whether all that was accepted has come."""
        return next(self.missing(), None) is None
