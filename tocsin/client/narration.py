"""News of a connection, in sentences for the person in front of the terminal."""

from __future__ import annotations

from tocsin.client.endings import ending_text
from tocsin_client.actions import Counters, News, Reset, Status, Stop, Synced, Wait, Welcome


class Narrator:
    """Tells what happens to the connection of *user* to *server*; *remedy* is what the person can
    do where it cannot be reached."""

    def __init__(self, user: str, server: str, remedy: str = "") -> None:
        self._user = user
        self._server = server
        self._remedy = remedy
        self._has_remedied = False
        self._known = Status("ok", "ok")

    def text(self, news: News, device: str) -> str | None:
        """*news* as a sentence; None where a person need not know. *device* is this one's name."""
        match news:
            case Welcome():
                self._known = Status("ok", "ok")
                return f"Listening to {news.user} as {news.device} ({news.unread} unread)."
            case Synced():
                self._has_remedied = False
                return None
            case Reset(reason=reason):
                why = "its log is another one" if reason == "epoch" else "older changes are gone"
                return f"Starting over: the server cannot go on from the cursor, {why}."
            case Status():
                return self._status(news)
            case Wait():
                return self._waiting(news, device)
            case Stop() | Counters():
                return None

    def trouble(self, stop: Stop, device: str) -> str:
        """The reason, for a person, why the client does not come back after *stop*."""
        match stop.reason:
            case "not_tocsin":
                return f"The server does not speak Tocsin's protocol: {stop.detail}"
            case "no_inbox":
                return "The credential is an API key, which has no inbox; a user's token has."
            case "another_user":
                return f"The token is {stop.detail}'s and not {self._user}'s."
            case "refused":
                return f"The server refused the connection {stop.detail}"
            case _:
                return ending_text(stop.code, device)

    def _status(self, status: Status) -> str | None:
        before, self._known = self._known, status
        news = [
            f"The server's {hop} is back." if now == "ok" else f"The server has lost its {hop}."
            for hop, then, now in (
                ("store", before.store, status.store),
                ("bus", before.bus, status.bus),
            )
            if then != now
        ]
        return " ".join(news) or None

    def _waiting(self, wait: Wait, device: str) -> str:
        again = f"Trying again in {wait.delay:.1f} s."
        match wait.reason:
            case "unreachable" | "refused" | "token":
                # Once is enough: what comes after is the same trouble.
                remedy = "" if self._has_remedied or not self._remedy else self._remedy
                self._has_remedied = True
                rest = f"\n    do:    {remedy}" if remedy else ""
                return f"No connection to {self._server}: {wait.detail}. {again}{rest}"
            case "gap":
                return f"Missed something {wait.detail}. {again}"
            case "silent":
                return f"The server has fallen silent. {again}"
            case _:
                return f"{ending_text(wait.code, device)} {again}"
