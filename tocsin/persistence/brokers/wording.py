"""Words for the errors of brokers' libraries: a line of bounded length, for logs and operators."""

from __future__ import annotations

from typing import Final

REASON_MAX: Final = 200
"""Characters of an error's text that are told: a broker may have written it."""


def described(error: BaseException) -> str:
    """The type of *error*, and the beginning of its text if it has one."""
    return f"{type(error).__name__}: {str(error)[:REASON_MAX]}".rstrip(": ")
