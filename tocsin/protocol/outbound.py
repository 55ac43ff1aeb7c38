"""The port through which a node sends HTTP requests to destinations that users name.

The actors know this port only; `tocsin.outbound` is behind it in a node, and the simulation puts
receivers of its own there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from tocsin.protocol.errors import DescribedError

_DIGITS_MAX: Final = 10
"""Digits that are read of a number of seconds: three hundred years."""


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """The answer of a receiver, whatever its status; *headers* have names in lower case.

    *body* is the beginning of the answer's body as it came, a kibibyte at most.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def retry_after(self, now_ms: int) -> float | None:
        """Seconds from *now_ms* for which the receiver wants a pause: `Retry-After`, as a number or
        a date (RFC 9110 §10.2.3). `None` if it names none; unbounded, so the caller bounds it.
        """
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:_DIGITS_MAX])
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - now_ms / 1000)
        except (TypeError, ValueError, OverflowError):
            return None


class OutboundFailed(DescribedError):
    """No answer came: no connection, no TLS, too late, or no HTTP.

    *reason* is a word for logs, metrics and tables: `no_connection`, `no_name`, `tls`, `timeout`,
    `not_http`, `forbidden_address`, `forbidden_url` or `secret_unreadable`. The request may have
    been taken all the same, except with the last three. The exception's text is for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class OutboundPort(Protocol):
    """Sends requests; both methods raise `OutboundFailed` and nothing else."""

    async def check(self, url: str) -> None:
        """Judge *url* without a request: its form, and every address that its name has now.

        Cancelling abandons the question to the DNS.
        """

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> OutboundAnswer:
        """Send *body*, and return the answer; a redirect is an answer, and is not followed.

        Cancelling drops the connection: the request may have been taken.
        """


class Nowhere:
    """The port of a node that sends nothing: every request fails at once with `OutboundFailed`,
    and nothing is left to cancel."""

    async def check(self, url: str) -> None:
        """Refuse *url*."""
        raise OutboundFailed("no_connection", "This node sends no requests.")

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> OutboundAnswer:
        """Refuse to send."""
        raise OutboundFailed("no_connection", "This node sends no requests.")


NOWHERE: Final[OutboundPort] = Nowhere()
