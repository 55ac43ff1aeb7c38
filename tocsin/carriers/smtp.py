"""E-mail by SMTP (RFC 5321), with `smtplib` in a worker thread.

A connection is made for each mail: keeping one open saves 2 ms, and costs a state that the other
side may end at any time. A cancelled call shuts the socket down, so its thread ends, too.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Final, Literal

import trio

from tocsin.carriers.mail import Postmark, compose
from tocsin.protocol.channels.carrying import (
    Accepted,
    AddressGone,
    Carried,
    ChannelDown,
    Parcel,
    Rejected,
    TryLater,
)

Security = Literal["starttls", "tls", "none"]
_STEP_TIMEOUT: Final = 10.0
"""Seconds for each answer of the server; the worker's limit holds for all of them together."""
_THREADS_PER_MAIL: Final = 2
"""Threads for each mail that is carried at a time: one may still be ending."""
_CLOSING: Final = 421
"""The reply of a server that closes the connection, whatever it was asked (RFC 5321 §4.2.3)."""
_TOO_LARGE: Final = 552
"""The reply to a mail beyond the storage that a mailbox or a message may have (RFC 5321 §4.2.3)."""
_NO_MAILBOX: Final = 550
"""The reply for a mailbox that is not there, or that policy keeps closed (RFC 5321 §4.2.3)."""
_PERMANENT: Final = 500
"""The reply from which on a repetition is of no use (RFC 5321 §4.2.1)."""
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_NO_SUCH_ADDRESS: Final = re.compile(r"(?:^|\D)5\.1\.\d")
_ENHANCED: Final = re.compile(r"(?:^|\D)5\.\d{1,3}\.\d{1,3}(?:\D|$)")


@dataclass(frozen=True, slots=True)
class MailServer:
    """The server that takes our mails; *tls* verifies it, but for `none`."""

    host: str
    port: int
    security: Security
    tls: ssl.SSLContext
    user: str | None = None
    password: str | None = None


class SmtpCarrier:
    """Implements `tocsin.protocol.channels.carrying.ChannelCarrier`."""

    def __init__(self, server: MailServer, postmark: Postmark, concurrency: int) -> None:
        self._server = server
        self._postmark = postmark
        self._threads = trio.CapacityLimiter(concurrency * _THREADS_PER_MAIL)

    async def carry(self, parcel: Parcel) -> Carried:
        """Send *parcel* as one mail. Cancelled, it may have been sent."""
        call = _Call(self._server, compose(parcel, self._postmark), parcel.value)
        try:
            return await trio.to_thread.run_sync(
                call.run, abandon_on_cancel=True, limiter=self._threads
            )
        except trio.Cancelled:
            call.hang_up()
            raise


def checked_mail_address(text: str) -> str:
    """*text*, if it is a mail address that any server takes (ASCII); raises `ValueError`."""
    if not _ADDRESS.fullmatch(text) or ".." in text.partition("@")[2]:
        raise ValueError("is not a mail address")
    return text


class _Call:
    """One conversation, in a thread of its own."""

    def __init__(self, server: MailServer, mail: EmailMessage, to: str) -> None:
        self._server = server
        self._mail = mail
        self._to = to
        self._client: smtplib.SMTP | None = None
        self._greeted = False

    def run(self) -> Carried:
        """Send the mail."""
        try:
            with self._connected() as client:
                self._client = client
                self._enter(client)
                self._greeted = True
                sender = parseaddr(str(self._mail["From"]))[1]
                client.send_message(self._mail, sender, [self._to])
                return Accepted()
        except smtplib.SMTPException as error:
            return self._judge(error)
        except (OSError, ValueError) as error:
            return self._unanswered(error)

    def hang_up(self) -> None:
        """End the conversation; from another thread."""
        client = self._client
        if client is not None and client.sock is not None:
            with suppress(OSError):
                client.sock.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> smtplib.SMTP:
        server, domain = self._server, "localhost"
        if server.security == "tls":
            return smtplib.SMTP_SSL(
                server.host, server.port, domain, timeout=_STEP_TIMEOUT, context=server.tls
            )
        return smtplib.SMTP(server.host, server.port, domain, timeout=_STEP_TIMEOUT)

    def _enter(self, client: smtplib.SMTP) -> None:
        server = self._server
        if server.security == "starttls":
            client.starttls(context=server.tls)
        if server.user is not None:
            client.login(server.user, server.password or "")

    def _judge(self, error: smtplib.SMTPException) -> Carried:
        match error:
            case smtplib.SMTPRecipientsRefused(recipients=recipients):
                code, text = next(iter(recipients.values()))
                return _of_recipient(code, self._words(code, text))
            case smtplib.SMTPResponseException(smtp_code=code, smtp_error=text):
                reason = self._words(code, text)
                if code == _CLOSING or not self._greeted:
                    is_login = isinstance(error, smtplib.SMTPAuthenticationError)
                    return ChannelDown(reason, refused=is_login or code >= _PERMANENT)
                if code < _PERMANENT:
                    return TryLater(reason)
                # A sender that is not let send is so for each mail.
                if isinstance(error, smtplib.SMTPSenderRefused) and code != _TOO_LARGE:
                    return ChannelDown(reason, refused=True)
                return Rejected(reason)
            case smtplib.SMTPNotSupportedError():
                return ChannelDown(f"the server has no {self._server.security}", refused=True)
            case _:
                return self._unanswered(error)

    def _unanswered(self, error: Exception) -> Carried:
        """No answer, or the end of the connection; after DATA the mail may have been taken."""
        if self._greeted:
            return TryLater(f"no answer: {type(error).__name__}")
        refused = isinstance(error, ssl.SSLCertVerificationError)
        return ChannelDown(f"{type(error).__name__}: {error}", refused=refused)

    def _words(self, code: int, text: bytes | str) -> str:
        said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        # Servers like to repeat the address, which is a person's, and this goes to logs and tables.
        return f"{code} {said.replace(self._to, '(address)')}"


def _of_recipient(code: int, reason: str) -> Carried:
    if code == _CLOSING:
        return ChannelDown(reason)
    if code < _PERMANENT:
        return TryLater(reason)
    # RFC 3463: 5.1.x is about the address. A bare 550 says the same, in older words.
    if _NO_SUCH_ADDRESS.search(reason) or (code == _NO_MAILBOX and not _ENHANCED.search(reason)):
        return AddressGone(reason, at_once=False)
    return Rejected(reason)
