"""Which web pages may open a socket: those of our own origin, and those that are named.

A browser sends cookies and reaches local networks on behalf of any page, so a socket must look at
`Origin` itself (RFC 6455 §10.2); programs that are no browsers send none.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from tocsin.server.request_head import Headers


def is_allowed_origin(headers: Headers, allowed: tuple[str, ...]) -> bool:
    """Whether the request's origin is none, ours (the `Host` it was sent to) or in *allowed*.

    The scheme of our own origin is not compared: a proxy may have taken off the TLS.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.scheme not in {"http", "https"} or parts.path:
        return False
    default_port = 443 if parts.scheme == "https" else 80
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    full = name if port in {None, default_port} else f"{name}:{port}"
    if f"{parts.scheme}://{full}" in allowed:
        return True
    host = (headers.get("host") or "").lower().removesuffix(f":{default_port}")
    return host == full
