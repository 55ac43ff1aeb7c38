"""Marking: one table from (state, mark) to the next state; a missing pair changes nothing.

`unread` is a mark and not a state: a read notification becomes `seen`, since it has been seen.
Archived notifications are out of the inbox, so marking "all" or "through" a cursor leaves them
alone; named by its id, one can be brought back by `read` or `unread`. Withdrawn is the producer's
word, and final.
"""

from __future__ import annotations

from typing import Final, Literal

from tocsin.protocol.notifications.notification import State

Mark = Literal["seen", "read", "unread", "archived"]

_NEXT: Final[dict[tuple[str, str], State]] = {
    (State.UNSEEN, "seen"): State.SEEN,
    (State.UNSEEN, "read"): State.READ,
    (State.UNSEEN, "archived"): State.ARCHIVED,
    (State.SEEN, "read"): State.READ,
    (State.SEEN, "archived"): State.ARCHIVED,
    (State.READ, "unread"): State.SEEN,
    (State.READ, "archived"): State.ARCHIVED,
}
_BROUGHT_BACK: Final[dict[tuple[str, str], State]] = {
    (State.ARCHIVED, "read"): State.READ,
    (State.ARCHIVED, "unread"): State.SEEN,
}
_COUNTS: Final[dict[str, tuple[int, int]]] = {State.UNSEEN: (1, 1), State.SEEN: (1, 0)}


def counted(state: str) -> tuple[int, int]:
    """The counts (unread, unseen) that a notification in *state* adds to its recipient's."""
    return _COUNTS.get(state, (0, 0))


def marked(state: str, mark: str, *, by_id: bool) -> State | None:
    """The state that *mark* makes of *state*; `None` if it changes nothing."""
    following = _NEXT.get((state, mark))
    if following is None and by_id:
        return _BROUGHT_BACK.get((state, mark))
    return following


def states_changed(mark: str) -> frozenset[str]:
    """The states that *mark* changes in notifications that are not named by their ids."""
    return frozenset(state for state, word in _NEXT if word == mark)


def times(
    state: State, seen_at: int | None, read_at: int | None, now_ms: int
) -> tuple[int | None, int | None]:
    """When it was seen and read, for a notification that is in *state* from *now_ms* on."""
    match state:
        case State.SEEN:
            return (now_ms if seen_at is None else seen_at), None
        case State.READ:
            return (
                now_ms if seen_at is None else seen_at,
                now_ms if read_at is None else read_at,
            )
        case _:
            return seen_at, read_at
