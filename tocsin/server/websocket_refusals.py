"""Who was not let in, or was thrown out: seen by operators, not only by the client."""

from __future__ import annotations

import structlog
import trio

logger = structlog.get_logger(__name__)


def refused(kind: str, reason: str, address: str) -> None:
    """Note that the peer at *address* was refused; *kind* is a word of the contract."""
    logger.info("refused", kind=kind, reason=reason, address=address)


def address_of(stream: trio.SocketStream) -> str:
    """The peer's, or nothing if it has gone."""
    try:
        return str(stream.socket.getpeername()[0])
    except (OSError, IndexError):
        return ""
