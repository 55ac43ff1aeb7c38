"""Following one user's log from one device: a machine without clock, socket or task.

The machine outlives its connections. From one to the next it carries a cursor: the epoch
of the log and the sequence up to which every push has been handled. Each push names the one before
it, so a gap is seen here; and a push that was handled already is acknowledged again and not shown
again. So each change is shown once, in order, through any number of connections.

    opened ──► hello ──► welcome ──► push … push ──► synced ──► push …
       ▲                    │ reset: forget the cursor            │
       └──── Wait ◄── closed: goodbye, a lost socket ◄────────────┘──► Stop: coming back is no use

A push is *shown* to the program, and *handled* when the program is done with it. Handled pushes are
acknowledged, many by one frame. A refused push (`nack`) is sent again by the server; until then
what was handled behind it is acknowledged by id, since a sequence would acknowledge the refused one
as well.

Inputs are calls with `now` in seconds of a clock that never goes back; outputs are actions, to be
carried out in order. `tocsin/browser/client/follower.js` is the same machine in JavaScript, and one
file of conversations holds both to each other (tests/browser/conversations.json).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tocsin_client.actions import (
    Action,
    Counters,
    Refresh,
    Reset,
    Send,
    Show,
    Status,
    Stop,
    Synced,
    Wait,
    Welcome,
)
from tocsin_client.closing import may_reconnect, reason_of
from tocsin_client.frames import Frame, NotAFrame, Push, count, read_frame, read_push, wanted

ACK_DELAY: Final = 0.02
"""Seconds that the first handled push waits for company: less than the server lingers."""
ACK_AFTER: Final = 32
"""Handled pushes after which that waiting ends; or half the window, if that is less."""
ACK_IDS_MAX: Final = 1024
"""Ids that one `ack` frame may name."""
WELCOME_TIMEOUT: Final = 15.0
"""Seconds that making a connection may take, and from the `hello` until the `welcome`."""
PONG_TIMEOUT: Final = 10.0
"""Seconds until a `ping` of ours must be answered."""
HEARTBEAT_MIN: Final = 1.0
"""Seconds between two signs of life at least, whatever the server says."""
SECONDS_MAX: Final = 1e5
"""Seconds that a server may name for a delay: a day and some hours."""
RECONNECT_INITIAL: Final = 0.5
"""Seconds of the first delay before coming back, doubled by each failure."""
RECONNECT_CAP: Final = 20.0
"""Seconds up to which the delay doubles: a node that is back is found in that time."""
REFRESH_BEFORE: Final = 30.0
"""Seconds before its end at which a token is asked for anew."""
REASON_MAX: Final = 256
"""Characters of a reason that a `nack` may give."""

SHOWN: Final = "shown"
HANDLED: Final = "handled"
ACKNOWLEDGED: Final = "acknowledged"
REFUSED: Final = "refused"


@dataclass(slots=True)
class _Open:
    """A push that is not yet covered by the cursor, and what has become of it."""

    push: Push
    fate: str = SHOWN


class Follower:
    """See the module.

    *device* is the device's name, and *cursor* where to go on; None leaves either to the server.
    *random* gives numbers in [0, 1). *user* is the one whose log it has to be, if that is known.
    Without *acknowledge* it is a spectator: nothing is acknowledged, what comes again is shown
    again, and no cursor is named, since that would itself acknowledge. *reconnect_cap* is the
    longest delay, in seconds, that this side makes up.
    """

    def __init__(
        self,
        *,
        random: Callable[[], float],
        device: str | None = None,
        cursor: str | None = None,
        client: str = "tocsin-python",
        user: str | None = None,
        acknowledge: bool = True,
        reconnect_cap: float = RECONNECT_CAP,
    ) -> None:
        self.device = device
        self.cursor = cursor
        self._random = random
        self._client = client
        self._user = user
        self._acknowledges = acknowledge
        self._reconnect_cap = reconnect_cap
        self._epoch: str | None = None
        # The sequence up to which all is handled: the cursor without its epoch.
        self._through: int | None = None
        # The sequence last received on this connection.
        self._last: int | None = None
        # Pushes behind `_through`, in the order of the log.
        self._open: dict[int, _Open] = {}
        self._unacknowledged = 0
        self._failures = 0
        self._ack_at = self._silent_at = self._refresh_at = math.inf
        self._welcomed = self._pinged = False
        self._heartbeat = 25.0
        self._window = 64
        self._goodbye: Frame | None = None

    # --- The connection --------------------------------------------------------------------------

    def opened(self, now: float, token: str | None, expires: float = math.inf) -> list[Action]:
        """There is a connection: say hello. *expires* is when the token ends, by the clock of
        *now*."""
        self._welcomed = self._pinged = False
        self._goodbye = self._last = None
        self._ack_at = math.inf
        self._silent_at = now + WELCOME_TIMEOUT
        self._refresh_at = expires - REFRESH_BEFORE
        given = {"device": self.device, "cursor": self.cursor, "token": token}
        known = {name: value for name, value in given.items() if value is not None}
        return [Send({"type": "hello", "client": self._client, **known})]

    def heard(self, text: str | bytes, now: float) -> list[Action]:
        """The server has said something."""
        raw = text if isinstance(text, str) else text.decode(errors="replace")
        try:
            frame = read_frame(text)
            self._pinged = False
            if self._welcomed:
                self._silent_at = now + self._heartbeat
            return self._take(frame, raw, now)
        except NotAFrame as error:
            return [Stop("not_tocsin", detail=str(error))]

    def _take(self, frame: Frame, raw: str, now: float) -> list[Action]:
        match frame["type"]:
            case "welcome":
                return self._hear_welcome(frame, now)
            case "push":
                return self._hear_push(read_push(frame, raw), now)
            case "synced":
                self._failures = 0
                return [*self._acknowledge(), Synced()]
            case "counters":
                return [Counters(count(frame, "unread"), count(frame, "unseen"))]
            case "status":
                return [Status(wanted(frame, "store", str), wanted(frame, "bus", str), raw)]
            case "reset":
                return self._hear_reset(wanted(frame, "reason", str), raw)
            case "goodbye":
                wanted(frame, "code", int)
                wanted(frame, "reason", str)
                self._goodbye = frame
            case _:
                pass
        return []  # a pong, or a frame of a later server

    def handled(self, push: Push, now: float, error: str | None = None) -> list[Action]:
        """The program is done with *push*; *error* is why it refuses it, if it does."""
        entry = self._open.get(push.sequence)
        if entry is None or entry.push is not push:
            return []  # of a log that was reset meanwhile
        if error is not None:
            entry.fate = REFUSED
            fields = {"id": push.notification.id, "reason": _well_formed(error[:REASON_MAX])}
            return [Send({"type": "nack", **fields})]
        entry.fate = HANDLED
        self._advance()
        self._ack_soon(now)
        enough = self._unacknowledged >= min(ACK_AFTER, max(1, self._window // 2))
        return self._acknowledge() if enough else []

    def closed(self, code: int | None = None, said: str | None = None) -> list[Action]:
        """The connection has ended, with a close *code* and what was *said* with it, if there was
        one."""
        self._ack_at = self._silent_at = self._refresh_at = math.inf
        goodbye = self._goodbye
        if goodbye is None:
            reason = reason_of(code, said)
            if may_reconnect(code):
                return self._come_back(reason, code=code)
            return [Stop(reason, code)]
        number: int = goodbye["code"]
        reason = goodbye["reason"]
        if goodbye.get("reconnect"):
            return self._come_back(reason, _seconds(goodbye.get("after")), number)
        detail = goodbye.get("detail")
        return [Stop(reason, number, None if detail is None else str(detail))]

    def unreachable(
        self, reason: str = "unreachable", after: float | None = None, detail: str | None = None
    ) -> list[Action]:
        """No connection is to be had; *after* seconds, if the server said when there will be
        one. *detail* is for people."""
        return self._come_back(reason, after, detail=detail)

    def leaving(self) -> list[Action]:
        """This side is about to end the connection: the last words."""
        return self._acknowledge()

    def refreshed(self, token: str, expires: float = math.inf) -> list[Action]:
        """A newer token for this connection."""
        self._refresh_at = expires - REFRESH_BEFORE
        return [Send({"type": "refresh", "token": token})]

    # --- Time ------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """When `due` wants to be called."""
        return min(self._ack_at, self._silent_at, self._refresh_at)

    def due(self, now: float) -> list[Action]:
        """Acknowledge, ask for a newer token, look whether the server is still there."""
        actions: list[Action] = []
        if now >= self._ack_at:
            actions += self._acknowledge()
        if now >= self._refresh_at:
            self._refresh_at = math.inf  # until there is a newer token
            actions.append(Refresh())
        if now >= self._silent_at:
            actions += self._doubt(now)
        return actions

    def _doubt(self, now: float) -> list[Action]:
        if not self._welcomed or self._pinged:
            self._silent_at = math.inf
            return self._come_back("silent")
        # WebSocket pings are answered below us, which proves nothing here: ask.
        self._pinged = True
        self._silent_at = now + PONG_TIMEOUT
        return [Send({"type": "ping"})]

    # --- Inside ----------------------------------------------------------------------------------

    def _hear_welcome(self, frame: Frame, now: float) -> list[Action]:
        if frame.get("user") is None:
            return [Stop("no_inbox")]
        user, device = wanted(frame, "user", str), wanted(frame, "device", str)
        epoch, sequence = _split(wanted(frame, "cursor", str))
        if self._user is not None and user != self._user:
            return [Stop("another_user", detail=user)]
        self._welcomed = True
        heartbeat = _seconds(frame.get("heartbeat"))
        self._heartbeat = max(HEARTBEAT_MIN, self._heartbeat if heartbeat is None else heartbeat)
        self._window = count(frame, "window") or self._window
        self._silent_at = now + self._heartbeat
        if self._epoch != epoch or self._through is None or sequence < self._through:
            # Another log, the first connection, or a server that goes back: what it says counts.
            self._open.clear()
            self._through = sequence
        elif sequence > self._through:
            self._through = sequence
            self._open = {each: open_ for each, open_ in self._open.items() if each > sequence}
        self._epoch = epoch
        self._last = sequence
        self.device = device
        if self._acknowledges:
            self.cursor = wanted(frame, "cursor", str)
        self._unacknowledged = 0
        return [Welcome(user, device, count(frame, "unread"), count(frame, "unseen"))]

    def _hear_push(self, push: Push, now: float) -> list[Action]:
        if not self._welcomed:
            return [Stop("not_tocsin", detail="it pushed before it said welcome")]
        is_later = self._last is None or push.sequence > self._last
        if is_later and self._last is not None and push.previous != self._last:
            return self._come_back("gap", detail=f"between {self._last} and {push.sequence}")
        if is_later:
            self._last = push.sequence
        if not self._acknowledges:
            return [Show(push)]
        known = self._open.get(push.sequence)
        is_past = self._through is not None and push.sequence <= self._through
        if is_past or (known is not None and known.fate in {HANDLED, ACKNOWLEDGED}):
            # Our acknowledgment crossed with it, or was lost: the next one covers it too.
            if known is not None:
                known.fate = HANDLED
            self._ack_soon(now)
            return []
        if known is not None and known.fate == SHOWN:
            return []
        self._supersede(push)
        self._open[push.sequence] = _Open(push)
        return [Show(push)]

    def _supersede(self, push: Push) -> None:
        """A refused change of the same notification need not be acknowledged any more."""
        self._open = {
            sequence: older
            for sequence, older in self._open.items()
            if older.fate != REFUSED
            or sequence >= push.sequence
            or older.push.notification.id != push.notification.id
        }

    def _hear_reset(self, reason: str, raw: str) -> list[Action]:
        # The replay that comes now starts where the server can, which the next push's `previous`
        # names.
        self._open.clear()
        self._through = self._last = None
        self._unacknowledged = 0
        self._ack_at = math.inf
        self.cursor = "0" if self._acknowledges else None
        return [Reset(reason, raw)]

    def _advance(self) -> None:
        """Move the cursor over all that is handled without a hole."""
        for sequence, entry in list(self._open.items()):
            if entry.fate in {SHOWN, REFUSED}:
                return
            self._through = sequence
            self.cursor = f"{self._epoch}.{sequence}"
            del self._open[sequence]

    def _ack_soon(self, now: float) -> None:
        self._unacknowledged += 1
        self._ack_at = min(self._ack_at, now + ACK_DELAY)

    def _acknowledge(self) -> list[Action]:
        """The acknowledgment of all that was handled, if there is news in it."""
        self._ack_at = math.inf
        if self._unacknowledged == 0 or not self._welcomed:
            return []
        self._unacknowledged = 0
        frames: list[dict[str, Any]] = []
        if self._through:
            frames.append({"type": "ack", "sequence": self._through})
        behind = [entry for entry in self._open.values() if entry.fate == HANDLED]
        for entry in behind:
            entry.fate = ACKNOWLEDGED
        ids = [entry.push.notification.id for entry in behind]
        frames += [
            {"type": "ack", "ids": ids[start : start + ACK_IDS_MAX]}
            for start in range(0, len(ids), ACK_IDS_MAX)
        ]
        return [Send(frame) for frame in frames]

    def _come_back(
        self,
        reason: str,
        after: float | None = None,
        code: int | None = None,
        detail: str | None = None,
    ) -> list[Action]:
        """Wait as long as the server says, or else longer each time: anywhere between nothing and
        the full delay (Brooker's full jitter), since the door was shut for all clients at once.
        """
        self._failures += 1
        growing = RECONNECT_INITIAL * 2.0 ** min(self._failures - 1, 16)
        full = min(self._reconnect_cap, growing)
        delay = full * self._random() if after is None else after
        return [Wait(delay, reason, code, detail)]


def _split(cursor: str) -> tuple[str, int]:
    epoch, _, digits = cursor.partition("~")[0].rpartition(".")
    return epoch, int(digits) if digits.isdecimal() else 0


def _seconds(value: object) -> float | None:
    """*value*, if it is a time in seconds that can be waited for."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= SECONDS_MAX else None


def _well_formed(text: str) -> str:
    """*text* without halves of characters, as names of files may have them: the server reads such
    a frame as no JSON, and would end the session for good."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
