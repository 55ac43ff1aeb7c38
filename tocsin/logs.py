"""Log lines: ours and the libraries', in one format, with request ids and without payloads.

Write `log = structlog.get_logger()` and `log.info("store lost", attempts=3)`: the event is a fixed
text, everything that varies is a value with a name. Context is bound once and is on every line of
the task and of the tasks it starts: the node with `structlog.contextvars.bind_contextvars`, a
request with `structlog.contextvars.bound_contextvars(request_id=…)` around its handling. Rooms need
only structlog for all this; this module is for whoever starts the process.

What people are notified of is none of a log's business, and neither are credentials. Good will
does not hold that promise: one `log.debug("frame", frame=frame)` breaks it. So the last step before
rendering (`_discreet`) lets through numbers and short texts only, hides what goes by the name of a
payload, and masks what looks like a credential, in library lines and tracebacks as well.
"""

import logging
import math
import re
import sys
from enum import Enum
from os import PathLike
from typing import Literal, TextIO
from uuid import UUID

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["configure"]

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
ITEMS_MAX = 20
TRACEBACK_MAX = 16_384  # characters; the middle of a longer one is recursion

_CREDENTIALS = re.compile(
    r"(?P<bearer>\bBearer\s+)\S+"
    r"|(?P<query>\b(?:ticket|token|access_token|password|secret)=)[^&\s\"']+"
    r"|(?P<login>://)[^/\s@]+@"
    r"|(?P<key>\btk_)[\w-]+"
    r"|(?P<jwt>\beyJ)[\w-]+\.[\w-]+\.[\w-]*",
    re.IGNORECASE,
)
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROLS_BUT_LINES = {code: text for code, text in _CONTROLS.items() if chr(code) not in "\n\t"}


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that configuring again replaces it and leaves other handlers alone."""


def configure(
    log_format: Literal["console", "json"],
    log_level: Literal["debug", "info", "warning", "error"],
    stream: TextIO | None = None,
) -> None:
    """Send all logging, structlog's and the standard library's, to `stream` (default: stderr)."""
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
    # It writes the address of every request, and that of a key set may hold a secret.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _discreet(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The line with nothing in it that a log must not hold."""
    return {name: _value(name, value) for name, value in event.items()}


def _value(name: str, value: object) -> object:
    if name.lower() in HIDDEN_NAMES:
        return HIDDEN
    if name == "exception":
        return _traceback(_masked(str(value))).translate(_CONTROLS_BUT_LINES)
    return _plain(value)


def _plain(value: object) -> object:
    match value:
        case dict():
            items = list(value.items())[:ITEMS_MAX]
            return {_text(str(name)): _item(str(name), each) for name, each in items}
        case list() | tuple() | set() | frozenset():
            return [_item("", each) for each in list(value)[:ITEMS_MAX]]
        case _:
            return _scalar(value)


def _item(name: str, value: object) -> object:
    # One level only: what is nested deeper is a document, not a value of a log line.
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


def _text(text: str) -> str:
    # Masked before it is cut: half a token would no longer look like one.
    text = _masked(text[: TEXT_MAX * 20])
    if len(text) > TEXT_MAX:
        text = text[:TEXT_MAX] + "…"
    # A line break in a value could pass for a line of its own, and an escape steers the terminal.
    return text.translate(_CONTROLS)


def _traceback(text: str) -> str:
    half = TRACEBACK_MAX // 2
    return text if len(text) <= TRACEBACK_MAX else f"{text[:half]}\n…\n{text[-half:]}"


def _masked(text: str) -> str:
    return _CREDENTIALS.sub(_mask, text)


def _mask(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""  # every alternative has one
    return match[kind] + HIDDEN + ("@" if kind == "login" else "")
