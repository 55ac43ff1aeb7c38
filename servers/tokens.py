"""Credentials for the nodes that are started here."""

from __future__ import annotations

import time
from typing import Any, Final

import jwt

SECRET: Final = "a secret of the acceptance tests, long enough"
"""The secret of a node that is given none of its own."""


def token(
    user: str, scope: str = "", lifetime: float = 3600.0, *, secret: str = SECRET, **claims: Any
) -> str:
    """A token for *user*, for *lifetime* seconds; a negative lifetime is over already."""
    expiry = time.time() + lifetime
    return jwt.encode({"sub": user, "scope": scope, "exp": expiry, **claims}, secret, "HS256")


def bearer(credential: str) -> dict[str, str]:
    """The header that carries *credential*."""
    return {"Authorization": f"Bearer {credential}"}


PRODUCER: Final = token("shop", "notify", 86_400)
ADMIN: Final = token("root", "admin", 86_400)
