"""Expectations in the words of the domain."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from tocsin.server.auth.errors import AuthCode, AuthUnavailable, Unauthenticated
from tocsin.server.auth.principal import Principal


async def refusal(attempt: Awaitable[Principal]) -> AuthCode:
    """The code with which an attempt is refused. It fails the test if it is not."""
    with pytest.raises(Unauthenticated) as caught:
        await attempt
    assert isinstance(caught.value.code, AuthCode)
    return caught.value.code


async def unavailability(attempt: Awaitable[Principal]) -> AuthCode:
    """The code with which an attempt is put off."""
    with pytest.raises(AuthUnavailable) as caught:
        await attempt
    assert caught.value.retry_after > 0
    return caught.value.code
