"""Every number of HTTP on a connection."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.server.request_head import HEAD_BYTES_MAX


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Seconds and bytes. *head_timeout* is for a request's whole head, and *body_timeout* for its
    whole body; *write_timeout* is for each 64 KiB, so that a large answer to a slow but willing
    client passes. *gone_grace* is how long a request that lasts is kept when its client has closed
    its half: enough for what is answered at once."""

    head_bytes_max: int = HEAD_BYTES_MAX
    head_timeout: float = 10.0
    body_timeout: float = 60.0
    write_timeout: float = 10.0
    linger_timeout: float = 2.0
    keep_alive_timeout: float = 75.0
    keep_alive_requests_max: int = 10_000
    gone_grace: float = 0.5
