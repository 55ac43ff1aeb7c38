"""A mail server for tests, as a program: its answers stand in the recipient's name.

    python -m servers.mail_sink PORT CERTIFICATE KEY

`full@` 452 · `gone@` 550 5.1.1 · `quoted@` the same, with the address · `policy@` 550 5.7.1 ·
`spam@` 554 after DATA · `busy@` 451 after DATA · `slow@` never answers DATA · `cut@` takes the mail
and cuts the connection instead of saying so. `once-…@` does as the rest of the name says the first
time, and takes it the second. Each mail that is taken is a line of JSON on stdout. It ends with its
stdin.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

RCPT = {
    "full": "452 4.2.2 mailbox full",
    "gone": "550 5.1.1 no such user",
    "quoted": "550 5.1.1 <{address}>: no such user",
    "policy": "550 5.7.1 not from you",
}
DATA = {"spam": "554 5.7.1 looks like spam", "busy": "451 4.3.0 later"}


class Sink:
    """The handler of aiosmtpd."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's names)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer RCPT."""
        behaviour = self._behaviour(address)
        if behaviour in RCPT:
            return RCPT[behaviour].format(address=address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 (aiosmtpd's names)
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Answer DATA, and tell of the mail that was taken."""
        address = envelope.rcpt_tos[0]
        behaviour = self._behaviour(address)
        self._seen.add(address)
        if behaviour in DATA:
            return DATA[behaviour]
        if behaviour == "slow":
            await asyncio.sleep(3600)
        content: Any = envelope.content
        print(json.dumps({"to": address, "text": content.decode()}), flush=True)
        if behaviour == "cut":
            transport: Any = server.transport
            transport.abort()
        return "250 OK queued"

    def _behaviour(self, address: str) -> str:
        name = address.partition("@")[0]
        if name.startswith("once-"):
            return "" if address in self._seen else name.removeprefix("once-").partition("-")[0]
        return name.partition("-")[0]


def main(port: int, certificate: str, key: str) -> None:
    """Serve until stdin ends."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    controller = Controller(
        Sink(), hostname="127.0.0.1", port=port, tls_context=tls, require_starttls=True
    )
    controller.start()
    print("ready", flush=True)
    sys.stdin.read()
    controller.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
