"""The phases of a device's delivery, and what may happen in which of them: one table.

```
WAITING ── listening ─→ ATTACHING ── attached ─→ REPLAYING ── synced ─→ LIVE
                         │     ↑                    │  ↑                  │
                     unsettled │                    │  attached           │
                         ↓  settled              purged └── RESETTING ←── purged
                        SETTLING                    └──────────↑
        from all of them: ended, left, refused ─→ ENDED

LIVE ── rested ─→ RESTING ── returned ─→ LIVE        (a device that polls, between two polls)
```

The manner is h11's: a phase and an input name the phase that follows. A pair that is missing is an
error of the programmer, and raised (`OutOfPhase`); what a device or the store may do wrong stands
in the table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class OutOfPhase(Exception):
    """An input came in a phase in which it cannot come: an error of the caller's."""


class Phase(StrEnum):
    """How far a device's delivery is."""

    WAITING = "waiting"
    """The other nodes' words of the user are not heard yet, so the store is not asked yet."""
    ATTACHING = "attaching"
    """The store is asked where the device starts."""
    SETTLING = "settling"
    """Another node writes the ledger of the device's session before this one."""
    REPLAYING = "replaying"
    """The session has begun, and the device has not caught up with the log yet."""
    LIVE = "live"
    """The device has caught up once since the session began."""
    RESETTING = "resetting"
    """The log was purged under the session: the store is asked where the device starts anew."""
    RESTING = "resting"
    """The device's poll was answered, and its next one is expected: nothing is pushed."""
    ENDED = "ended"
    """Goodbye is said, or the connection has gone."""


class Input(StrEnum):
    """The inputs of a device's delivery; the last four come of its own outputs."""

    LISTENING = "listening"
    ATTACHED = "attached"
    PARTLY = "acknowledged partly"
    UNSETTLED = "unsettled"
    SETTLED = "settled"
    PAGE = "page"
    PAGE_FAILED = "page failed"
    CHANGED = "changed"
    HEARD_OF = "heard of"
    RECOUNTED = "recounted"
    COMPARED = "compared"
    SAID = "said"
    ACKNOWLEDGED = "acknowledged"
    TAKEN = "taken"
    REFRESHED = "refreshed"
    HOPS_CHANGED = "hops changed"
    HEARD_ELSEWHERE = "heard elsewhere"
    TICK = "tick"
    RESTED = "rested"
    RETURNED = "returned"
    LEFT = "left"
    ASK_REFUSED = "ask refused"
    NOTE_REFUSED = "note refused"
    SYNCED = "synced"
    PURGED = "purged"
    ENDED = "ended"


_W, _A, _S, _R = Phase.WAITING, Phase.ATTACHING, Phase.SETTLING, Phase.REPLAYING
_L, _X, _P, _E = Phase.LIVE, Phase.RESETTING, Phase.RESTING, Phase.ENDED

_ROWS: Final[dict[Input, dict[Phase, Phase]]] = {
    # The store. A question is asked once, so there is one answer to it.
    Input.LISTENING: {_W: _A, _A: _A, _S: _S, _R: _R, _L: _L, _X: _X, _P: _P},
    Input.ATTACHED: {_A: _R, _X: _R},
    Input.PARTLY: {_A: _A, _X: _X},
    Input.UNSETTLED: {_A: _S},
    Input.SETTLED: {_S: _A},
    Input.PAGE: {_R: _R, _L: _L},
    Input.PAGE_FAILED: {_R: _R, _L: _L},
    Input.ASK_REFUSED: {_A: _E, _R: _E, _L: _E, _X: _E},
    # The ledger may have no room for the last line of a session that ends with it.
    Input.NOTE_REFUSED: {_R: _E, _L: _E, _X: _E, _P: _E, _E: _E},
    # The device. An acknowledgment before the first push is malformed.
    Input.SAID: {_W: _E, _A: _E, _S: _E, _R: _R, _L: _L, _X: _X},
    # The pause between two polls.
    Input.RESTED: {_L: _P},
    Input.RETURNED: {_P: _L},
    # The findings of the session itself.
    Input.SYNCED: {_R: _L},
    Input.PURGED: {_R: _X, _L: _X},
    # All else changes no phase, or ends it.
    **{
        each: {phase: phase for phase in Phase if phase is not _E}
        for each in (
            *(Input.CHANGED, Input.HEARD_OF, Input.RECOUNTED, Input.COMPARED),
            *(Input.ACKNOWLEDGED, Input.TAKEN, Input.REFRESHED),
            *(Input.HOPS_CHANGED, Input.HEARD_ELSEWHERE, Input.TICK),
        )
    },
    **{each: dict.fromkeys((_W, _A, _S, _R, _L, _X, _P), _E) for each in (Input.LEFT, Input.ENDED)},
}

NEXT: Final = {
    phase: {happened: row[phase] for happened, row in _ROWS.items() if phase in row}
    for phase in Phase
}
"""Phase → input → the phase that follows."""
