"""Why a connection ended, for the person in front of it.

The sentences are the protocol's (`Closing`); added are the flags of the command line.
"""

from __future__ import annotations

from tocsin.protocol.closing import Closing


def ending_text(code: int | None, device: str) -> str:
    """The meaning of close *code* for the client that connected as *device*."""
    closing = _closing(code)
    if closing is None:
        return "The connection was lost."
    if closing.reconnect:
        return _plain(closing.text)
    text = _plain(f"{closing.text} {closing.advice}")
    match closing:
        case Closing.REPLACED:
            remedy = f"Both came as the same device, {device}: name another with --device."
        case Closing.TOO_MANY_DEVICES:
            remedy = f"This one came as {device}: name a known one with --device."
        case _:
            return text
    return f"{text} {remedy}"


def _plain(text: str) -> str:
    """*text* for a terminal, which has no other type for code."""
    return text.replace("`", "")


def _closing(code: int | None) -> Closing | None:
    """The reason of *code*; `None` for one that is not ours: a proxy's, or a lost socket."""
    return None if code is None or code not in set(Closing) else Closing(code)
