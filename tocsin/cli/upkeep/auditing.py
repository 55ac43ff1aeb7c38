"""Lines of the audit log about commands, on standard error like all log lines."""

from __future__ import annotations

import os
import pwd
from typing import Any

from tocsin.logs import configured
from tocsin.server.api.audit import audit
from tocsin.settings import Settings


def audit_command(settings: Settings, event: str, **what: Any) -> None:
    """Write one, with the user of the system who typed the command."""
    try:
        # Not by the environment, as `getpass` would: that says what its owner likes.
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in containers, whose users have no names
        user = f"uid {os.getuid()}"
    with configured(settings.log_format, settings.log_level):
        audit(event, credential=None, address=None, request_id=None, os_user=user, **what)
