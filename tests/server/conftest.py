"""Fixtures that the tests of the server share."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs


@pytest.fixture
def log_text(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that was logged so far, by us and by libraries, with tracebacks."""
    with capture_logs() as lines:
        yield lambda: "\n".join([caplog.text, *map(_text, lines)])


def _text(line: Any) -> str:
    error = line.get("exc_info")
    trace = traceback.format_exception(error) if isinstance(error, BaseException) else []
    return f"{line}\n{''.join(trace)}"
