"""Log lines: ours and the libraries', in one format, with request ids and without payloads.

Write `log = structlog.get_logger()` and `log.info("store lost", attempts=3)`: the event is a fixed
text, everything that varies is a value with a name. Context is bound once and is on every line of
the task and of the tasks it starts: the node with `structlog.contextvars.bind_contextvars`, a
request with `structlog.contextvars.bound_contextvars(request_id=…)` around its handling. Rooms need
only structlog for all this; this module is for the start of a process.

The contents of notifications are never logged, and neither are credentials. Discipline alone does
not hold that promise: one `log.debug("frame", frame=frame)` breaks it. So the last step before
rendering (`_discreet`) lets through numbers and short texts only, hides what goes by the name of a
payload, and masks what looks like a credential, in library lines and tracebacks as well.
"""

from __future__ import annotations

import logging
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from os import PathLike
from typing import Literal, TextIO
from uuid import UUID

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[hidden]"

# Names under which contents and credentials travel in this program.
HIDDEN_NAMES = frozenset(
    {
        *("notification", "notifications", "title", "body", "data", "url"),
        *("frame", "frames", "payload", "content", "headers", "cookie"),
        *("authorization", "token", "ticket", "secret", "password", "api_key", "jwt_secret"),
    }
)

TEXT_MAX = 500  # characters: an id, an address or an error's text, but not a body
NAME_MAX = 64  # characters of a value's name, where that is data too
ITEMS_MAX = 20  # of a list or mapping: enough to name nodes or fields, and no document
TRACEBACK_MAX = 16_384  # characters; the middle of a longer one is recursion

# Linear whatever the text is: each is a beginning and *one* repeat, which takes in every place
# where the same pattern could begin again. So a run of bytes is looked at once, and what only
# begins like a token is hidden as well, which costs nobody anything. Several patterns and not one:
# each begins with characters that the matcher can look for by themselves, at a tenth of the price.
_CREDENTIALS = (
    (re.compile(r"([tpsTPS](?i:icket|oken|assword|ecret)(?:=|%3[Dd]))[^&\s\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(_key(?:=|%3[Dd]))[^&\s\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"([Bb](?i:earer)\s+)\S+"), rf"\1{HIDDEN}"),
    (re.compile(r"://[^/\s]*@"), f"://{HIDDEN}@"),
    (re.compile(r"tk_[\w-]{4,}"), f"tk_{HIDDEN}"),
    (re.compile(r"tt_[\w-]{4,}"), f"tt_{HIDDEN}"),
    (re.compile(r"eyJ[\w.-]{8,}"), f"eyJ{HIDDEN}"),
)
# Characters that reorder or break lines where a terminal or an editor shows them.
_STEERING = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
_CONTROLS = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))},
    # Halves of a pair, which are no text: writing one would raise.
    **{code: f"\\u{code:04x}" for code in (*_STEERING, *range(0xD800, 0xE000))},
}
_CONTROLS_BUT_LINES = {code: text for code, text in _CONTROLS.items() if chr(code) not in "\n\t"}


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that configuring again replaces it and leaves other handlers alone."""


def configure(
    log_format: Literal["console", "json"],
    log_level: Literal["debug", "info", "warning", "error"],
    stream: TextIO | None = None,
) -> None:
    """Send all logging, structlog's and the standard library's, to *stream* (default: stderr)."""
    stream = stream or sys.stderr
    both: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *both,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # Module-level loggers are made at import, before this runs; cached ones would keep the
        # defaults that they found then.
        cache_logger_on_first_use=False,
    )
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=both,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # As text: the structured renderers show local variables, which hold payloads.
                structlog.processors.format_exc_info,
                _discreet,
                _renderer(log_format, stream),
            ],
        )
    )
    _route(handler, getattr(logging, log_level.upper()))


@contextmanager
def configured(
    log_format: Literal["console", "json"], log_level: Literal["debug", "info", "warning", "error"]
) -> Iterator[None]:
    """As `configure`, for a command that writes a line or two; afterwards all is as before."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    configure(log_format, log_level)
    try:
        yield
    finally:
        structlog.configure(**before)
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)


def _renderer(log_format: Literal["console", "json"], stream: TextIO) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _route(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    # Debug is for our own lines. On that level libraries write the bytes they send and receive.
    root.setLevel(max(level, logging.INFO))
    logging.getLogger("tocsin").setLevel(level)
    # Audit lines are written on every level (`tocsin.server.api.audit`).
    logging.getLogger("audit").setLevel(logging.INFO)
    # They write the URL of each request, whose query may hold a secret.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # They log each lost connection with a traceback; the connector says it in a line of its own.
    for name in ("aiormq", "aiokafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)


def _discreet(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The line without contents and credentials."""
    return {name: _value(name, value) for name, value in event.items()}


def _value(name: str, value: object) -> object:
    if name.lower() in HIDDEN_NAMES:
        return HIDDEN
    if name == "exception":
        return _traceback(str(value)).translate(_CONTROLS_BUT_LINES)
    return _plain(value)


def _plain(value: object) -> object:
    match value:
        case dict():
            items = list(value.items())[:ITEMS_MAX]
            return {_text(str(name), NAME_MAX): _item(str(name), each) for name, each in items}
        case list() | tuple() | set() | frozenset():
            return [_item("", each) for each in list(value)[:ITEMS_MAX]]
        case _:
            return _scalar(value)


def _item(name: str, value: object) -> object:
    # One level only: a deeper structure is a document, not a value of a log line.
    return HIDDEN if name.lower() in HIDDEN_NAMES else _scalar(value)


def _scalar(value: object) -> object:
    match value:
        case Enum():
            return _scalar(value.value)
        case float() if not math.isfinite(value):
            return str(value)  # JSON has no word for it
        case None | bool() | int() | float():
            return value
        case str() | PathLike() | UUID():
            return _text(str(value))
        case BaseException():
            return _text(f"{type(value).__name__}: {value}")
        case _:
            # Its repr could show anything: a notification's does.
            return f"<{type(value).__name__}>"


def _text(text: str, length_max: int = TEXT_MAX) -> str:
    # Masked before it is cut: half a token would no longer look like one.
    text = _masked(text[: length_max * 4])
    if len(text) > length_max:
        text = text[:length_max] + "…"
    # A line break in a value could pass for a line of its own, and an escape steers the terminal.
    return text.translate(_CONTROLS)


def _traceback(text: str) -> str:
    if len(text) <= TRACEBACK_MAX:
        return _masked(text)
    half = TRACEBACK_MAX // 2
    # With so much more on both sides of the cut that no credential is cut in two.
    first, last = _masked(text[: half * 2]), _masked(text[-half * 2 :])
    return f"{first[:half]}\n…\n{last[-half:]}"


def _masked(text: str) -> str:
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text
