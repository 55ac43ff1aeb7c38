"""Following one user's log from one device: where to go on, what to acknowledge, when to come back.

The machine outlives its connections. From one to the next it carries a cursor: the epoch of
the log and the sequence of the last push that was shown. Each push names the one before it, so a
gap is seen here and not believed; and a push that was shown already is acknowledged again and not
shown again. So what is shown is each change once, in order, through any number of connections.

    opened ──► hello ──► welcome ──► push … push ──► synced ──► push …
       ▲                    │ reset: forget the cursor            │
       └──── Wait ◄── closed: goodbye, a lost socket ◄────────────┘──► Stop: coming back is no use

Acknowledgments are cumulative and gathered: one for many pushes costs the server as much as one for
one. Without acknowledging (a spectator), the server's cursor for the device is the one that counts,
since naming a cursor in `hello` would itself acknowledge.

Inputs are calls with `now` (monotonic seconds), outputs are actions to be carried out in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, assert_never

import msgspec

from tocsin.client.actions import Action, Send, Show, Stop, Tell, Wait
from tocsin.client.endings import ending_text, may_reconnect
from tocsin.client.frames import (
    Goodbye,
    NotAFrame,
    Other,
    Push,
    Reset,
    Status,
    Synced,
    Welcome,
    decode_server_frame,
)
from tocsin.protocol import frames as sent
from tocsin.protocol.closing import Closing

ACK_DELAY: Final = 0.02
"""Seconds that the first unacknowledged push waits for company: less than the server lingers."""
ACK_AFTER: Final = 32
"""Pushes after which waiting ends; or half the window, so that the server need not pause."""
WELCOME_TIMEOUT: Final = 15.0
"""Seconds from the connection to the welcome: a node that is busy may need some."""
PONG_TIMEOUT: Final = 10.0
"""Seconds after a ping without a byte from the node, after which the connection counts as dead."""
RECONNECT_INITIAL: Final = 1.0
"""Seconds before the second attempt, at most; doubles with each failure."""
RECONNECT_CAP: Final = 30.0
"""Seconds up to which the delay doubles: a node that is back is found in half a minute."""


class Follower:
    """See the module.

    *token* makes the credential, anew for each connection, and again each *refresh_every* seconds.
    *cursor* is where to start; None leaves it to the server. With *shown_max*, stop after so many
    pushes. *random* gives numbers in [0, 1). *server* is its address, for people, and *remedy* what
    they can do where it cannot be reached. *reconnect_cap* is the longest delay, in seconds, that
    this side makes up.
    """

    def __init__(
        self,
        user: str,
        device: str,
        token: Callable[[], str],
        *,
        random: Callable[[], float],
        cursor: str | None = None,
        acknowledge: bool = True,
        refresh_every: float = math.inf,
        shown_max: int | None = None,
        client: str | None = None,
        server: str = "the server",
        remedy: str = "",
        reconnect_cap: float = RECONNECT_CAP,
    ) -> None:
        self.user: Final = user
        self.device: Final = device
        self.cursor = cursor
        self._token = token
        self._random = random
        self._acknowledge = acknowledge
        self._refresh_every = refresh_every
        self._shown_max = shown_max
        self._client = client
        self._server = server
        self._remedy = remedy
        self._reconnect_cap = reconnect_cap
        self._failures = 0
        self._begin(math.inf)

    def _begin(self, welcome_by: float) -> None:
        """Forget what belonged to the connection before."""
        self._welcome: Welcome | None = None
        self._goodbye: Goodbye | None = None
        self._sequence: int | None = None
        self._unacknowledged = 0
        self._status_known = Status()
        self._ack_at = self._refresh_at = math.inf
        self._silent_at = welcome_by
        self._pinged = False

    # --- The connection --------------------------------------------------------------------------

    def opened(self, now: float) -> list[Action]:
        """There is a connection: say hello."""
        self._begin(now + WELCOME_TIMEOUT)
        self._refresh_at = now + self._refresh_every
        hello = sent.Hello(
            device=self.device, cursor=self.cursor, token=self._token(), client=self._client
        )
        return [_send(hello)]

    def heard(self, text: str | bytes, now: float) -> list[Action]:
        """The server has said something."""
        try:
            frame = decode_server_frame(text)
        except NotAFrame as error:
            return [Stop(f"The server does not speak Tocsin's protocol: {error}")]
        self._pinged = False
        if self._welcome is not None:
            self._silent_at = now + self._welcome.heartbeat
        raw = text if isinstance(text, str) else text.decode()
        match frame:
            case Welcome():
                return self._welcomed(frame, now)
            case Push():
                return self._pushed(frame, raw, now)
            case Synced():
                self._failures = 0
                return self._acknowledged()
            case Reset(reason=reason):
                return self._reset(reason, raw)
            case Status():
                return self._status(frame, raw)
            case Goodbye():
                self._goodbye = frame
                return []
            case Other():
                return []
            case _:
                assert_never(frame)

    def closed(self, code: int | None) -> list[Action]:
        """The connection has ended, with a close *code* if there was one."""
        goodbye = self._goodbye
        if goodbye is None:
            text = ending_text(code, self.device)
            return self._come_back(text, None) if may_reconnect(code) else [_stop(code, text)]
        text = ending_text(goodbye.code, self.device)
        if goodbye.reconnect:
            return self._come_back(text, goodbye.after)
        return [_stop(goodbye.code, text)]

    def unreachable(self, why: str, after: float | None = None) -> list[Action]:
        """There is no connection to be had; *after* seconds, if the server said when there will."""
        text = f"No connection to {self._server}: {why}."
        # Once is enough: what comes after is the same trouble.
        remedy = self._remedy if self._failures == 0 else ""
        return self._come_back(text, after, remedy)

    def leaving(self) -> list[Action]:
        """This side is about to end the connection: the last words."""
        return self._acknowledged()

    # --- Time ------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When `due` wants to be called."""
        return min(self._ack_at, self._silent_at, self._refresh_at)

    def due(self, now: float) -> list[Action]:
        """Acknowledge, refresh the token, look whether the server is still there."""
        actions: list[Action] = []
        if now >= self._ack_at:
            actions += self._acknowledged()
        if now >= self._refresh_at:
            self._refresh_at = now + self._refresh_every
            actions.append(_send(sent.Refresh(token=self._token())))
        if now >= self._silent_at:
            if self._welcome is None or self._pinged:
                return [*actions, *self._come_back("The server has fallen silent.", None)]
            # Its WebSocket pings are answered below us and prove nothing here: ask it ourselves.
            self._pinged = True
            self._silent_at = now + PONG_TIMEOUT
            actions.append(_send(sent.Ping()))
        return actions

    # --- Inside ----------------------------------------------------------------------------------

    def _welcomed(self, welcome: Welcome, now: float) -> list[Action]:
        if welcome.user is None:
            return [Stop("The credential is an API key, which has no inbox; a user's token has.")]
        if welcome.user != self.user:
            return [Stop(f"The token is {welcome.user}'s and not {self.user}'s.")]
        self._welcome = welcome
        self._silent_at = now + welcome.heartbeat
        self._sequence = _sequence_of(welcome.cursor)
        if self._acknowledge:
            self.cursor = welcome.cursor
        return [Tell(f"Listening to {self.user} as {self.device} ({welcome.unread} unread).")]

    def _pushed(self, push: Push, raw: str, now: float) -> list[Action]:
        if self._welcome is None:
            return [Stop("The server pushed before it said welcome.")]
        again = self._sequence is not None and push.sequence <= self._sequence
        if again and self._acknowledge:
            # Our acknowledgment crossed with it, or was lost: the next one covers it too.
            self._ack_soon(now)
            return []
        if not again and self._sequence is not None and push.previous != self._sequence:
            text = f"Missed something between {self._sequence} and {push.sequence}."
            return self._come_back(text, None)
        if not again:
            self._sequence = push.sequence
            if self._acknowledge:
                self.cursor = f"{self._welcome.epoch}.{push.sequence}"
        self._ack_soon(now)
        actions: list[Action] = [Show(push, raw)]
        if self._shown_max is not None:
            self._shown_max -= 1
            if self._shown_max <= 0:
                return [*actions, Stop()]
        if self._unacknowledged >= min(ACK_AFTER, max(1, self._welcome.window // 2)):
            actions += self._acknowledged()
        return actions

    def _ack_soon(self, now: float) -> None:
        if self._acknowledge:
            self._unacknowledged += 1
            self._ack_at = min(self._ack_at, now + ACK_DELAY)

    def _acknowledged(self) -> list[Action]:
        """The acknowledgment of all that was shown, if there is news in it."""
        self._ack_at = math.inf
        if not self._unacknowledged or self._sequence is None:
            return []
        self._unacknowledged = 0
        return [_send(sent.Ack(sequence=self._sequence))]

    def _reset(self, reason: str, raw: str) -> list[Action]:
        # The replay starts where the server can, which the next push's `previous` names.
        self._sequence = None
        self._unacknowledged = 0
        self._ack_at = math.inf
        self.cursor = "0" if self._acknowledge else None
        why = "its log is another one" if reason == "epoch" else "older changes are gone"
        return [Tell(f"Starting over: the server cannot go on from the cursor, {why}.", raw)]

    def _status(self, status: Status, raw: str) -> list[Action]:
        before, self._status_known = self._status_known, status
        news = [
            f"The server's {hop} is back." if now == "ok" else f"The server has lost its {hop}."
            for hop, then, now in (
                ("store", before.store, status.store),
                ("bus", before.bus, status.bus),
            )
            if then != now
        ]
        return [Tell(" ".join(news), raw)] if news else []

    def _come_back(self, why: str, after: float | None, remedy: str = "") -> list[Action]:
        """Wait as long as the server says, or else longer each time.

        Anywhere between nothing and the full delay (Brooker's full jitter): unlike a resend, this
        is many clients at one door, and whoever shut it shut it for all of them at once.
        """
        self._failures += 1
        full = min(self._reconnect_cap, RECONNECT_INITIAL * 2.0 ** min(self._failures - 1, 16))
        delay = full * self._random() if after is None else after
        rest = f"\n    do:    {remedy}" if remedy else ""
        return [Tell(f"{why} Trying again in {delay:.1f} s.{rest}"), Wait(delay)]


def _stop(code: int | None, text: str) -> Stop:
    return Stop(text, unauthenticated=code == Closing.UNAUTHENTICATED)


def _send(frame: sent.ClientFrame) -> Send:
    fields = msgspec.to_builtins(frame)
    given = {name: value for name, value in fields.items() if value is not None}
    return Send(msgspec.json.encode(given).decode())


def _sequence_of(cursor: str) -> int | None:
    digits = cursor.rpartition(".")[2]
    return int(digits) if digits.isdecimal() else None
