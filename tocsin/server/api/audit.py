"""The audit log: a line for each act of an operator, on a logger of its own that no level hides.

Acts are what changes something for others over the admin API, and keys that are made and revoked.
Looking is none. Each line has the time and the node like any other, and

- `event`: the act, a fixed text such as `user disconnected`;
- `outcome`: `done`; the code of the problem that was answered instead; or `unknown` where the call
  was cut off or failed, and may have been carried out;
- `credential`: whose it was, `key:<id>` or `jwt:<issuer>:<user>`; `os_user` for the command line;
- `address` and `request_id` of the call; and what it was done to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog

from tocsin.protocol.refusal import Refused

if TYPE_CHECKING:
    # `tocsin key` writes lines as well, and needs nothing of the server.
    from tocsin.server.api.operation import Call

LOGGER: Final = "audit"
"""The logger's name, to select the lines by. `tocsin.logs` sees to it that it is never quiet."""

_log = structlog.get_logger(LOGGER)


def audit(
    event: str,
    *,
    credential: str | None,
    address: str | None,
    request_id: str | None,
    outcome: str = "done",
    **what: object,
) -> None:
    """Write one line; see the module. The text *what* is bounded like every value of a log line."""
    _log.info(
        event,
        outcome=outcome,
        credential=credential,
        address=address,
        request_id=request_id,
        **what,
    )


@contextmanager
def audited(call: Call[Any, Any], event: str, **what: object) -> Iterator[None]:
    """Around the part of a handler that acts: a line when it is over, however it ends."""
    outcome = "unknown"
    try:
        yield
        outcome = "done"
    except Refused as error:
        # Of a 503 nobody knows whether it was carried out; its code says so.
        outcome = error.problem.code
        raise
    finally:
        audit(
            event,
            outcome=outcome,
            credential=call.principal.credential,
            address=call.address,
            request_id=call.request_id,
            **what,
        )
