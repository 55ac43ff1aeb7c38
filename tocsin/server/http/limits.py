"""Every number of HTTP on a connection."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.server.request_head import HEAD_BYTES_MAX


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Seconds, unless the name says otherwise."""

    head_bytes_max: int = HEAD_BYTES_MAX
    head_timeout: float = 10.0
    """For a request's whole head: it is a packet or two."""
    body_timeout: float = 60.0
    """For a request's whole body, over the slowest line."""
    write_timeout: float = 10.0
    """For each 64 KiB, so that a large answer to a slow but willing client passes."""
    linger_timeout: float = 2.0
    """For the client to read the last answer, before the connection is closed."""
    keep_alive_timeout: float = 75.0
    """Without a request: longer than the proxies in front of us keep a connection (60)."""
    keep_alive_requests_max: int = 10_000
    """Requests on one connection, so that clients are spread over new nodes in time."""
    gone_grace: float = 0.5
    """For a request that lasts and whose client has closed its half: enough for what is answered
    at once."""
