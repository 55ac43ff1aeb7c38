"""A mail server of our own, as a process: `servers.mail_sink`, and the mails that it has taken."""

from __future__ import annotations

import email
import email.policy
import json
import subprocess
import sys
import threading
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final, Self

from servers.authority import Certified, certify
from servers.machine import free_port

ROOT: Final = Path(__file__).parent.parent


class MailServer:
    """See the module. Its port stays over restarts."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.files: Certified = certify(directory / "mail-certificates")
        self.mails: list[tuple[str, EmailMessage]] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def table(self, **fields: Any) -> dict[str, Any]:
        """A node's table for a channel over this server."""
        return {
            "kind": "email",
            "host": "127.0.0.1",
            "port": self.port,
            "from": "Tocsin <tocsin@example.org>",
            "ca_file": str(self.files.authority),
            **fields,
        }

    def start(self) -> Self:
        """Start, and return when it listens."""
        files = self.files
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "servers.mail_sink", str(self.port)),
                *(str(files.certificate), str(files.key)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        assert first == "ready\n", first
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            taken = json.loads(line)
            mail = email.message_from_string(
                taken["text"], EmailMessage, policy=email.policy.default
            )
            self.mails.append((taken["to"], mail))

    def to(self, address: str) -> list[EmailMessage]:
        """The mails that were taken for *address*."""
        return [mail for to, mail in list(self.mails) if to == address]

    def stop(self) -> None:
        """End the server."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert self._reader is not None
            self._reader.join()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.close()
