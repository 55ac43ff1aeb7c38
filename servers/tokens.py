"""Tokens for the nodes that `servers.node` starts."""

from __future__ import annotations

import time
from typing import Any, Final

import jwt

SECRET: Final = "a secret of the acceptance tests, long enough"
"""The JWT secret of a node that is started without one of its own."""


def token(
    user: str, scope: str = "", lifetime: float = 3600.0, *, secret: str = SECRET, **claims: Any
) -> str:
    """A token for *user* that expires in *lifetime* seconds, or has expired if that is negative."""
    expiry = time.time() + lifetime
    return jwt.encode({"sub": user, "scope": scope, "exp": expiry, **claims}, secret, "HS256")


def bearer(credential: str) -> dict[str, str]:
    """The header of a request that carries *credential*."""
    return {"Authorization": f"Bearer {credential}"}


PRODUCER: Final = token("shop", "notify", 86_400)
ADMIN: Final = token("root", "admin", 86_400)
